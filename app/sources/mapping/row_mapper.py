"""From a row of a service to a record, by an expression for each field. Pure.

A row may have keys of other sources (foreign keys): billing may know a user by a customer id that
only the user's row at profile has. The record of such a row holds the key next to its own fields,
also in the cache. The public schema cannot read it.
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
"""The JSON name of the foreign keys in a record. It is never read from a row."""

_KINDS: Mapping[type, str] = {bool: "true or false", dict: "an object", list: "a list"}


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """The key of a user at another source.

    Attributes:
        key: The key; ``None`` if there is none.
        wrong: Why the value in its place is not a key, without the value; ``None`` if nothing is
            wrong.
    """

    key: str | None = None
    wrong: str | None = None

    @classmethod
    def of(cls, row: object, expression: Expression) -> "ForeignKey":
        """Read the key from a row.

        Args:
            row: The row of the service.
            expression: The expression for the key.

        Returns:
            The key. An empty text means that there is none.
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
    """Create the record type of a source whose rows have foreign keys.

    Args:
        record: The record type without foreign keys.

    Returns:
        A subtype of it and of ``HasForeignKeys``.
    """
    return cast("type[R]", create_model(record.__name__, __base__=(record, HasForeignKeys)))


def wrong_foreign_keys(record: Record) -> Sequence[str]:
    """List what is wrong with the foreign keys in a record.

    Args:
        record: Any record.

    Returns:
        The mistakes, without values; empty if the record has no foreign keys.
    """
    if not isinstance(record, HasForeignKeys):
        return ()
    return [key.wrong for key in record.foreign_keys.values() if key.wrong is not None]


def foreign_key_of(
    answer: Record | SourceFailure | None, *, source: str, parent: str
) -> UserId | SourceFailure | None:
    """Return the key of a user at one source, from the result of another source.

    Args:
        answer: The result of ``parent`` for the user.
        source: Name of the source that needs the key.
        parent: Name of the source whose rows have the key.

    Returns:
        The key; ``None`` if there is no key or no such user; a failure of ``parent`` if it failed,
        or if the value is not a key.

    Raises:
        TypeError: The records of ``parent`` have no foreign keys: a bug of ours.
    """
    if answer is None or isinstance(answer, SourceFailure):
        return answer
    keys: Mapping[str, ForeignKey] | None = getattr(answer, "foreign_keys", None)
    if keys is None:  # ``getattr``, because a merged record is not a ``HasForeignKeys``
        raise TypeError(f"a record of {parent} without foreign keys")
    found = keys[source]
    if found.wrong is not None:
        return SourceFailure(parent, Code.SOURCE_MALFORMED, f"the key of {source}: {found.wrong}")
    return None if found.key is None else UserId(found.key)


V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class MappingMistake:
    """A setting of a source that does not fit its record.

    Attributes:
        keys: Path of the setting, below the settings of the source.
        what: What is wrong, and what was expected.
    """

    keys: tuple[str, ...]
    what: str


class MappingError(ValueError):
    """The settings of a source do not fit its record.

    Args:
        mistakes: All mistakes, at least one.

    Attributes:
        mistakes: The same.
    """

    def __init__(self, mistakes: Sequence[MappingMistake]) -> None:
        super().__init__(
            "; ".join(f"{'.'.join(mistake.keys)} {mistake.what}" for mistake in mistakes)
        )
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field of the record is made.

    Attributes:
        name: Its name in JSON.
        make: Returns its value from a row.
        required: Whether the record requires it.
    """

    name: str
    make: Callable[[object], object]
    required: bool


class RowMapper(Generic[R]):
    """Converts rows to records.

    Args:
        spec: The source.
        fields: The expressions by names of fields; ``None`` if rows have the fields of the record.
        foreign_keys: Expressions for keys of other sources, by source name. With them, records have
            foreign keys.

    Attributes:
        key: The expression for the key; ``None`` if there is none.
        foreign_keys: The compiled expressions for keys of other sources, by source name.

    Raises:
        MappingError: The expressions do not fit the record. It has all mistakes.
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
        """Convert a row to a record.

        Args:
            row: The row, of any type, with ``Decimal`` for numbers that have a fraction.
            user: The requested key. The record gets this key, even if the row spells it
                differently.

        Returns:
            The record, or a text that says what is wrong with the row, without its values.
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
            values[FOREIGN_KEYS] = {
                name: ForeignKey.of(row, expression)
                for name, expression in self.foreign_keys.items()
            }
        return self._contract.read(values)


class ObservedRowMapper(RowMapper[R]):
    """Converts rows to records, and reports each to an observer.

    Args:
        spec: The source.
        fields: The expressions by names of fields; ``None`` if rows have the fields of the record.
        observer: Called for each record with how it was made.
        foreign_keys: Expressions for keys of other sources, by source name.

    Raises:
        MappingError: The expressions do not fit the record. It has all mistakes.
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
            alias: (fields or {}).get(alias, (fields or {}).get(name))
            for alias, name in names.items()
        }

    def record(self, row: object, user: UserId) -> R | str:
        """Convert a row to a record, and report it to the observer.

        Args:
            row: The row, of any type, with ``Decimal`` for numbers that have a fraction.
            user: The requested key.

        Returns:
            The record, or a text that says what is wrong with the row, without its values.
        """
        record = super().record(row, user)
        values: dict[str, object] = {self._key: user}
        observed: list[FieldObservation] = []
        for field in self._fields:
            try:
                value, wrong = field.make(row), None
            except EvaluationError as error:
                value, wrong = None, str(error)
            observed.append(FieldObservation(field.name, self._texts[field.name], value, wrong))
            if wrong is None and (value is not None or field.required):
                values[field.name] = value
        failed = isinstance(record, str)
        self._observer(
            RowObservation(
                source=self._name,
                key=user,
                record=None if isinstance(record, str) else record,
                mistake=record if isinstance(record, str) else None,
                fields=with_what_is_wrong(observed, self._record, values) if failed else observed,
            )
        )
        return record


def name_in_json(spec: SourceSpec[R], name: str) -> str:
    """Return the JSON name of a field of a record.

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
    """Return the function from a row to a field; ``None`` if the field has no expression."""
    if expressions is not None:
        return expressions[name].evaluate if name in expressions else None
    alias = name_in_json(spec, name)

    def member(row: object) -> object:
        return cast("Mapping[str, object]", row).get(alias) if isinstance(row, dict) else None

    return member


def by_field(
    spec: SourceSpec[Any], fields: Mapping[str, V], at: tuple[str, ...] = ("fields",)
) -> tuple[Mapping[str, V], Sequence[MappingMistake]]:
    """Find the fields of a record for names in the settings.

    Args:
        spec: The source.
        fields: Any values, by names of fields in JSON or in Python.
        at: Path of these names in the settings.

    Returns:
        The values by the Python names of the fields, and the mistakes in the names.
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
    """Return the compiled expressions by the Python names of their fields."""
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
