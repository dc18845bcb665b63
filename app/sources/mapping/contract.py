"""From the values of one row to a record, and what an observer is shown of it. Pure.

From the values of one row to a record, whatever else is in the row. Pure.

A row is written as JSON and read by its record: strict parsing takes a time from JSON alone. Where
that fails, the row may still hold all that the record needs, beside something that cannot be
written or read (text with a half of a surrogate pair, a value nested too deep). What the record
does not name is left out then, if it is of that kind, and the row is read once more.

What whoever watches the reading of answers is shown of a row: which expression gave what.

Nothing of it is made while nobody watches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from operator import is_
from types import NoneType, UnionType
from typing import Annotated, Generic, TypeAlias, TypeVar, Union, cast, get_args, get_origin

from pydantic import ValidationError

from app.errors import what_is_wrong
from app.expressions.functions import as_json
from app.sources.base import Record
from app.sources.mapping.scan import is_text

R = TypeVar("R", bound=Record)

MAX_DEPTH = 64
"""How deep a value may be nested that a record does not name."""

MAX_INTEGER = 2**63 - 1
"""The largest integer that ``as_json`` writes in any case."""

LISTS = frozenset({Union, UnionType, list, tuple, set, frozenset, Sequence})
"""Types whose only argument is the type of what a record reads: optional ones, and lists."""


@dataclass(frozen=True, slots=True)
class _ContractMembers:
    """The members of an object that a record reads.

    Attributes:
        inner: What it reads of each of them, by their names; ``None`` for all of it.
    """

    inner: "Mapping[str, _ContractMembers | None]"


class RowContract(Generic[R]):
    """Reads rows as one record.

    Args:
        record: The record.
    """

    def __init__(self, record: type[R]) -> None:
        self._record = record
        self._members = _members_of(record, ())

    def read(self, row: object) -> R | str:
        """Read a row.

        Args:
            row: Plain data, with ``Decimal`` for numbers that have a fraction.

        Returns:
            The record, or what is wrong with the row, which says nothing of what is in it.
        """
        record = self._read(row)
        if not isinstance(record, str):
            return record
        readable = _readable(row, self._members)
        again = record if readable is row else self._read(readable)
        return record if isinstance(again, str) else again

    def _read(self, row: object) -> R | str:
        """Read a row as it is."""
        try:
            return self._record.model_validate_json(as_json(row))
        except ValidationError as error:
            return what_is_wrong(error)
        except TypeError as error:
            # No other names of the row are told: they are the source's, and may be anything.
            known = () if self._members is None else self._members.inner
            named = [name for name in unwritable(row) if name in known]
            return ": ".join(["it cannot be written as JSON", *named[:1], str(error)])


def unwritable(row: object) -> Mapping[str, str]:
    """Find the members of a row that cannot be written as JSON.

    Args:
        row: The row.

    Returns:
        What is wrong with each of them, by its name.
    """
    found: dict[str, str] = {}
    for name, value in cast("Mapping[str, object]", row).items() if isinstance(row, dict) else ():
        try:
            as_json(value)
        except TypeError as error:
            found[name] = f"it cannot be written as JSON: {error}"
    return found


def _readable(value: object, members: _ContractMembers | None, depth: int = 0) -> object:
    """Leave out of a value what its record does not read, where that cannot be read.

    Args:
        value: The value.
        members: What the record reads of it, or of each of a list; ``None`` for all.
        depth: How deep it is in the row.

    Returns:
        What is left; the value itself, where that is all of it.
    """
    if type(value) is int:
        return value if -MAX_INTEGER <= value <= MAX_INTEGER else Decimal(value)
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, list):
        items = cast("list[object]", value)
        left = [_readable(one, members, depth + 1) for one in items]
        return items if all(map(is_, left, items)) else left
    if isinstance(value, dict):
        whole = cast("dict[str, object]", value)
        kept: dict[str, object] = {}
        for name, one in whole.items():
            if members is None or name in members.inner:
                inner = None if members is None else members.inner[name]
                kept[name] = _readable(one, inner, depth + 1)
            elif _is_plain([name, one]):
                kept[name] = one
        same = len(kept) == len(whole) and all(map(is_, kept.values(), whole.values()))
        return whole if same else kept
    return value


def _is_plain(value: object, depth: int = 0) -> bool:
    """Tell whether a value can be written as JSON and read again, whoever reads it."""
    if isinstance(value, str):
        return is_text(value)
    if isinstance(value, int):
        return -MAX_INTEGER <= value <= MAX_INTEGER
    if isinstance(value, list) and depth <= MAX_DEPTH:
        return all(_is_plain(one, depth + 1) for one in cast("Sequence[object]", value))
    if isinstance(value, dict) and depth <= MAX_DEPTH:
        members = cast("Mapping[str, object]", value)
        return all(_is_plain(one, depth + 1) for pair in members.items() for one in pair)
    return value is None or isinstance(value, Decimal)


def _members_of(record: type[Record], around: Sequence[type[Record]]) -> _ContractMembers | None:
    """Find what a record reads of a row; ``None`` where it may be all.

    Args:
        record: The record.
        around: The records that it is within.
    """
    if record in around or record.model_config.get("extra") != "ignore":
        return None
    inner: dict[str, _ContractMembers | None] = {}
    for name, info in record.model_fields.items():
        written = info.validation_alias or name
        if not isinstance(written, str):  # one of several
            return None
        inner[written] = _members_in(info.annotation, (*around, record))
    return _ContractMembers(inner)


def _members_in(annotation: object, around: Sequence[type[Record]]) -> _ContractMembers | None:
    """Find what a field reads of an object, or of each object of a list; ``None`` for all."""
    inner = [one for one in get_args(annotation) if one is not NoneType and one is not ...]
    origin = get_origin(annotation)
    if origin is Annotated or (origin in LISTS and len(inner) == 1):
        return _members_in(inner[0], around)
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return _members_of(annotation, around)
    return None


@dataclass(frozen=True, slots=True)
class FieldObservation:
    """How a field of a record was made.

    Attributes:
        name: What the record calls it in JSON.
        expression: What it was made by; ``None`` where the row has it by that name.
        value: What that gave.
        mistake: Why that cannot be used; ``None`` where it can.
    """

    name: str
    expression: str | None
    value: object = None
    mistake: str | None = None


@dataclass(frozen=True, slots=True)
class RowObservation:
    """How a record was made of a row.

    Attributes:
        source: Whose row it is.
        key: The key that was asked for, as it was asked for.
        record: The record; ``None`` where the row does not fit.
        mistake: Why it does not; ``None`` where it does.
        fields: How each field was made, in the order of the record.
    """

    source: str
    key: str
    record: Record | None
    mistake: str | None
    fields: Sequence[FieldObservation]


Observer: TypeAlias = Callable[[RowObservation], None]
"""Is shown rows while answers are read."""


def with_what_is_wrong(
    fields: Sequence[FieldObservation], record: type[Record], values: Mapping[str, object]
) -> Sequence[FieldObservation]:
    """Say of each field what is wrong with its value.

    Args:
        fields: How they were made.
        record: What they are to be fields of.
        values: All values, by their names in JSON.

    Returns:
        The same, each with the first thing that is wrong with it.
    """
    wrong: dict[str, str] = {}
    try:
        record.model_validate_json(as_json(values))
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False, include_context=False):
            field, *within = [str(part) for part in one["loc"]] or ["all of it"]
            place = f"{'.'.join(within)}: " if within else ""
            wrong.setdefault(field, place + one["msg"])
    except TypeError:
        wrong.update(unwritable(values))
    return [
        one if one.mistake is not None else replace(one, mistake=wrong.get(one.name))
        for one in fields
    ]
