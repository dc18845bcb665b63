"""The choice of the reader of a source, by its settings. Pure."""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from app.expressions.expression import ResponseFacts
from app.settings.request import EachRequest
from app.settings.response import AnswerSettings
from app.settings.source import SourceSettings
from app.sources.base import Record, SourceResult, SourceSpec, UserId
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import BY_LIBRARIES, ReadMethods
from app.sources.mapping.groups import GroupReader, UniqueReader
from app.sources.mapping.parts import PartReader
from app.sources.mapping.reader import MappingReader
from app.sources.mapping.row_mapper import (
    MappingError,
    MappingMistake,
    ObservedRowMapper,
    RowMapper,
    name_in_json,
)
from app.sources.mapping.rows import RawAnswer, Reader, RowReader, Rows

R = TypeVar("R", bound=Record)


def reader_of(
    spec: SourceSpec[R],
    settings: SourceSettings,
    foreign_keys: Mapping[str, str] | None = None,
    *,
    observer: Observer | None = None,
    fold_case: bool = False,
    methods: ReadMethods = BY_LIBRARIES,
) -> Reader[R]:
    """Choose and create the reader of a source.

    Args:
        spec: The source.
        settings: Settings of the source.
        foreign_keys: Expressions for keys of other sources in its rows, by source name.
        observer: Called for each record with how it was made; ``None`` for no observer.
        fold_case: Whether keys that differ only in case are the same, whatever the settings say.
        methods: How responses are decoded and expressions evaluated.

    Returns:
        The reader. It decodes bytes directly to records if the source has the default contract, no
        foreign keys, and no observer.

    Raises:
        MappingError: The settings do not fit the record. It has all mistakes.
    """
    answer = settings.answer or AnswerSettings()
    mapper = (
        RowMapper(spec, settings, foreign_keys, methods=methods)
        if observer is None
        else ObservedRowMapper(spec, settings, observer, foreign_keys)
    )
    if mapper.key is not None and (answer.key is not None or answer.by_key):
        what = f"is given twice: expected answer.key or fields.{spec.key}, not both."
        raise MappingError([MappingMistake(("answer", "by_key" if answer.by_key else "key"), what)])
    one_key = isinstance(settings.request, EachRequest) or settings.max_keys == 1
    has_key = mapper.key is not None or answer.key is not None
    if not answer.many and not has_key and not one_key:
        what = 'is false, and requests have several keys: expected answer.key, or form = "each".'
        raise MappingError([MappingMistake(("answer", "many"), what)])
    page_size = None if settings.request is None else settings.request.page_size
    limits = [limit for limit in (answer.more.limit, page_size) if limit is not None]
    make: type[MappingReader[R]] = UniqueReader[R] if spec.unique else MappingReader[R]
    if answer.group is not None:
        make = GroupReader[R]
    elif answer.match == "position" or answer.parts is not None:
        make = PartReader[R]
    reader = make(
        spec,
        answer,
        mapper,
        limit=min(limits, default=None),
        fold_case=fold_case,
        names_user=settings.fields is None and settings.key_from is None,
        one_key=one_key,
    )
    mapped = settings.fields is not None or settings.words or settings.defaults
    plain = settings.answer is None
    named = answer == AnswerSettings(key=(name_in_json(spec, spec.key),))
    if mapped or foreign_keys or observer or not (plain or named):
        return reader
    rows = RowReader(spec, fold_case=fold_case, decoders=methods.decoders)
    return _DirectReader(rows, reader, numbers=named)


_SIGNS_OF_MORE = frozenset({"link", "content-range"})
"""Headers that may say that rows are missing."""


class _DirectReader(Generic[R]):
    """Reads responses of the default contract: bytes are decoded directly to records.

    Args:
        rows: Reads the body.
        paged: Reads a response whose headers may say that rows are missing.
        numbers: Whether the key of a row may be a number.
    """

    def __init__(self, rows: RowReader[R], paged: MappingReader[R], *, numbers: bool) -> None:
        self._rows = rows
        self._paged = paged
        self._numbers = numbers

    def read(self, answer: RawAnswer, keys: Sequence[UserId]) -> Rows[R]:
        """Read one page, as ``Reader.read`` says."""
        rows = self._rows.read_whole(answer.body, keys)
        if rows is None:
            if self._numbers:
                return self._paged.read(answer, keys)
            rows = self._rows.read_each(answer.body, keys)
        if None in rows.answers and not _SIGNS_OF_MORE.isdisjoint(answer.headers):
            return self._paged.read(answer, keys)
        return rows

    def merged(self, first: Rows[R], second: Rows[R]) -> Rows[R]:
        """Merge two pages, as ``Reader.merged`` says."""
        return self._paged.merged(first, second)

    def results(self, rows: Rows[R], keys: Sequence[UserId]) -> Sequence[SourceResult[R]]:
        """Return the results after the last page, as ``Reader.results`` says."""
        del keys  # there are no values for a missing row
        return rows.answers

    def unknown(self, user: UserId, facts: ResponseFacts) -> SourceResult[R]:
        """Return the result of a key without a row, as ``Reader.unknown`` says."""
        return self._paged.unknown(user, facts)
