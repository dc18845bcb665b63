"""From the rows and items of a module to records. Pure."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from pydantic import ValidationError

from app.errors import Code, SourceFailure, mistakes_in, what_is_wrong
from app.sources.base import (
    DamagedRecord,
    FieldSet,
    PageSpec,
    Record,
    SourceResult,
    SourceSpec,
    UserId,
)
from app.sources.field_selection import MAX_FIELD_SETS
from app.sources.own.contract import OwnList, OwnSource, ReadFailure, source_failure
from app.sources.records_in_parts import partial

R = TypeVar("R", bound=Record)


class OwnRecords(Generic[R]):
    """Makes the records of one source of a module.

    Args:
        own: The source.
        fold: Makes equal keys the same text.
    """

    def __init__(self, own: OwnSource, fold: Callable[[str], str]) -> None:
        spec: SourceSpec[R] = own.spec
        self._spec = spec
        self._checks = own.checks
        self._fold = fold
        self._members = frozenset(own.record.model_fields) - {spec.key}

        def narrowed(fields: FieldSet) -> type[R]:
            return partial(spec, fields).record

        self._narrowed = lru_cache(MAX_FIELD_SETS)(narrowed)

    def result(self, key: UserId, row: object, fields: FieldSet | None) -> SourceResult[R]:
        """Make the result of a key of what the module has for it.

        Args:
            key: The key.
            row: A row, or a ``ReadFailure``.
            fields: The fields that were asked for; ``None`` for all.

        Returns:
            The record. It has these fields and the key. Other fields are missing, not ``None``,
            even if the row has them. A value that does not fit costs its own field only.
        """
        spec = self._spec
        if isinstance(row, ReadFailure):
            return source_failure(spec.name, row)
        try:
            given: Mapping[str, object] = {**cast("Mapping[str, object]", row)}
            own = given.get(spec.key)
            if own is not None and self._fold(str(own)) != self._fold(key):
                return self._malformed(f"the row under a key has another one in {spec.key}")
            if fields is not None:
                given = {name: given[name] for name in fields & given.keys()}
            record, failures = self._checked(*self._record({**given, spec.key: key}))
        except BaseException as error:  # noqa: BLE001 # no row, or a validator of the module
            return self._malformed(f"a row: {type(error).__name__}")
        if fields is not None:
            kept = {one: getattr(record, one) for one in (*fields, spec.key)}
            narrow: type[Any] = self._narrowed(fields)
            record = narrow.model_construct(**kept)
        return DamagedRecord(record, failures) if failures else record

    def odd_members(
        self, row: object, fields: FieldSet | None
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Find members of a row that may be misspelt: no field has them, and others are missing.

        Args:
            row: A row, or a ``ReadFailure``.
            fields: The fields that were asked for; ``None`` for all.

        Returns:
            The members that no field has, and those that are missing; none of both if the row has
            all that it should have.
        """
        if not isinstance(row, Mapping):
            return frozenset(), frozenset()
        given = frozenset(map(str, cast("Mapping[object, object]", row)))
        missing = (self._members if fields is None else self._members & fields) - given
        odd = given - self._members - {self._spec.key}
        return (odd, missing) if odd and missing else (frozenset(), frozenset())

    def _checked(
        self, record: R, failures: Mapping[str, SourceFailure]
    ) -> tuple[R, Mapping[str, SourceFailure]]:
        """Remove the values that the schema cannot show, and add their failures."""
        unfit: dict[str, SourceFailure] = {}
        for name, checks in self._checks.items():
            value: object = getattr(record, name)
            try:
                for check in checks if value is not None else ():
                    check(value)
            except ValueError as error:
                unfit[name] = self._malformed(f"{name}: {error}")
        if not unfit:
            return record, failures
        return record.model_copy(update=dict.fromkeys(unfit)), {**failures, **unfit}

    def _record(self, values: Mapping[str, object]) -> tuple[R, Mapping[str, SourceFailure]]:
        """Make a record, without the values that do not fit, and their failures."""
        record: type[Any] = self._spec.record
        try:
            return record.model_validate(values, by_name=True, by_alias=False), {}
        except ValidationError as error:
            failures = {name: self._malformed(what) for name, what in mistakes_in(error)}
        kept = {name: value for name, value in values.items() if name not in failures}
        return record.model_validate(kept, by_name=True, by_alias=False), failures

    def _malformed(self, detail: str) -> SourceFailure:
        """Make the failure of a row or of a value."""
        return SourceFailure(self._spec.name, Code.SOURCE_MALFORMED, detail)


class OwnItems(Generic[R]):
    """Makes the items of one list of a module.

    Args:
        spec: The list.
        own: The same as the module declares it.
    """

    def __init__(self, spec: PageSpec[R], own: OwnList) -> None:
        self._spec = spec
        self._check = own.check

    def item(self, values: object) -> tuple[str, R]:
        """Make an item of its values.

        Args:
            values: The values of its fields.

        Returns:
            The key of the item, and the item.

        Raises:
            ValueError: The values do not fit the item.
        """
        record: type[Any] = self._spec.record
        try:
            given = {**cast("Mapping[str, object]", values)}
            made: R = record.model_validate(given, by_name=True, by_alias=False)
        except ValidationError as error:
            raise ValueError(what_is_wrong(error)) from None
        except BaseException as error:  # a validator of the module may raise anything
            raise ValueError(f"an item: {type(error).__name__}") from error
        self._check(made)
        return str(getattr(made, self._spec.key)), made  # the check has found text, as for any ID
