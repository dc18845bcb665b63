"""From the values of one row to a record, and the observation of it. Pure.

A row is written as JSON and parsed by its record type, because strict parsing reads a time only
from JSON. If that fails, the row may still have everything that the record needs, and also a value
that cannot be written or read (text with a lone surrogate, a value nested too deep). Then such
values that the record does not name are left out, and the row is parsed again.

An observer gets the expression and the value of each field of a row. Without an observer, no
observation is created.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from operator import is_
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeAlias, TypeVar, Union, cast, get_args, get_origin

from msgspec import Struct
from pydantic import ValidationError, create_model

from app.errors import mistakes_in
from app.expressions.functions import as_json
from app.sources.base import Record
from app.sources.mapping.scan import is_text

R = TypeVar("R", bound=Record)

MAX_DEPTH = 64
"""Maximum nesting of a value that a record does not name."""

MAX_INTEGER = 2**63 - 1
"""The largest integer that ``as_json`` always writes."""

LISTS = frozenset({Union, UnionType, list, tuple, set, frozenset, Sequence})
"""Optional types and lists: their only argument is the type that a record reads."""


class _ContractMembers(Struct, frozen=True):
    """The members of an object that a record reads.

    Attributes:
        inner: What it reads of each member, by name; ``None`` for everything.
    """

    inner: "Mapping[str, _ContractMembers | None]"


class RowDamage(Struct, Generic[R], frozen=True):
    """What does not fit in a row.

    Attributes:
        record: The record without the values that do not fit; ``None`` if the row as a whole does
            not fit.
        wrong: What is wrong with a field, by its Python name, without values; with the name ``""``,
            what is wrong with the whole row.
    """

    record: R | None
    wrong: Mapping[str, str]

    @property
    def text(self) -> str:
        """What is wrong: the first mistake, and the number of further ones."""
        first, *more = self.wrong.values()
        return first + (f" (and {len(more)} more)" if more else "")


class RowContract(Generic[R]):
    """Reads rows as records of one type. Each field of a row stands for itself.

    Args:
        record: The record type.
    """

    def __init__(self, record: type[R]) -> None:
        self._record = record
        self._members = _members_of(record, ())
        self._names = {info.alias or name: name for name, info in record.model_fields.items()}

    def read(self, row: object) -> R | RowDamage[R]:
        """Read a row.

        Args:
            row: Plain data, with ``Decimal`` for numbers that have a fraction.

        Returns:
            The record, or what does not fit.
        """
        record = self._parse(row)
        if not isinstance(record, RowDamage):
            return record
        readable = _readable(row, self._members)
        if readable is not row:
            record = self._parse(readable)
            if not isinstance(record, RowDamage):
                return record
        if "" in record.wrong or not isinstance(readable, dict):
            return record
        members = cast("Mapping[str, object]", readable).items()
        rest = {name: value for name, value in members if self._names.get(name) not in record.wrong}
        undamaged = self._parse(rest)
        return record if isinstance(undamaged, RowDamage) else RowDamage(undamaged, record.wrong)

    def value(self, name: str, value: object) -> object:
        """Read the value of one field. The other fields do not matter.

        Args:
            name: The Python name of the field.
            value: Its value in a row.

        Returns:
            The value that a record has; the same value if it does not fit.
        """
        info = self._record.model_fields[name]
        fields: dict[str, Any] = {name: (info.annotation, info)}
        alone = create_model(self._record.__name__, __base__=Record, **fields)
        row = _readable({info.alias or name: value}, self._members)
        try:
            return getattr(alone.model_validate_json(as_json(row)), name)
        except (ValidationError, TypeError):
            return value

    def _parse(self, row: object) -> R | RowDamage[R]:
        """Parse a row as it is."""
        try:
            return self._record.model_validate_json(as_json(row))
        except ValidationError as error:
            wrong: dict[str, str] = {}
            for place, detail in mistakes_in(error):
                wrong.setdefault(self._names.get(place, ""), detail)
        except TypeError as error:
            # Other names of the row stay secret: they come from the source, and may be anything.
            found, known = unwritable(row), self._names.items()
            wrong = {name: f"{alias}: {found[alias]}" for alias, name in known if alias in found}
            wrong = wrong or {"": f"it cannot be written as JSON: {error}"}
        return RowDamage(None, wrong)


def unwritable(row: object) -> Mapping[str, str]:
    """Find the members of a row that cannot be written as JSON.

    Args:
        row: The row.

    Returns:
        What is wrong with each such member, by its name.
    """
    found: dict[str, str] = {}
    for name, value in cast("Mapping[str, object]", row).items() if isinstance(row, dict) else ():
        try:
            as_json(value)
        except TypeError as error:
            found[name] = f"it cannot be written as JSON: {error}"
    return found


def _readable(value: object, members: _ContractMembers | None, depth: int = 0) -> object:
    """Return a value without unreadable members that the record does not read.

    ``members`` are those that the record reads of the value, or of each item of a list. If nothing
    is left out, the result is the value itself.
    """
    if type(value) is int:
        return value if -MAX_INTEGER <= value <= MAX_INTEGER else Decimal(value)
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, list):
        items = cast("list[object]", value)
        readable = [_readable(item, members, depth + 1) for item in items]
        return items if all(map(is_, readable, items)) else readable
    if isinstance(value, dict):
        whole = cast("dict[str, object]", value)
        kept: dict[str, object] = {}
        for name, member in whole.items():
            if members is None or name in members.inner:
                inner = None if members is None else members.inner[name]
                kept[name] = _readable(member, inner, depth + 1)
            elif _is_plain([name, member]):
                kept[name] = member
        same = len(kept) == len(whole) and all(map(is_, kept.values(), whole.values()))
        return whole if same else kept
    return value


def _is_plain(value: object, depth: int = 0) -> bool:
    """Return whether every JSON parser can read a value after it was written."""
    if isinstance(value, str):
        return is_text(value)
    if isinstance(value, int):
        return -MAX_INTEGER <= value <= MAX_INTEGER
    if isinstance(value, list) and depth <= MAX_DEPTH:
        return all(_is_plain(item, depth + 1) for item in cast("Sequence[object]", value))
    if isinstance(value, dict) and depth <= MAX_DEPTH:
        members = cast("Mapping[str, object]", value)
        return all(_is_plain(part, depth + 1) for pair in members.items() for part in pair)
    return value is None or isinstance(value, Decimal)


def _members_of(record: type[Record], parents: Sequence[type[Record]]) -> _ContractMembers | None:
    """Return the members that a record type within others reads; ``None`` for everything."""
    if record in parents or record.model_config.get("extra") != "ignore":
        return None
    inner: dict[str, _ContractMembers | None] = {}
    for name, info in record.model_fields.items():
        alias = info.validation_alias or name
        if not isinstance(alias, str):  # several alternatives
            return None
        inner[alias] = _members_in(info.annotation, (*parents, record))
    return _ContractMembers(inner)


def _members_in(annotation: object, parents: Sequence[type[Record]]) -> _ContractMembers | None:
    """Return the members that a field of this type reads; ``None`` for everything."""
    inner = [part for part in get_args(annotation) if part is not NoneType and part is not ...]
    origin = get_origin(annotation)
    if origin is Annotated or (origin in LISTS and len(inner) == 1):
        return _members_in(inner[0], parents)
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return _members_of(annotation, parents)
    return None


class FieldObservation(Struct, frozen=True):
    """How a field of a record was made.

    Attributes:
        name: Its name in JSON.
        expression: Its expression; ``None`` if it was read from the row by its name.
        value: The value of the expression.
        made: The value that a record has, even if this row as a whole does not fit.
        mistake: Why the value cannot be used; ``None`` if it can.
    """

    name: str
    expression: str | None
    value: object = None
    made: object = None
    mistake: str | None = None


class RowObservation(Struct, frozen=True):
    """How a record was made from a row.

    Attributes:
        source: Name of the source.
        key: The key, as it was requested.
        row: The row, or the rows of a group; empty if the service has none, and the values are
            those of a user without a row.
        mistake: Why the row does not fit; ``None`` if it does.
        fields: How each field was made, in the order of the record, and then each key of another
            source.
    """

    source: str
    key: str
    row: object
    mistake: str | None
    fields: Sequence[FieldObservation]


Observer: TypeAlias = Callable[[RowObservation], None]
"""Called for each row with how its record was made."""
