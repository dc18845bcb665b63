"""The choice of what reads a source's answers. Pure."""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from app.shapes.answer import AnswerSettings
from app.shapes.source import SourceSettings
from app.sources.answer import RawAnswer, Reader
from app.sources.base import Record, SourceSpec, UserId
from app.sources.decoding import DecoderFactory, validating_decoder
from app.sources.mapping import Mistake, RowMapper, ShapeError, WatchedMapper
from app.sources.rows import RowReader, Rows
from app.sources.seen import See
from app.sources.shaped import ShapedReader

R = TypeVar("R", bound=Record)


def reader_of(
    spec: SourceSpec[R],
    settings: SourceSettings,
    foreign_keys: Mapping[str, str] | None = None,
    *,
    see: See | None = None,
    fold_case: bool = False,
    decoders: DecoderFactory = validating_decoder,
) -> Reader[R]:
    """Choose what reads a source's answers, and make it.

    Args:
        spec: The source.
        settings: How it is reached and what it is like.
        foreign_keys: Expressions for other sources' keys in its rows, by the names of these.
        see: Is shown how each record is made, where somebody watches.
        fold_case: Whether keys that differ in case alone are the same, whatever the settings say.
        decoders: Makes what reads bytes straight into records.

    Returns:
        The reader. Bytes go straight into records where the default contract holds, nobody's keys
        are read from them, and nobody watches.

    Raises:
        ShapeError: The settings do not fit the record; with all mistakes.
    """
    if settings.answer is None and settings.fields is None and not foreign_keys and see is None:
        return _DirectReader(spec, fold_case=fold_case, decoders=decoders)
    answer = settings.answer or AnswerSettings()
    mapper = (
        RowMapper(spec, settings.fields, foreign_keys)
        if see is None
        else WatchedMapper(spec, settings.fields, see, foreign_keys)
    )
    if mapper.key is not None and (answer.key is not None or answer.by_key):
        what = f"is given twice: expected answer.key or fields.{spec.key}, not both."
        raise ShapeError([Mistake(("answer", "by_key" if answer.by_key else "key"), what)])
    page_size = None if settings.request is None else settings.request.page_size
    limits = [limit for limit in (answer.more.limit, page_size) if limit is not None]
    return ShapedReader(
        spec,
        answer,
        mapper,
        limit=min(limits, default=None),
        fold_case=fold_case,
        names_user=settings.fields is None and settings.key_from is None,
    )


class _DirectReader(Generic[R]):
    """Reads answers of the default contract, of which nothing but the body matters."""

    def __init__(self, spec: SourceSpec[R], *, fold_case: bool, decoders: DecoderFactory) -> None:
        self._rows = RowReader(spec, fold_case=fold_case, decoders=decoders)

    def read(self, answer: RawAnswer, keys: Sequence[UserId]) -> Rows[R]:
        """Read an answer."""
        return self._rows.read(answer.body, keys)
