"""Reading the responses of a source: the choice of the reader, and merged pages. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import localcontext
from typing import Any, Generic, TypeVar

from app.errors import Code, MalformedError, SourceFailure
from app.expressions.expression import EXACT, EvaluationError
from app.settings.response import AnswerSettings
from app.settings.source import SourceSettings
from app.sources.base import DamagedRecord, Record, SourceSpec, UserId
from app.sources.failures import meaning_of
from app.sources.mapping.contract import Observer, RowDamage
from app.sources.mapping.decoding import DecoderFactory, validating_decoder
from app.sources.mapping.paging import Extent, More, NextPage, extent_of
from app.sources.mapping.row_mapper import (
    MappingError,
    MappingMistake,
    ObservedRowMapper,
    RowMapper,
    name_in_json,
    wrong_foreign_keys,
)
from app.sources.mapping.rows import (
    RawAnswer,
    Reader,
    Remainder,
    RowReader,
    Rows,
    match_rows,
)
from app.sources.mapping.scan import ScannedRow, at, is_text, scan

R = TypeVar("R", bound=Record)


def cut_off(source: str, more: More | None) -> SourceFailure | None:
    """Return the result of a key without a row.

    Args:
        source: Name of the source.
        more: That rows are missing; ``None`` if the response is complete.

    Returns:
        A failure if rows are missing, because the row may be one of them; else ``None``.
    """
    if more is None:
        return None
    return SourceFailure(
        source, Code.SOURCE_MALFORMED, f"the answer was cut off, as told by {more.sign}"
    )


def merged(source: str, first: Rows[R], second: Rows[R]) -> Rows[R]:
    """Merge two pages.

    Args:
        source: Name of the source.
        first: The rows so far.
        second: The next page, for the same keys.

    Returns:
        The rows of both pages. The first row of a key counts.
    """
    repeated = sum(
        before is not first.remainder.answer and after is not second.remainder.answer
        for before, after in zip(first.answers, second.answers, strict=True)
    )
    # A repeated row does not count towards the total number of rows.
    count = first.remainder.count + second.remainder.count - repeated
    more = _more(second.remainder, count)
    nameless = first.remainder.nameless or second.remainder.nameless
    rest = Remainder(
        nameless or cut_off(source, more), nameless, more, count, second.remainder.total
    )
    answers = [
        before
        if before is not first.remainder.answer
        else after
        if after is not second.remainder.answer
        else rest.answer
        for before, after in zip(first.answers, second.answers, strict=True)
    ]
    return Rows(
        answers=answers,
        malformed=[*first.malformed, *second.malformed],
        duplicate=first.duplicate + second.duplicate + repeated,
        unasked=first.unasked + second.unasked,
        remainder=rest,
    )


def ended(rows: Rows[R], failure: SourceFailure) -> Rows[R]:
    """End the search for keys without a row.

    Args:
        rows: The rows so far.
        failure: Why no page follows.

    Returns:
        The rows, with the failure for each key without a row.
    """
    missing = rows.remainder.answer
    answers = [failure if answer is missing else answer for answer in rows.answers]
    return replace(
        rows, answers=answers, remainder=replace(rows.remainder, answer=failure, more=None)
    )


def _more(rest: Remainder, count: int) -> More | None:
    """Return whether rows follow a page, by the number of rows so far."""
    more = rest.more
    if more is None or (rest.total is not None and count >= rest.total):
        return None
    if more.next is not None and more.next.offset is not None:
        return replace(more, next=NextPage(offset=max(more.next.offset, count)))
    return more


class MappingReader(Generic[R]):
    """A ``Reader`` for responses that the settings describe.

    Args:
        spec: The source.
        settings: The settings for its responses.
        mapper: Converts rows to records.
        limit: Maximum number of rows on a page; ``None`` if not known.
        fold_case: Whether keys that differ only in case are the same, whatever the settings say.
        names_user: Whether a single row may have its key under the name of the default contract.
    """

    def __init__(
        self,
        spec: SourceSpec[R],
        settings: AnswerSettings,
        mapper: RowMapper[R],
        *,
        limit: int | None,
        fold_case: bool = False,
        names_user: bool,
    ) -> None:
        self._names_user = names_user
        self._name = spec.name
        self._settings = settings
        self._fold_case = fold_case or settings.fold_case
        self._mapper = mapper
        self._limit = limit if settings.many else None
        self._written_key = name_in_json(spec, spec.key)
        # Rows say nothing about their user: without this check, an error message with status 200
        # would be a user without any values.
        self._takes_any_row = (
            not settings.many
            and not settings.by_key
            and settings.key is None
            and mapper.key is None
        )

    def read(self, answer: RawAnswer, keys: Sequence[UserId]) -> Rows[R]:
        """Read a response.

        Args:
            answer: The response.
            keys: The requested keys.

        Returns:
            A source result per key. The first row of a key counts. If rows are missing, a key
            without a row gets a failure.

        Raises:
            MalformedError: The response as a whole does not fit the settings.
        """
        meaning = meaning_of(answer.status, self._settings)
        if meaning == "absent":
            return Rows(answers=[None] * len(keys), malformed=[], duplicate=0, unasked=0)
        if meaning not in {"rows", "partial"}:
            raise MalformedError(f"status {answer.status}")
        document = scan(answer.body, self._settings)
        extent = extent_of(
            document,
            answer.headers,
            self._settings.more,
            partial=meaning == "partial",
            limit=self._limit,
        )
        if document.rows is None and extent.total != 0:  # SCIM omits an empty list
            place = " → ".join(str(step) for step in self._settings.rows)
            raise MalformedError(f"expected rows at {place}, got nothing")
        with localcontext(EXACT):
            return self._rows(document.rows or (), extent, keys)

    def _rows(self, rows: Sequence[ScannedRow], extent: Extent, keys: Sequence[UserId]) -> Rows[R]:
        """Return the result of each key, from the row that matches it."""
        keyed: list[ScannedRow] = []
        found: list[str] = []
        for row in rows:
            key = self._key_of(row, keys)
            if key is not None:
                keyed.append(row)
                found.append(key)
        without = len(rows) - len(keyed)
        # It may belong to any key without a row: "unknown" would be a guess.
        nameless = self._failure("a row without a key") if without else None
        remainder = Remainder(
            answer=nameless or cut_off(self._name, extent.more),
            nameless=nameless,
            more=extent.more,
            count=len(rows),
            total=extent.total,
        )

        def read(index: int, key: UserId) -> R | RowDamage[R]:
            row = keyed[index].value
            if self._takes_any_row and not self._mapper.recognizes(row):
                return RowDamage(None, {"": "a row without a key, and with none of its fields"})
            return self._mapper.record(row, key)

        matched = match_rows(self._name, keys, found, read, remainder, fold_case=self._fold_case)
        if self._mapper.foreign_keys:
            for answer in matched.answers:
                record = answer.record if isinstance(answer, DamagedRecord) else answer
                if isinstance(record, Record):
                    matched.malformed += wrong_foreign_keys(record)
        matched.malformed += ["a row without a key"] * without
        return matched

    def _key_of(self, row: ScannedRow, keys: Sequence[UserId]) -> str | None:
        """Return the key of a row; ``None`` if it has no readable key."""
        key: Any
        if self._settings.by_key:
            key = row.name
        elif self._settings.key is not None:
            _, key = at(row.value, self._settings.key)
        elif self._mapper.key is not None:
            try:
                key = self._mapper.key.evaluate(row.value)
            except EvaluationError:
                return None
        elif not self._settings.many:
            if len(keys) != 1:
                raise MalformedError(f"one row for {len(keys)} users, which says not whose it is")
            [key] = keys
            if self._names_user:
                _, named = at(row.value, (self._written_key,))
                # A row with another key belongs to another request. A number counts as a key only
                # if the requested key is a number; else it is an internal id of the service.
                if isinstance(named, str) or (type(named) is int and key.isdecimal()):
                    key = named
        else:
            _, key = at(row.value, (self._written_key,))
        if type(key) is int:
            return str(key)
        return key if isinstance(key, str) and is_text(key) else None

    def _failure(self, detail: str) -> SourceFailure:
        """Return the failure for a row or a response that does not fit."""
        return SourceFailure(self._name, Code.SOURCE_MALFORMED, detail)


def reader_of(
    spec: SourceSpec[R],
    settings: SourceSettings,
    foreign_keys: Mapping[str, str] | None = None,
    *,
    observer: Observer | None = None,
    fold_case: bool = False,
    decoders: DecoderFactory = validating_decoder,
) -> Reader[R]:
    """Choose and create the reader of a source.

    Args:
        spec: The source.
        settings: Settings of the source.
        foreign_keys: Expressions for keys of other sources in its rows, by source name.
        observer: Called for each record with how it was made; ``None`` for no observer.
        fold_case: Whether keys that differ only in case are the same, whatever the settings say.
        decoders: Creates the decoder from bytes to records.

    Returns:
        The reader. It decodes bytes directly to records if the source has the default contract, no
        foreign keys, and no observer.

    Raises:
        MappingError: The settings do not fit the record. It has all mistakes.
    """
    if (
        settings.answer is None
        and settings.fields is None
        and not foreign_keys
        and observer is None
    ):
        return _DirectReader(spec, fold_case=fold_case, decoders=decoders)
    answer = settings.answer or AnswerSettings()
    mapper = (
        RowMapper(spec, settings.fields, foreign_keys)
        if observer is None
        else ObservedRowMapper(spec, settings.fields, observer, foreign_keys)
    )
    if mapper.key is not None and (answer.key is not None or answer.by_key):
        what = f"is given twice: expected answer.key or fields.{spec.key}, not both."
        raise MappingError([MappingMistake(("answer", "by_key" if answer.by_key else "key"), what)])
    page_size = None if settings.request is None else settings.request.page_size
    limits = [limit for limit in (answer.more.limit, page_size) if limit is not None]
    return MappingReader(
        spec,
        answer,
        mapper,
        limit=min(limits, default=None),
        fold_case=fold_case,
        names_user=settings.fields is None and settings.key_from is None,
    )


class _DirectReader(Generic[R]):
    """Reads responses of the default contract, of which only the body matters."""

    def __init__(self, spec: SourceSpec[R], *, fold_case: bool, decoders: DecoderFactory) -> None:
        self._rows = RowReader(spec, fold_case=fold_case, decoders=decoders)

    def read(self, answer: RawAnswer, keys: Sequence[UserId]) -> Rows[R]:
        """Read a response, as ``RowReader.read`` does."""
        return self._rows.read(answer.body, keys)
