"""From a row of a service to a record, by an expression for each field. Pure."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Generic, Protocol, TypeVar, cast

from msgspec import Struct
from pydantic import Field, JsonValue, create_model
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from app.errors import Code, SourceFailure
from app.expressions.expression import (
    NO_RESPONSE,
    EvaluationError,
    Expression,
    ResponseFacts,
    path_expression,
)
from app.sources.base import DamagedRecord, Record, RecordSpec, SourceResult, UserId
from app.sources.mapping.contract import (
    FieldObservation,
    Observer,
    RowContract,
    RowDamage,
    RowObservation,
)
from app.sources.mapping.decoding import BY_LIBRARIES, ExpressionCompiler, ReadMethods
from app.sources.mapping.fields import FOREIGN_KEYS, ForeignKey, MappedField, RecordPlan

R = TypeVar("R", bound=Record)


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


def foreign_keys_in(record: object) -> Mapping[str, ForeignKey] | None:
    """Return the foreign keys in a record.

    Args:
        record: Any record, or the object of another decoder with its attributes.

    Returns:
        The keys by the names of the sources; ``None`` if the record has no foreign keys.
    """
    return getattr(record, "foreign_keys", None)


def wrong_foreign_keys(record: object) -> Sequence[str]:
    """List what is wrong with the foreign keys in a record.

    Args:
        record: Any record, or the object of another decoder with its attributes.

    Returns:
        The mistakes, without values; empty if the record has no foreign keys.
    """
    keys = foreign_keys_in(record)
    return () if keys is None else [one.wrong for one in keys.values() if one.wrong is not None]


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
    keys = foreign_keys_in(record)
    if keys is None:
        raise TypeError(f"a record of {parent} without foreign keys")
    found = keys[source]
    if found.wrong is not None:
        return SourceFailure(parent, Code.SOURCE_MALFORMED, f"the key of {source}: {found.wrong}")
    return None if found.key is None else UserId(found.key)


V = TypeVar("V")


class FieldSettings(Protocol):
    """The settings that say how the fields of a record are made."""

    @property
    def fields(self) -> Mapping[str, str] | None:
        """The expressions; ``None`` if rows have the fields of the record."""
        ...

    @property
    def words(self) -> Mapping[str, Mapping[str, str]]:
        """The record's word for each word of the service, by field."""
        ...

    @property
    def defaults(self) -> Mapping[str, JsonValue]:
        """The values of missing fields, by field."""
        ...


class MappingMistake(Struct, frozen=True):
    """A setting of a source that does not fit its record.

    Attributes:
        keys: Path of the setting, below the settings of the source.
        what: What is wrong, and what was expected.
        unknown: The name that is neither a field of the record nor a list of the source; empty for
            other mistakes.
    """

    keys: tuple[str, ...]
    what: str
    unknown: str = ""


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


class RowMapper(Generic[R]):
    """Converts rows to records.

    Args:
        spec: The source.
        settings: The settings with the expressions, words and defaults of the fields. Without
            expressions, rows have the fields of the record.
        foreign_keys: Expressions for keys of other sources, by source name. With them, records have
            foreign keys.
        methods: How responses are decoded and expressions evaluated.

    Attributes:
        key: The expression for the key; ``None`` if there is none.
        foreign_keys: The compiled expressions for keys of other sources, by source name.
        reads_response: Whether an expression reads more of the response than the row.
        scan: Decodes responses.
        compiled: Compiles expressions.

    Raises:
        MappingError: The settings do not fit the record. It has all mistakes.
    """

    def __init__(
        self,
        spec: RecordSpec[R],
        settings: FieldSettings,
        foreign_keys: Mapping[str, str] | None = None,
        *,
        methods: ReadMethods = BY_LIBRARIES,
    ) -> None:
        record = with_foreign_keys(spec.record) if foreign_keys else spec.record
        self._contract = RowContract(record)
        self.scan = methods.scan
        self.compiled = methods.expressions
        self.foreign_keys = {
            name: self.compiled(text) for name, text in (foreign_keys or {}).items()
        }
        self._key = name_in_json(spec, spec.key)
        found = _found_settings(spec, settings, self.compiled)
        self.key: Expression | None = (found.expressions or {}).get(spec.key)
        self._fields = tuple(
            field
            for name in spec.record.model_fields
            if name != spec.key and (field := _field(spec, name, found, self.compiled)) is not None
        )
        read = [one.expression for one in self._fields if one.expression is not None]
        self._read = [(one, one.members) for one in (*read, *self.foreign_keys.values())]
        every = [*(found.expressions or {}).values(), *self.foreign_keys.values()]
        self.reads_response = any(expression.reads_response for expression in every)
        self._make = methods.records(
            RecordPlan(record, self._key, self._fields, self.foreign_keys, self.reads_response)
        )

    def recognizes(self, row: object) -> bool:
        """Return whether a row has anything that a field reads.

        Args:
            row: The row, of any type.

        Returns:
            Whether it has a member with one of the names that the fields and the keys of other
            sources begin with, even if that is null; or, for an expression that reads the whole
            row, a value.
        """
        if row is None:
            return False
        names = _members_of(row)
        return any(
            _has_value(one, row) if members is None else not members.isdisjoint(names)
            for one, members in self._read
        )

    def record(
        self, row: object, user: UserId, facts: ResponseFacts = NO_RESPONSE
    ) -> R | RowDamage[R]:
        """Convert a row to a record.

        Args:
            row: The row, of any type, with ``Decimal`` for numbers that have a fraction.
            user: The requested key. The record gets this key, even if the row spells it
                differently.
            facts: The response that the row is from.

        Returns:
            The record, or what does not fit in the row.
        """
        values: dict[str, object] = {self._key: user}
        wrong: dict[str, str] = {}
        for field in self._fields:
            try:
                value = field.value(row, facts)
            except EvaluationError as error:
                wrong[field.name] = f"{field.json_name}: {error}"
                continue
            if value is not None:
                values[field.json_name] = value
        if self.foreign_keys:
            values[FOREIGN_KEYS] = {
                name: ForeignKey.of(row, expression, facts)
                for name, expression in self.foreign_keys.items()
            }
        record = self._contract.read(values)
        if isinstance(record, RowDamage):
            return RowDamage(record.record, {**record.wrong, **wrong})
        return RowDamage(record, wrong) if wrong else record

    def records(
        self,
        rows: Sequence[object],
        users: Sequence[UserId],
        facts: ResponseFacts = NO_RESPONSE,
    ) -> Sequence[R | RowDamage[R]]:
        """Convert the rows of one response to records.

        Args:
            rows: The rows, as for ``record``.
            users: The requested key of each.
            facts: The response.

        Returns:
            For each row what ``record`` returns, or an object with the attributes of that record.
        """
        if self._make is None:
            return [self.record(row, user, facts) for row, user in zip(rows, users, strict=True)]
        made = self._make(rows, users)
        return [
            self.record(rows[place], users[place], facts) if record is None else record
            for place, record in enumerate(made)
        ]


def _members_of(row: object) -> Mapping[str, object]:
    """Return the members of a row; none if it is not an object."""
    return cast("Mapping[str, object]", row) if isinstance(row, dict) else {}


def _has_value(expression: Expression, row: object) -> bool:
    """Return whether a row has a value, even a wrong one."""
    try:
        return expression.evaluate(row) is not None
    except EvaluationError:
        return True


class ObservedRowMapper(RowMapper[R]):
    """Converts rows to records, and reports each to an observer.

    Args:
        spec: The source.
        settings: The settings with the expressions, words and defaults of the fields.
        observer: Called for each record with how it was made.
        foreign_keys: Expressions for keys of other sources, by source name.

    Raises:
        MappingError: The settings do not fit the record. It has all mistakes.
    """

    def __init__(
        self,
        spec: RecordSpec[R],
        settings: FieldSettings,
        observer: Observer,
        foreign_keys: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(spec, settings, foreign_keys)
        self._name = spec.name
        self._observer = observer
        fields = settings.fields
        names = {name_in_json(spec, name): name for name in spec.record.model_fields}
        self._texts = {
            alias: (fields or {}).get(alias, (fields or {}).get(name))
            for alias, name in names.items()
        }
        self._keys: dict[tuple[str, str], str] = {}
        for name, text in (foreign_keys or {}).items():
            # All endpoints and lists of a source have the same key.
            self._keys.setdefault((name.partition(".")[0], text), name)

    def record(
        self, row: object, user: UserId, facts: ResponseFacts = NO_RESPONSE
    ) -> R | RowDamage[R]:
        """Convert a row to a record, and report it to the observer.

        Args:
            row: The row, of any type, with ``Decimal`` for numbers that have a fraction.
            user: The requested key.
            facts: The response that the row is from.

        Returns:
            The record, or what does not fit in the row.
        """
        record = super().record(row, user, facts)
        damage = record if isinstance(record, RowDamage) else None
        wrong: Mapping[str, str] = {} if damage is None else damage.wrong
        observed: list[FieldObservation] = []
        for field in self._fields:
            try:
                value = field.value(row, facts)
            except EvaluationError:
                value = None
            name, mistake, made = field.json_name, wrong.get(field.name), None
            if mistake is not None:
                mistake = mistake.removeprefix(f"{name}: ").removeprefix(f"{name}.")
            elif value is not None:
                made = self._contract.value(field.name, value)
            observed.append(FieldObservation(name, self._texts[name], value, made, mistake))
        for (_, text), source in self._keys.items():
            key = ForeignKey.of(row, self.foreign_keys[source], facts)
            mistake = None if key.wrong is None else key.wrong.removeprefix(f"{text}: ")
            observed.append(FieldObservation(f"key of {source}", text, key.key, key.key, mistake))
        self._observer(
            RowObservation(
                source=self._name,
                key=user,
                row=row,
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
    spec: RecordSpec[R], name: str, found: "_FoundSettings", compiled: ExpressionCompiler
) -> MappedField | None:
    """Return how a field is made from a row; ``None`` if it is always missing."""
    alias = name_in_json(spec, name)
    words, default = found.words.get(name, {}), found.defaults.get(name)
    expression = (
        compiled(path_expression((alias,)))
        if found.expressions is None
        else found.expressions.get(name)
    )
    if expression is None and default is None:
        return None
    return MappedField(name, alias, expression, words, default)


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
    in_json = {name_in_json(spec, name): name for name in known}
    # A field whose name in JSON is not made of that in Python is known by the former alone.
    in_python = {name: name for name in known if in_json.get(to_camel(name)) == name}
    names = in_python | in_json
    mistakes: list[MappingMistake] = []
    found: dict[str, V] = {}
    for written, text in fields.items():
        name = names.get(written)
        if name is None:
            near = get_close_matches(written, names, n=1)
            every = ", ".join(sorted(in_json))
            hint = f"did you mean {near[0]}?" if near else f"expected one of {every}."
            what = f"is no field of {spec.name}: {hint}"
            mistakes.append(MappingMistake((*at, written), what, unknown=written))
        elif name in found:
            mistakes.append(MappingMistake((*at, written), "is there already, by its other name."))
        else:
            found[name] = text
    return found, mistakes


class _FoundSettings(Struct, frozen=True):
    """The settings of fields, by the Python names of the fields.

    Attributes:
        expressions: The compiled expressions; ``None`` if rows have the fields of the record.
        words: The record's word for each word of the service.
        defaults: The values of missing fields.
    """

    expressions: Mapping[str, Expression] | None
    words: Mapping[str, Mapping[str, str]]
    defaults: Mapping[str, JsonValue]


def _found_settings(
    spec: RecordSpec[R], settings: FieldSettings, expressions: ExpressionCompiler
) -> _FoundSettings:
    """Find the fields that settings name, and check that words and defaults fit them."""
    texts, mistakes = by_field(spec, settings.fields or {})
    words, wrong_words = by_field(spec, settings.words, ("words",))
    defaults, wrong_defaults = by_field(spec, settings.defaults, ("defaults",))
    every = [*mistakes, *wrong_words, *wrong_defaults]
    for name, value in defaults.items():
        every += _misfit(spec, name, value, ("defaults", _written(spec, name, settings.defaults)))
    for name, by_word in words.items():
        at = ("words", _written(spec, name, settings.words))
        if settings.fields is not None and name not in texts and name != spec.key:
            every.append(MappingMistake(at, "has no words: expected an expression in fields."))
        for word, value in by_word.items():
            every += _misfit(spec, name, value, (*at, word))
    if every:
        raise MappingError(every)
    compiled = {name: expressions(text) for name, text in texts.items()}
    return _FoundSettings(None if settings.fields is None else compiled, words, defaults)


def _written(spec: RecordSpec[Any], name: str, fields: Mapping[str, object]) -> str:
    """Return the name that the settings use for a field."""
    alias = name_in_json(spec, name)
    return alias if alias in fields else name


def _misfit(
    spec: RecordSpec[Any], name: str, value: JsonValue, at: tuple[str, ...]
) -> Sequence[MappingMistake]:
    """Return the mistake in a value of the settings that does not fit its field."""
    if name == spec.key:
        return [MappingMistake(at, "is the key: expected another field.")]
    alias = name_in_json(spec, name)
    record = RowContract(spec.record).read({name_in_json(spec, spec.key): "key", alias: value})
    if not isinstance(record, RowDamage) or name not in record.wrong:
        return ()  # an item may lack other fields, which it requires
    return [MappingMistake(at, f"does not fit: {record.wrong[name]}.")]
