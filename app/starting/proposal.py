"""The tables that are proposed for services: fields of a user, and the objects inside. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from app.importing.places import Place, written
from app.schema.configured.types import OWN_TYPES
from app.schema.default import MONEY
from app.settings.nested import Table
from app.settings.public_schema import NODE_TYPE
from app.starting.found import FoundService
from app.starting.public_names import public_name, type_name_of
from app.starting.seen import (
    VALUE,
    Seen,
    SeenList,
    SeenNothing,
    SeenObject,
    SeenScalar,
    seen_in,
)

_WRAPPERS = frozenset({"attributes", "properties", "fields", "traits"})
"""Members with an object whose members are those of the row itself (JSON:API, GeoJSON)."""

_RESERVED_TYPES = frozenset({*OWN_TYPES, NODE_TYPE, MONEY.name, "User"})
_ENDS_OF_LISTS = ("Edge", "Connection")
"""Ends of names that the types of a list of others have."""


class ProposedField(Struct, frozen=True):
    """A field of a user or of an object.

    Attributes:
        name: Its public name.
        type: Its type.
        value: The expression that reads it; ``None`` if it is only its name.
        words: What was seen, in words.
        place: Where it was seen in the row, or in the part of the row that is the object.
        note: What an operator has to check; may be empty.
    """

    name: str
    type: str
    value: str | None
    words: str
    place: Place
    note: str = ""

    @property
    def shown(self) -> str:
        """Where it was seen, as an expression."""
        return written(self.place)


class ProposedType(Struct, frozen=True):
    """An object inside.

    Attributes:
        name: Its name.
        fields: Its fields.
        left_out: Its members without a type, and why.
    """

    name: str
    fields: Sequence[ProposedField]
    left_out: Mapping[str, str]


class ProposedSource(Struct, frozen=True):
    """A source, and the fields that it is read for.

    Attributes:
        service: The service.
        fields: The fields of a user.
        types: The objects inside, the inner ones first.
        left_out: The members of its rows without a type, and why.
    """

    service: FoundService
    fields: Sequence[ProposedField]
    types: Sequence[ProposedType]
    left_out: Mapping[str, str]


def propose(services: Sequence[FoundService]) -> Sequence[ProposedSource]:
    """Propose the tables of services.

    Args:
        services: The services, with the rows that they answered.

    Returns:
        The tables of each.
    """
    names, types = _Names({"id"}), _Types()
    return [_Proposing(service, names, types).result() for service in services]


class _Names(Struct, frozen=True):
    """The names that are taken."""

    taken: set[str]

    def free(self, name: str, around: str) -> str:
        """Take a name: with the name of what is around it, or a number, if it is taken."""
        joined = public_name(f"{around}_{name}") or name
        choices = [name, joined, *(f"{joined}{number}" for number in range(2, 10_000))]
        found = next(one for one in choices if one not in self.taken)
        self.taken.add(found)
        return found


class _Types(Struct, frozen=True):
    """The objects of all services. Those that are the same share a type."""

    made: dict[str, ProposedType] = {}

    def named(self, wanted: str, around: str, made: ProposedType) -> tuple[str, bool]:
        """Return the name of a type, and whether it is new."""
        if wanted in _RESERVED_TYPES or wanted.endswith(_ENDS_OF_LISTS):
            wanted = f"{wanted}Details"
        base = f"{type_name_of(around, of_item=False)}{wanted}"
        for name in (wanted, base, *(f"{base}{number}" for number in range(2, 10_000))):
            if name not in self.made and name not in _RESERVED_TYPES:
                self.made[name] = replace(made, name=name)
                return name, True
            if name in self.made and self.made[name] == replace(made, name=name):
                return name, False
        return base, False


class _Proposing:
    """Proposes the tables of one service."""

    def __init__(self, service: FoundService, names: _Names, types: _Types) -> None:
        self._service = service
        self._names = names
        self._types = types
        self._new: list[ProposedType] = []
        self._left_out: dict[str, str] = {}

    def result(self) -> ProposedSource:
        """Propose the tables."""
        fields = [*self._fields((), self._service.rows)]
        return ProposedSource(self._service, fields, self._new, self._left_out)

    def _fields(self, around: Place, rows: Sequence[Table]) -> Iterator[ProposedField]:
        """Propose the fields of a row, or of a part of it that is no object of its own."""
        seen = seen_in("", rows)
        members: Mapping[str, Seen] = seen.members if isinstance(seen, SeenObject) else {}
        for name, one in members.items():
            place = (*around, name)
            if place == (self._service.answer.key or ()):
                continue
            if isinstance(one, SeenNothing):
                self._left_out[written(place)] = one.why
            elif isinstance(one, SeenObject) and not around and name in _WRAPPERS:
                parts = [part for row in rows if (part := row.get(name)) is not None]
                yield from self._fields(place, parts)
            else:
                public = self._names.free(public_name(name) or name, self._service.source)
                yield self._field(public, place, one, self._service.source)
        if not members and isinstance(seen, SeenNothing) and around:
            self._left_out[written(around)] = seen.why

    def _field(self, name: str, place: Place, seen: Seen, around: str) -> ProposedField:
        """Propose one field."""
        text = written(place)
        type_, words = self._type(name, seen, around)
        reading = seen.reading.replace(VALUE, text) if isinstance(seen, SeenScalar) else text
        return ProposedField(
            name=name,
            type=type_,
            value=None if reading == name else reading,
            words=words,
            place=place,
            note=seen.note if isinstance(seen, SeenScalar) else "",
        )

    def _type(
        self, name: str, seen: Seen, around: str, *, of_item: bool = False
    ) -> tuple[str, str]:
        """Return the type of what was seen, and what was seen in words."""
        match seen:
            case SeenScalar(type=type_, words=words):
                return type_, words
            case SeenList(item=item, has_null=has_null):
                inner, words = self._type(name, item, around, of_item=True)
                return f"[{inner}{'' if has_null else '!'}]", f"a list, each item {words}"
            case SeenObject(members=members):
                return self._object(name, members, around, of_item=of_item), "an object"
            case SeenNothing(why=why):
                return "String", why

    def _object(self, name: str, members: Mapping[str, Seen], around: str, *, of_item: bool) -> str:
        """Make the type of an object; return its name."""
        wanted = type_name_of(name, of_item=of_item)
        names = _Names(set())
        fields: list[ProposedField] = []
        left_out: dict[str, str] = {}
        for member, one in members.items():
            if isinstance(one, SeenNothing):
                left_out[written((member,))] = one.why
            else:
                public = names.free(public_name(member) or member, wanted)
                fields.append(self._field(public, (member,), one, wanted))
        made = ProposedType("", fields, left_out)
        found, is_new = self._types.named(wanted, around, made)
        if is_new:
            self._new.append(self._types.made[found])
        return found
