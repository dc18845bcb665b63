"""Merging several pages of one response."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Code, SourceFailure
from app.settings.source import SourceSettings
from app.sources.base import UserId
from app.sources.mapping.paging import NextPage
from app.sources.mapping.reader import ended, merged
from app.sources.mapping.readers import reader_of
from app.sources.mapping.rows import RawAnswer, Rows
from app.sources.records import PROFILE, ProfileRecord
from tests.fakes import profile_row
from tests.sources.mapping.test_rows import told

Page = Rows[ProfileRecord]


def page(
    rows: Sequence[str | None], keys: str, *, total: int | None = None, after: str | None = None
) -> Page:
    """Read a page with the rows of some users; ``None`` is a row without a key."""
    more = {"total": ["total"]} if total is not None else {"next_cursor": ["next"]}
    settings = {"base_url": "http://a", "answer": {"rows": ["rows"], "more": more}}
    written: list[object] = [
        {} if row is None else profile_row(1, id=row, locale=after) for row in rows
    ]
    body = json.dumps({"rows": written, "next": after, "total": total}).encode()
    reader = reader_of(PROFILE, SourceSettings.model_validate(settings))
    return reader.read(RawAnswer(200, {}, body), [UserId(key) for key in keys])


def joined(first: Page, *more: Page) -> Page:
    """Merge pages."""
    for one in more:
        first = merged("profile", first, one)
    return first


def test_a_key_without_a_row_is_unknown_only_after_the_last_page() -> None:
    first = page("b", "abc", after="2")

    assert told(first) == ["SOURCE_MALFORMED", "b", "SOURCE_MALFORMED"]
    assert first.remainder.more is not None
    assert first.found == 1
    assert first.next == NextPage(cursor="2")

    whole = joined(first, page("a", "abc"))

    assert told(whole) == ["a", "b", None]
    assert whole.remainder.more is None
    assert whole.next is None


def test_no_more_pages_are_requested_when_all_keys_have_rows() -> None:
    assert page("ab", "ab", after="2").next is None
    assert joined(page("a", "ab", after="2"), page("b", "ab", after="3")).next is None


def test_the_first_row_of_a_key_on_all_pages_is_used() -> None:
    whole = joined(page("ax", "ab", after="2"), page("ab", "ab", after="3"))

    [one, two] = whole.answers
    assert isinstance(one, ProfileRecord)
    assert isinstance(two, ProfileRecord)
    assert (one.locale, two.locale) == ("2", "3")
    assert (whole.duplicate, whole.unasked) == (1, 1)


def test_a_row_without_a_key_fails_the_users_without_a_row_on_all_pages() -> None:
    whole = joined(page([None], "ab", after="2"), page("a", "ab"))

    assert told(whole) == ["a", "SOURCE_MALFORMED"]
    assert whole.malformed == ["a row without a key"]
    later = joined(page("a", "ab", after="2"), page([None], "ab"))
    assert told(later) == ["a", "SOURCE_MALFORMED"]


def test_all_rows_are_counted_if_the_total_decides_about_more_pages() -> None:
    first, second = page("ax", "abc", total=5), page("yb", "abc", total=5)

    assert first.next == NextPage(offset=2)
    half = joined(first, second)
    assert half.next == NextPage(offset=4)
    assert told(half) == ["a", "b", "SOURCE_MALFORMED"]
    assert told(joined(half, page("z", "abc", total=5))) == ["a", "b", None]


def test_paging_can_end_with_a_failure_for_the_missing_users() -> None:
    failure = SourceFailure("profile", Code.SOURCE_TIMEOUT, "no answer")
    rows = ended(page("b", "ab", after="2"), failure)

    assert rows.answers[0] is failure
    assert isinstance(rows.answers[1], ProfileRecord)
    assert rows.next is None


@given(
    pages=st.lists(st.lists(st.sampled_from("abcdx"), max_size=4), min_size=1, max_size=4),
    cut=st.booleans(),
)
def test_merged_pages_are_equal_to_one_long_response(pages: list[list[str]], cut: bool) -> None:  # noqa: FBT001 # drawn
    last = len(pages) - 1
    read = [
        page(rows, "abcd", after="more" if number < last or cut else None)
        for number, rows in enumerate(pages)
    ]
    whole = joined(*read)
    single = page([row for rows in pages for row in rows], "abcd", after="more" if cut else None)

    assert told(whole) == told(single)
    assert (whole.duplicate, whole.unasked) == (single.duplicate, single.unasked)
    again = sum(
        len(set(rows) & {key for before in pages[:number] for key in before} - {"x"})
        for number, rows in enumerate(pages)
    )
    assert whole.remainder.count == single.remainder.count - again
    assert (whole.remainder.more is not None) == cut


@pytest.mark.parametrize(
    ("pages", "locales"),
    [
        ([["ANN"], ["ann"]], ["2"]),
        ([["ann"], ["ANN"]], ["1"]),
        ([["ANN"], ["ANN"]], ["1"]),
        ([["ANN"], ["bob"]], ["1"]),
        ([["ANN"], ["Ann"]], [None]),
        ([["ANN"], ["Ann"], ["ann"]], [None]),
    ],
)
def test_a_row_with_the_exact_key_has_priority_on_any_page(
    pages: Sequence[Sequence[str]], locales: Sequence[str | None]
) -> None:
    answer = {"rows": ["rows"], "fold_case": True, "more": {"next_cursor": ["next"]}}
    reader = reader_of(
        PROFILE, SourceSettings.model_validate({"base_url": "http://a", "answer": answer})
    )
    rows: Page | None = None
    for number, keys in enumerate(pages, start=1):
        written = [profile_row(1, id=key, locale=str(number)) for key in keys]
        body = json.dumps({"rows": written, "next": number if number < len(pages) else None})
        one = reader.read(RawAnswer(200, {}, body.encode()), [UserId("ann")])
        rows = one if rows is None else merged("profile", rows, one)
        if number == 1:
            assert (rows.next is None) == ("ann" in keys)

    assert rows is not None
    assert [
        answer.locale if isinstance(answer, ProfileRecord) else None for answer in rows.answers
    ] == locales
