"""Declaring a field together with what it reads: a source's record, or a part of one.

The objects inside a user's fields are tables as well (``shows``): each is made from a part of a
record by ``of``. The executor makes them; a compiled operation reads the part itself by the same
table, and makes none.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar, overload

import strawberry
from graphql import GraphQLField
from pydantic import BaseModel
from strawberry.types.base import StrawberryObjectDefinition, get_object_definition
from strawberry.types.field import StrawberryField

from app.errors import BadUserInputError
from app.federation.merge import Parts
from app.graphql.attributes import attributes_read
from app.graphql.policy import PUBLIC, Policy
from app.sources.base import FieldSet, PageSpec, Record, SourceSpec

R = TypeVar("R", bound=Record)
P = TypeVar("P", bound=BaseModel)
T = TypeVar("T")
V = TypeVar("V")

Bind = Callable[[Mapping[str, Any]], Callable[[Any], object]]
"""Makes, of a field's coerced arguments, what reads its value from the record, as it is there.

Whatever the arguments are, it reads the same fields of the record.

Raises ``BadUserInputError`` where an argument cannot be right.
"""

_READING = "reading"
_SHOWING = "showing"


class HasParts(Protocol):
    """A type whose fields read the answers of sources."""

    @property
    def parts(self) -> Parts:
        """What each asked source said."""
        ...


@overload
def reads(spec: SourceSpec[R], get: Callable[[R], T], description: str, *, may: Policy) -> T: ...


@overload
def reads(
    spec: SourceSpec[R],
    get: Callable[[R], V | None],
    description: str,
    *,
    may: Policy,
    of: Callable[[V], T],
) -> T: ...


def reads(
    spec: SourceSpec[R],
    get: Callable[[R], Any],
    description: str,
    *,
    may: Policy,
    of: Callable[[Any], Any] | None = None,
) -> Any:
    """Declare a field that is read from one source's record.

    The field is ``null`` when the source does not know the user, and fails with the source's code
    when the source failed.

    Args:
        spec: The source.
        get: Reads the field's value from the record.
        description: What clients read about the field.
        may: Who may see it.
        of: Makes the public object of what was read, where the field's type is one.

    Returns:
        The field; typed as its value, as dataclass fields are.
    """
    shown = Showing(get, of)
    bind: Bind = lambda _: get  # noqa: E731 # what `resolves` takes
    fields = _fields_of(spec, _read_by(bind))

    def resolve(root: HasParts) -> Any:  # noqa: ANN401 # the class body says the type
        record = root.parts.read(spec, fields)
        return None if record is None else shown.read(record)

    return resolves(spec, resolve, description, may=may, bind=bind, fields=fields)


@overload
def shows(part: type[P], get: Callable[[P], T], description: str) -> T: ...


@overload
def shows(
    part: type[P], get: Callable[[P], V | None], description: str, *, of: Callable[[V], T]
) -> T: ...


def shows(
    part: type[P],  # noqa: ARG001 # for the type checker: what `get` reads
    get: Callable[[P], Any],
    description: str,
    *,
    of: Callable[[Any], Any] | None = None,
) -> Any:
    """Declare a field of an object that is made from a part of a record.

    Args:
        part: The part.
        get: Reads the field's value from it.
        description: What clients read about the field.
        of: Makes the public object of what was read, where the field's type is one.

    Returns:
        The field; typed as its value, as dataclass fields are.
    """
    return strawberry.field(description=description, metadata={_SHOWING: Showing(get, of)})


class Shown(Generic[P]):
    """Base of the objects inside a user's fields: each is made from a part of a record."""

    @classmethod
    def of(cls, part: P) -> Self:
        """Make it.

        Args:
            part: What it shows.

        Returns:
            The object.
        """
        fields = get_object_definition(cls, strict=True).fields
        return cls(**{one.python_name: one.metadata[_SHOWING].read(part) for one in fields})


@dataclass(frozen=True, slots=True)
class Showing:
    """What a field shows of a record or a part of one.

    Attributes:
        get: Reads the value.
        of: Makes the public object of what was read, where the field's type is one.
    """

    get: Callable[[Any], object]
    of: Callable[[Any], object] | None

    def read(self, part: object) -> object:
        """Read the value as the executor wants it; what is absent is ``None``."""
        value = self.get(part)
        return value if value is None or self.of is None else self.of(value)


def showing(field: GraphQLField) -> Showing | None:
    """Find what a field of an object shows.

    Args:
        field: The field, of GraphQL's own schema.

    Returns:
        What it shows, or ``None`` where it has a resolver instead.
    """
    strawberrys: StrawberryField = field.extensions["strawberry-definition"]
    found: Showing | None = strawberrys.metadata.get(_SHOWING)
    return found


def resolves(
    spec: SourceSpec[Any],
    resolver: Callable[..., object],
    description: str,
    *,
    may: Policy,
    bind: Bind | None = None,
    pages: PageSpec[Any] | None = None,
    fields: Collection[str] | None = None,
    directives: Sequence[object] = (),
) -> Any:  # noqa: ANN401 # the class body says the type
    """Declare a field that has a resolver of its own, and reads a source.

    Args:
        spec: The source that is asked before the field is resolved.
        resolver: Resolves it.
        description: What clients read about the field.
        may: Who may see it.
        bind: Makes what reads the value from the record alone, where that is all it takes.
        pages: The list of the source that the resolver reads page by page.
        fields: The fields of the record that the resolver reads; what ``bind`` makes tells it by
            itself. All are asked for where neither is known.
        directives: What else the schema says of it.

    Returns:
        The field.
    """
    if fields is None and bind is not None:
        fields = _read_by(bind)
    return strawberry.field(
        resolver=resolver,
        # Explorers show descriptions, and no directives.
        description=description if may == PUBLIC else f"{description} Only for {may.whose}.",
        metadata={_READING: Reading(spec, _fields_of(spec, fields), may, bind, pages)},
        directives=[*may.directives, *directives],
    )


def _fields_of(spec: SourceSpec[Any], read: Collection[str] | None) -> FieldSet:
    """Find which fields of a source's record are asked for, given what is read, if that is known.

    The key is none of them: it always comes.
    """
    known = frozenset(spec.record.model_fields)
    return (known if read is None or not known.issuperset(read) else frozenset(read)) - {spec.key}


def _read_by(bind: Bind) -> FieldSet | None:
    """Find the fields of the record that a field's value is read from."""
    try:
        return attributes_read(bind({}))
    except (BadUserInputError, KeyError):  # it cannot do without arguments
        return None


@dataclass(frozen=True, slots=True)
class Reading:
    """A field and the source that it reads.

    Attributes:
        spec: The source.
        fields: The fields of its record that it reads, but for the key.
        may: Who may see it.
        bind: Makes what reads the value from the record alone, where that is all it takes.
        pages: The list of it that the field reads page by page, if it does.
    """

    spec: SourceSpec[Any]
    fields: FieldSet
    may: Policy
    bind: Bind | None
    pages: PageSpec[Any] | None


def readings(
    definition: StrawberryObjectDefinition, public_name: Callable[[Any], str]
) -> Mapping[str, Reading]:
    """List which fields of a type read which source.

    Args:
        definition: The type.
        public_name: Gives the public name of a field.

    Returns:
        What each field that reads a source reads, by its public name, in the order of the type.
    """
    return {
        public_name(field): field.metadata[_READING]
        for field in definition.fields
        if _READING in field.metadata
    }
