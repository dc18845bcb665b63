"""From a row as a service has it to a record, by an expression for each field. Pure.

Keys of other sources in the rows of one: they stay with its record, wherever that is kept.

Billing may know a user by a customer id that only the user's row at profile has. The record of such
a row has the key beside its own fields, out of reach of what the public schema reads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar, cast

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from app.errors import Code, SourceFailure
from app.expressions.expression import EvaluationError, Expression, compile_expression
from app.sources.base import Record, SourceSpec, UserId
from app.sources.mapping.contract import (
    FieldObservation,
    Observer,
    RowContract,
    RowObservation,
    with_what_is_wrong,
)
from app.sources.mapping.scan import is_text

R = TypeVar("R", bound=Record)

FOREIGN_KEYS = "foreignKeys"
"""What a record with keys of other sources calls them in JSON. It is never read from a row."""

_KINDS: Mapping[type, str] = {bool: "true or false", dict: "an object", list: "a list"}


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """The key of a user at another source.

    Attributes:
        key: The key; ``None`` where there is none.
        wrong: Why there is none, where something else is in its place; says nothing of what.
    """

    key: str | None = None
    wrong: str | None = None

    @classmethod
    def of(cls, row: object, expression: Expression) -> "ForeignKey":
        """Find it in a row.

        Args:
            row: The row, as it came.
            expression: Where it is.

        Returns:
            The key. An empty text is none: there is nobody to ask for.
        """
        try:
            key = expression.evaluate(row)
        except EvaluationError as error:
            return cls(wrong=f"{expression.text}: {error}")
        if key is None or key == "":
            return cls()
        if type(key) is int:
            return cls(key=str(key))
        if not isinstance(key, str):
            kind = _KINDS.get(type(key), "a number with a fraction")
            return cls(wrong=f"{expression.text}: expected text or a whole number, got {kind}")
        if not is_text(key):
            return cls(wrong=f"{expression.text}: expected text, got half a character")
        return cls(key=key)


class HasForeignKeys(Record):
    """A record with keys of other sources."""

    foreign_keys: Mapping[str, ForeignKey] = Field(
        alias=FOREIGN_KEYS, description="The user's keys, by the names of the sources they are for."
    )


def with_foreign_keys(record: type[R]) -> type[R]:
    """Make the type of a source's records, where its rows have keys of other sources.

    Args:
        record: The type of its records otherwise.

    Returns:
        The same, that ``HasForeignKeys`` too.
    """
    return cast("type[R]", create_model(record.__name__, __base__=(record, HasForeignKeys)))


def wrong_foreign_keys(record: Record) -> Sequence[str]:
    """List what is wrong with the keys in a record, if it has some."""
    if not isinstance(record, HasForeignKeys):
        return ()
    return [one.wrong for one in record.foreign_keys.values() if one.wrong is not None]


def foreign_key_of(
    answer: Record | SourceFailure | None, *, source: str, parent: str
) -> UserId | SourceFailure | None:
    """Find the key of a user at a source, in what another source said of the user.

    Args:
        answer: What that one said.
        source: The source that the key is for.
        parent: The one that said it.

    Returns:
        The key; ``None`` where there is none, or no such user; the failure of ``parent`` where it
        failed, or has something there that is no key.

    Raises:
        TypeError: Its records have no keys of others: a bug of ours.
    """
    if answer is None or isinstance(answer, SourceFailure):
        return answer
    keys: Mapping[str, ForeignKey] | None = getattr(answer, "foreign_keys", None)
    if keys is None:  # a joined record has them by no type of its own
        raise TypeError(f"a record of {parent} without foreign keys")
    found = keys[source]
    if found.wrong is not None:
        return SourceFailure(parent, Code.SOURCE_MALFORMED, f"the key of {source}: {found.wrong}")
    return None if found.key is None else UserId(found.key)


V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class MappingMistake:
    """Something in the settings of a source that does not fit its record.

    Attributes:
        keys: What leads to it, below the settings of the source.
        what: What was found there and what would be right.
    """

    keys: tuple[str, ...]
    what: str


class MappingError(ValueError):
    """The settings of a source do not fit its record.

    Attributes:
        mistakes: All that is wrong.
    """

    def __init__(self, mistakes: Sequence[MappingMistake]) -> None:
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
        MappingError: They do not fit the record.
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


class ObservedRowMapper(RowMapper[R]):
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
        observer: Observer,
        foreign_keys: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(spec, fields, foreign_keys)
        self._name = spec.name
        self._observer = observer
        names = {name_in_json(spec, name): name for name in spec.record.model_fields}
        self._texts = {
            written: (fields or {}).get(written, (fields or {}).get(name))
            for written, name in names.items()
        }

    def record(self, row: object, user: UserId) -> R | str:
        """Make a record, and show how."""
        record = super().record(row, user)
        values: dict[str, object] = {self._key: user}
        seen: list[FieldObservation] = []
        for field in self._fields:
            try:
                value, wrong = field.make(row), None
            except EvaluationError as error:
                value, wrong = None, str(error)
            seen.append(FieldObservation(field.name, self._texts[field.name], value, wrong))
            if wrong is None and (value is not None or field.required):
                values[field.name] = value
        failed = isinstance(record, str)
        self._observer(
            RowObservation(
                source=self._name,
                key=user,
                record=None if isinstance(record, str) else record,
                mistake=record if isinstance(record, str) else None,
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
        return expressions[name].evaluate if name in expressions else None
    alias = name_in_json(spec, name)

    def same(row: object) -> object:
        return cast("Mapping[str, object]", row).get(alias) if isinstance(row, dict) else None

    return same


def by_field(
    spec: SourceSpec[Any], fields: Mapping[str, V], at: tuple[str, ...] = ("fields",)
) -> tuple[Mapping[str, V], Sequence[MappingMistake]]:
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
    mistakes: list[MappingMistake] = []
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
            mistakes.append(MappingMistake((*at, written), f"is no field of {spec.name}: {hint}"))
        elif name in found:
            mistakes.append(MappingMistake((*at, written), "is there already, by its other name."))
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
            MappingMistake(
                ("fields", name), f"is missing: expected an expression for it. {info.description}"
            )
            for name, info in known.items()
            if info.is_required() and name not in found and name != spec.key
        ),
    ]
    if mistakes:
        raise MappingError(mistakes)
    return {name: compile_expression(text) for name, text in found.items()}
