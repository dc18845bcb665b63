"""From the rows and items of a module to records. Pure."""

from collections.abc import Mapping
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
    """

    def __init__(self, own: OwnSource) -> None:
        spec: SourceSpec[R] = own.spec
        self._spec = spec

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
            if fields is not None:
                given = {name: given[name] for name in fields & given.keys()}
            record, failures = self._record({**given, spec.key: key})
        except BaseException as error:  # noqa: BLE001 # no row, or a validator of the module
            return self._malformed(f"a row: {type(error).__name__}")
        if fields is not None:
            kept = {one: getattr(record, one) for one in (*fields, spec.key)}
            narrow: type[Any] = self._narrowed(fields)
            record = narrow.model_construct(**kept)
        return DamagedRecord(record, failures) if failures else record

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
