"""From a row as a service has it to a record, by an expression for each field. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar, cast

from pydantic.fields import FieldInfo

from app.shapes.expression import EvaluationError, Expression, compile_expression
from app.sources.base import Record, SourceSpec, UserId
from app.sources.contract import RowContract
from app.sources.foreign import FOREIGN_KEYS, ForeignKey, with_foreign_keys
from app.sources.seen import FieldSeen, RowSeen, See, with_what_is_wrong

R = TypeVar("R", bound=Record)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in the settings of a source that does not fit its record.

    Attributes:
        keys: What leads to it, below the settings of the source.
        what: What was found there and what would be right.
    """

    keys: tuple[str, ...]
    what: str


class ShapeError(ValueError):
    """The settings of a source do not fit its record.

    Attributes:
        mistakes: All that is wrong.
    """

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(f"{'.'.join(one.keys)} {one.what}" for one in mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field of the record is made.

    Attributes:
        name: What the record calls it in JSON.
        make: Makes it of a row.
        required: Whether it has to be there.
    """

    name: str
    make: Callable[[object], object]
    required: bool


class RowMapper(Generic[R]):
    """Makes records of rows.

    Args:
        spec: The source.
        fields: Its expressions, by names of fields; ``None`` where a row is what the record says.
        foreign_keys: Expressions for other sources' keys, by their names; records have them then.

    Attributes:
        key: The expression for the key, if there is one.
        foreign_keys: Those for other sources' keys, by their names.

    Raises:
        ShapeError: They do not fit the record.
    """

    def __init__(
        self,
        spec: SourceSpec[R],
        fields: Mapping[str, str] | None,
        foreign_keys: Mapping[str, str] | None = None,
    ) -> None:
        self._record = with_foreign_keys(spec.record) if foreign_keys else spec.record
        self._contract = RowContract(self._record)
        self.foreign_keys = {
            name: compile_expression(text) for name, text in (foreign_keys or {}).items()
        }
        self._key = name_in_json(spec, spec.key)
        expressions = None if fields is None else _expressions(spec, fields)
        self.key: Expression | None = (expressions or {}).get(spec.key)
        self._fields = tuple(
            _Field(name_in_json(spec, name), make, info.is_required())
            for name, info in spec.record.model_fields.items()
            if name != spec.key and (make := _maker(spec, name, expressions)) is not None
        )

    def record(self, row: object, user: UserId) -> R | str:
        """Make a record.

        Args:
            row: The row, of any type, with ``Decimal`` for numbers that have a fraction.
            user: Whose it is; this is the record's key, however the row writes it.

        Returns:
            The record, or what is wrong with the row, which says nothing of what is in it.
        """
        values: dict[str, object] = {self._key: user}
        for field in self._fields:
            try:
                value = field.make(row)
            except EvaluationError as error:
                return f"{field.name}: {error}"
            if value is not None or field.required:
                values[field.name] = value
        if self.foreign_keys:
            found = {name: ForeignKey.of(row, one) for name, one in self.foreign_keys.items()}
            values[FOREIGN_KEYS] = found
        return self._contract.read(values)


class WatchedMapper(RowMapper[R]):
    """Makes records of rows while somebody watches.

    Args:
        spec: The source.
        fields: Its expressions, by names of fields.
        see: Is shown how each record was made.
        foreign_keys: Expressions for other sources' keys, by their names.
    """

    def __init__(
        self,
        spec: SourceSpec[R],
        fields: Mapping[str, str] | None,
        see: See,
        foreign_keys: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(spec, fields, foreign_keys)
        self._name = spec.name
        self._see = see
        names = {name_in_json(spec, name): name for name in spec.record.model_fields}
        self._texts = {
            written: (fields or {}).get(written, (fields or {}).get(name))
            for written, name in names.items()
        }

    def record(self, row: object, user: UserId) -> R | str:
        """Make a record, and show how."""
        record = super().record(row, user)
        values: dict[str, object] = {self._key: user}
        seen: list[FieldSeen] = []
        for field in self._fields:
            try:
                value, wrong = field.make(row), None
            except EvaluationError as error:
                value, wrong = None, str(error)
            seen.append(FieldSeen(field.name, self._texts[field.name], value, wrong))
            if wrong is None and (value is not None or field.required):
                values[field.name] = value
        failed = isinstance(record, str)
        self._see(
            RowSeen(
                source=self._name,
                key=user,
                record=None if isinstance(record, str) else record,
                wrong=record if isinstance(record, str) else None,
                fields=with_what_is_wrong(seen, self._record, values) if failed else seen,
            )
        )
        return record


def name_in_json(spec: SourceSpec[R], name: str) -> str:
    """Tell what a record calls a field in JSON.

    Args:
        spec: The source.
        name: The field's name in Python.

    Returns:
        The name in JSON.
    """
    return spec.record.model_fields[name].alias or name


def _maker(
    spec: SourceSpec[R], name: str, expressions: Mapping[str, Expression] | None
) -> Callable[[object], object] | None:
    """Tell how a field is made, if it is."""
    if expressions is not None:
        return expressions[name].of if name in expressions else None
    alias = name_in_json(spec, name)

    def same(row: object) -> object:
        return cast("Mapping[str, object]", row).get(alias) if isinstance(row, dict) else None

    return same


def by_field(
    spec: SourceSpec[Any], fields: Mapping[str, V], at: tuple[str, ...] = ("fields",)
) -> tuple[Mapping[str, V], Sequence[Mistake]]:
    """Find the fields of a record that names in the settings are of.

    Args:
        spec: The source.
        fields: Anything, by names of fields as in JSON or in Python.
        at: Where these are in the settings.

    Returns:
        The same by the fields' Python names, and what is wrong with names.
    """
    known: Mapping[str, FieldInfo] = spec.record.model_fields
    names = {name_in_json(spec, name): name for name in known} | {name: name for name in known}
    mistakes: list[Mistake] = []
    found: dict[str, V] = {}
    for written, text in fields.items():
        name = names.get(written)
        if name is None:
            near = get_close_matches(written, names, n=1)
            hint = (
                f"did you mean {near[0]}?"
                if near
                else f"expected one of {', '.join(sorted(known))}."
            )
            mistakes.append(Mistake((*at, written), f"is no field of {spec.name}: {hint}"))
        elif name in found:
            mistakes.append(Mistake((*at, written), "is there already, by its other name."))
        else:
            found[name] = text
    return found, mistakes


def _expressions(spec: SourceSpec[R], fields: Mapping[str, str]) -> Mapping[str, Expression]:
    """Compile expressions, by the Python names of their fields."""
    found, wrong = by_field(spec, fields)
    known: Mapping[str, FieldInfo] = spec.record.model_fields
    mistakes = [
        *wrong,
        *(
            Mistake(
                ("fields", name), f"is missing: expected an expression for it. {info.description}"
            )
            for name, info in known.items()
            if info.is_required() and name not in found and name != spec.key
        ),
    ]
    if mistakes:
        raise ShapeError(mistakes)
    return {name: compile_expression(text) for name, text in found.items()}
