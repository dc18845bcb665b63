"""From a row of a service to a record, by an expression for each field. Pure.

A row may have keys of other sources (foreign keys): billing may know a user by a customer id that
only the user's row at profile has. The record of such a row holds the key next to its own fields,
also in the cache. The public schema cannot read it.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar, cast

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from app.errors import Code, SourceFailure
from app.expressions.expression import EvaluationError, Expression, compile_expression
from app.sources.base import DamagedRecord, Record, RecordSpec, SourceResult, UserId
from app.sources.mapping.contract import (
    FieldObservation,
    Observer,
    RowContract,
    RowDamage,
    RowObservation,
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
    answer: SourceResult[Record], *, source: str, parent: str
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
    record = answer.record if isinstance(answer, DamagedRecord) else answer
    keys: Mapping[str, ForeignKey] | None = getattr(record, "foreign_keys", None)
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
        name: Its Python name.
        json_name: Its name in JSON.
        make: Returns its value from a row.
        members: The members of a row that it reads; ``None`` if it reads the whole row.
    """

    name: str
    json_name: str
    make: Callable[[object], object]
    members: AbstractSet[str] | None


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
        spec: RecordSpec[R],
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
            field
            for name in spec.record.model_fields
            if name != spec.key and (field := _field(spec, name, expressions)) is not None
        )

    def recognizes(self, row: object) -> bool:
        """Return whether a row has anything that a field reads.

        Args:
            row: The row, of any type.

        Returns:
            Whether it has a member with one of the names that the fields begin with, even if that
            is null; or, for a field that reads the whole row, a value.
        """
        names = _members_of(row).keys()
        return row is not None and any(
            _has_value(field, row) if field.members is None else not names.isdisjoint(field.members)
            for field in self._fields
        )

    def record(self, row: object, user: UserId) -> R | RowDamage[R]:
        """Convert a row to a record.

        Args:
            row: The row, of any type, with ``Decimal`` for numbers that have a fraction.
            user: The requested key. The record gets this key, even if the row spells it
                differently.

        Returns:
            The record, or what does not fit in the row.
        """
        if not _is_object(row) and not self.recognizes(row):
            return RowDamage(None, {"": "all of it: expected an object"})
        values: dict[str, object] = {self._key: user}
        wrong: dict[str, str] = {}
        for field in self._fields:
            try:
                value = field.make(row)
            except EvaluationError as error:
                wrong[field.name] = f"{field.json_name}: {error}"
                continue
            if value is not None:
                values[field.json_name] = value
        if self.foreign_keys:
            values[FOREIGN_KEYS] = {
                name: ForeignKey.of(row, expression)
                for name, expression in self.foreign_keys.items()
            }
        record = self._contract.read(values)
        if isinstance(record, RowDamage):
            return RowDamage(record.record, {**record.wrong, **wrong})
        return RowDamage(record, wrong) if wrong else record


def _is_object(row: object) -> bool:
    """Return whether a row is an object."""
    return isinstance(row, dict)


def _members_of(row: object) -> Mapping[str, object]:
    """Return the members of a row; none if it is not an object."""
    return cast("Mapping[str, object]", row) if isinstance(row, dict) else {}


def _has_value(field: _Field, row: object) -> bool:
    """Return whether a field has a value in a row, even a wrong one."""
    try:
        return field.make(row) is not None
    except EvaluationError:
        return True


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
        spec: RecordSpec[R],
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

    def record(self, row: object, user: UserId) -> R | RowDamage[R]:
        """Convert a row to a record, and report it to the observer.

        Args:
            row: The row, of any type, with ``Decimal`` for numbers that have a fraction.
            user: The requested key.

        Returns:
            The record, or what does not fit in the row.
        """
        record = super().record(row, user)
        damage = record if isinstance(record, RowDamage) else None
        wrong: Mapping[str, str] = {} if damage is None else damage.wrong
        observed: list[FieldObservation] = []
        for field in self._fields:
            try:
                value = field.make(row)
            except EvaluationError:
                value = None
            name, mistake = field.json_name, wrong.get(field.name)
            if mistake is not None:
                mistake = mistake.removeprefix(f"{name}: ").removeprefix(f"{name}.")
            observed.append(FieldObservation(name, self._texts[name], value, mistake))
        self._observer(
            RowObservation(
                source=self._name,
                key=user,
                record=record.record if isinstance(record, RowDamage) else record,
                mistake=None if damage is None else damage.text,
                fields=observed,
            )
        )
        return record


def name_in_json(spec: RecordSpec[R], name: str) -> str:
    """Return the JSON name of a field of a record.

    Args:
        spec: The source.
        name: The field's name in Python.

    Returns:
        The name in JSON.
    """
    return spec.record.model_fields[name].alias or name


def _field(
    spec: RecordSpec[R], name: str, expressions: Mapping[str, Expression] | None
) -> _Field | None:
    """Return how a field is made from a row; ``None`` if it has no expression."""
    alias = name_in_json(spec, name)
    if expressions is not None:
        expression = expressions.get(name)
        if expression is None:
            return None
        return _Field(name, alias, expression.evaluate, expression.members)

    def member(row: object) -> object:
        return _members_of(row).get(alias)

    return _Field(name, alias, member, frozenset({alias}))


def by_field(
    spec: RecordSpec[Any], fields: Mapping[str, V], at: tuple[str, ...] = ("fields",)
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


def _expressions(spec: RecordSpec[R], fields: Mapping[str, str]) -> Mapping[str, Expression]:
    """Return the compiled expressions by the Python names of their fields."""
    found, mistakes = by_field(spec, fields)
    if mistakes:
        raise MappingError(mistakes)
    return {name: compile_expression(text) for name, text in found.items()}
