"""Several pages of one answer, put together. Pure."""

from dataclasses import replace
from typing import TypeVar

from app.errors import Code, SourceError
from app.sources.base import Record
from app.sources.more import More, NextPage
from app.sources.rows import Rest, Rows

R = TypeVar("R", bound=Record)


def cut_off(source: str, more: More | None) -> SourceError | None:
    """Tell what the answer is for a key without a row.

    Args:
        source: Name of the source.
        more: What the answer does not hold.

    Returns:
        A failure where the row may be in what is missing; ``None`` where nothing is.
    """
    if more is None:
        return None
    return SourceError(
        source, Code.SOURCE_MALFORMED, f"the answer was cut off, as told by {more.sign}"
    )


def merged(source: str, first: Rows[R], second: Rows[R]) -> Rows[R]:
    """Put two pages together.

    Args:
        source: Name of the source.
        first: What there is so far.
        second: The page that follows it, for the same keys.

    Returns:
        What both hold. The first row of a key counts, on whichever page it is.
    """
    again = sum(
        one is not first.rest.answer and two is not second.rest.answer
        for one, two in zip(first.answers, second.answers, strict=True)
    )
    # A row that was there before brings nobody nearer to the number of all rows.
    count = first.rest.count + second.rest.count - again
    more = _more(second.rest, count)
    nameless = first.rest.nameless or second.rest.nameless
    rest = Rest(nameless or cut_off(source, more), nameless, more, count, second.rest.total)
    answers = [
        one
        if one is not first.rest.answer
        else two
        if two is not second.rest.answer
        else rest.answer
        for one, two in zip(first.answers, second.answers, strict=True)
    ]
    return Rows(
        answers=answers,
        malformed=[*first.malformed, *second.malformed],
        duplicate=first.duplicate + second.duplicate + again,
        unasked=first.unasked + second.unasked,
        rest=rest,
    )


def ended(rows: Rows[R], failure: SourceError) -> Rows[R]:
    """Give up looking for the keys that have no row yet.

    Args:
        rows: What there is.
        failure: Why there is no more.

    Returns:
        The same, with the failure for each of these keys.
    """
    answers = [failure if one is rows.rest.answer else one for one in rows.answers]
    return replace(rows, answers=answers, rest=replace(rows.rest, answer=failure, more=None))


def _more(rest: Rest, count: int) -> More | None:
    """Tell what is missing behind a page, now that all rows up to it are counted."""
    more = rest.more
    if more is None or (rest.total is not None and count >= rest.total):
        return None
    if more.next is not None and more.next.offset is not None:
        return replace(more, next=NextPage(offset=max(more.next.offset, count)))
    return more
