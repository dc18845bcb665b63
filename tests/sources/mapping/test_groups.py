"""Several rows of one user, absent rows, defaults, words, and the headers of a response."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import MalformedError, SourceFailure
from app.settings.source import SourceSettings
from app.sources.base import DamagedRecord
from app.sources.mapping.groups import GroupedRows
from app.sources.mapping.readers import reader_of
from app.sources.mapping.row_mapper import MappingError
from app.sources.mapping.rows import RawAnswer
from app.sources.records import ACTIVITY, BILLING, AccountRecord, ActivityRecord
from tests.sources.mapping.test_rows import LOWER, UPPER
from tests.sources.mapping.test_shaped import EACH, ids, read

Row = Mapping[str, Any]

EVENTS = "[].{id: to_string(n), type: 'login', occurredAt: unix_seconds(n)}"
LIST = {"form": "list", "path": "/events", "parameter": "user_id", "wrap": "in.({keys})"}
GROUP: Mapping[str, Any] = {"key": ["user"], "group": {}}


def event(user: object, number: int, **more: object) -> Row:
    """Make the row of an event."""
    return {"user": user, "n": number, **more}


def grouped(
    rows: Sequence[object],
    keys: str = "ab",
    *,
    group: Row | None = None,
    answer: Row | None = None,
    fields: Mapping[str, str] | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **changes: object,
) -> Any:  # noqa: ANN401 # rows of a test
    """Read a response with events."""
    return read(
        list(rows),
        keys,
        {**GROUP, "group": group or {}, **(answer or {})},
        fields=fields or {"events": EVENTS, "loginCount": "length(@)"},
        spec=ACTIVITY,
        status=status,
        headers=headers,
        **changes,
    )


def numbers(rows: Any) -> list[list[int] | str | None]:  # noqa: ANN401 # rows of a test
    """Return the events of each user, or the code of the failure."""
    told: list[list[int] | str | None] = []
    for answer in rows.answers:
        if isinstance(answer, SourceFailure):
            told.append(answer.code.value)
        elif isinstance(answer, ActivityRecord):
            told.append([int(one.id) for one in answer.events or ()])
        else:
            assert answer is None
            told.append(None)
    return told


def test_the_rows_of_each_user_are_one_list_in_the_order_of_the_response() -> None:
    rows = grouped([event("a", 3), event("b", 9), event("a", 1), event("a", 2)])

    assert numbers(rows) == [[3, 1, 2], [9]]
    assert [one.login_count for one in rows.answers] == [3, 1]
    assert not rows.unexpected


def test_rows_are_sorted_and_limited_to_max() -> None:
    events = [event("a", 3), event("a", 1), event("a", 2), event("b", 4)]

    assert numbers(grouped(events, group={"order": "n"})) == [[1, 2, 3], [4]]
    newest = {"order": "n", "descending": True, "max": 2}
    assert numbers(grouped(events, group=newest)) == [[3, 2], [4]]
    assert numbers(grouped(events, group={"max": 1})) == [[3], [4]]


@pytest.mark.parametrize("odd", ["7", None, True, [1], math.nan])
def test_values_without_an_order_fail_only_the_group_of_their_user(odd: object) -> None:
    events = [event("a", 1, at=1), event("a", 2, at=odd), event("b", 4, at=5)]
    rows = grouped(events, group={"order": "at"})

    assert numbers(rows) == ["SOURCE_MALFORMED", [4]]
    assert rows.malformed == ["group.order: expected text in all rows, or a number in all rows"]


def test_a_user_without_rows_is_unknown_or_has_the_defaults() -> None:
    events = [event("a", 1)]
    defaults: dict[str, Any] = {"answer": {"without_row": "defaults"}, "defaults": {"events": []}}

    assert numbers(grouped(events)) == [[1], None]
    rows = grouped(events, **defaults)
    assert numbers(rows) == [[1], []]
    assert [one.login_count for one in rows.answers] == [1, 0]


def test_a_user_without_a_row_has_a_record_of_defaults() -> None:
    fields = {"plan": "plan"}
    rows: Any = read(
        [{"userId": "a", "plan": "pro"}, {"userId": "b", "plan": None}],
        "abc",
        {"without_row": "defaults"},
        fields=fields,
        spec=BILLING,
        defaults={"plan": "free", "status": "active"},
    )

    assert [(one.plan, one.status) for one in rows.answers] == [
        ("pro", "active"),
        ("free", "active"),
        ("free", "active"),
    ]
    assert [one.user_id for one in rows.answers] == ["a", "b", "c"]


def test_a_row_marked_as_absent_gives_none() -> None:
    body = [{"userId": "a", "plan": "pro", "gone": True}, {"userId": "b", "plan": "pro"}]
    rows: Any = read(body, "ab", {"absent": "gone"}, spec=BILLING)
    events = [event("a", 1, gone=True), event("a", 2), event("b", 3, gone=True)]

    assert rows.answers[0] is None
    assert isinstance(rows.answers[1], AccountRecord)
    assert not rows.unexpected
    assert numbers(grouped(events, answer={"absent": "gone"})) == [[2], None]


def test_a_failed_absent_expression_is_a_failure() -> None:
    body: list[Row] = [{"userId": "a", "plan": "pro", "gone": "7"}, {"userId": "b", "gone": []}]
    rows: Any = read(body, "ab", {"absent": "starts_with(gone, '7')"}, spec=BILLING)
    events = grouped([event("a", 1), event("b", 3, gone="x")], answer={"absent": "abs(gone)"})

    assert rows.answers[0] is None
    assert isinstance(rows.answers[1], SourceFailure)
    assert numbers(events) == ["SOURCE_MALFORMED", "SOURCE_MALFORMED"]


@pytest.mark.parametrize(
    "answer",
    [{"more": {"has_more": ["more"]}, "rows": ["rows"]}, {"more": {"limit": 3}}],
    ids=["has_more", "limit"],
)
def test_a_group_that_may_be_cut_off_is_a_failure(answer: Row) -> None:
    events = [event("a", 1), event("a", 2), event("b", 3)]
    body: Any = {"rows": events, "more": True} if "rows" in answer else events
    settings: dict[str, Any] = {**GROUP, "group": {"max": 2}, **answer}

    rows: Any = read(body, "abc", settings, fields={"events": EVENTS}, spec=ACTIVITY)

    # The first user has ``max`` rows, in the order of the service.
    assert numbers(rows) == [[1, 2], "SOURCE_MALFORMED", "SOURCE_MALFORMED"]
    settings["group"] = {"max": 2, "order": "n"}
    rows = read(body, "abc", settings, fields={"events": EVENTS}, spec=ACTIVITY)
    assert numbers(rows) == ["SOURCE_MALFORMED"] * 3


def test_a_row_without_a_key_fails_all_groups() -> None:
    rows = grouped([event("a", 1), {"n": 2}])

    assert numbers(rows) == ["SOURCE_MALFORMED", "SOURCE_MALFORMED"]
    assert rows.malformed == ["a row without a key"]


def test_rows_without_a_key_belong_to_the_only_requested_user() -> None:
    changes: dict[str, Any] = {"answer": {"key": None}, "request": EACH}

    assert numbers(grouped([{"n": 1}, {"n": 2}], "a", **changes)) == [[1, 2]]
    assert numbers(grouped([], "a", **changes)) == [None]
    other = grouped([{"userId": "x", "n": 1}], "a", **changes)
    assert (numbers(other), other.unasked) == ([None], 1)
    with pytest.raises(MalformedError, match="2 rows without a key for one user"):
        read([{"plan": "a"}, {"plan": "b"}], "a", {}, spec=BILLING, request=EACH)


def test_expressions_can_read_headers_and_status() -> None:
    fields = {
        "events": EVENTS,
        "loginCount": "number(after($headers.\"Content-Range\", '/'))",
    }
    rows = grouped(
        [event("a", 1)], "a", fields=fields, status=206, headers={"content-range": "0-0/57"}
    )
    assert rows.answers[0].code.value == "SOURCE_MALFORMED"  # 56 rows are missing

    enough = {"max": 1}
    rows = grouped(
        [event("a", 1)],
        "a",
        fields=fields,
        status=206,
        headers={"content-range": "0-0/57"},
        group=enough,
    )
    assert (numbers(rows), rows.answers[0].login_count) == ([[1]], 57)
    rows = grouped(
        [event("a", 1)], "a", fields={"loginCount": "$status", "events": "`[]`"}, status=200
    )
    assert rows.answers[0].login_count == 200


def test_a_count_in_a_header_is_read_without_any_row() -> None:
    rows = grouped(
        [],
        "a",
        fields={"events": "@", "loginCount": 'number($headers."x-total-count")'},
        headers={"x-total-count": "0"},
        answer={"key": None, "without_row": "defaults"},
        request=EACH,
    )

    assert (numbers(rows), rows.answers[0].login_count) == ([[]], 0)


def test_words_translate_values_of_the_service() -> None:
    words = {"status": {"incomplete": "PAST_DUE", "paused": "trialing"}}
    body = [
        {"userId": "a", "status": "incomplete"},
        {"userId": "b", "status": "active"},
        {"userId": "c", "status": 7},
    ]
    rows: Any = read(body, "abc", {}, spec=BILLING, words=words)

    assert [one.status for one in rows.answers[:2]] == ["PAST_DUE", "active"]
    assert isinstance(rows.answers[2], DamagedRecord)


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"defaults": {"plan": 7}}, "defaults.plan does not fit: plan: Input should be a valid"),
        ({"defaults": {"plam": "x"}}, "defaults.plam is no field of billing: did you mean plan?"),
        ({"defaults": {"user_id": "x"}}, "defaults.user_id is the key: expected another field."),
        ({"words": {"balance": {"a": "b"}}}, "words.balance.a does not fit: balance: "),
        ({"words": {"stat": {"a": "b"}}}, "words.stat is no field of billing: did you mean status"),
    ],
)
def test_invalid_words_and_defaults_are_reported_at_start(settings: Row, mistake: str) -> None:
    with pytest.raises(MappingError) as caught:
        reader_of(BILLING, SourceSettings.model_validate({"base_url": "http://a", **settings}))

    assert str(caught.value).startswith(mistake)


def paged(pages: Sequence[Sequence[Row]], keys: Sequence[str], **answer: object) -> Any:  # noqa: ANN401 # rows of a test
    """Read pages of events."""
    more = {"next_cursor": ["next"], "cursor_parameter": "after"}
    values = {**GROUP, "rows": ["rows"], "more": more, **answer}
    settings = SourceSettings.model_validate(
        {"base_url": "http://a", "answer": values, "fields": {"events": EVENTS}}
    )
    reader = reader_of(ACTIVITY, settings)
    rows: Any = None
    for number, page in enumerate(pages):
        body = {"rows": page, "next": number + 1 if number + 1 < len(pages) else None}
        one = reader.read(RawAnswer(200, {}, json.dumps(body).encode()), ids(*keys))
        rows = one if rows is None else reader.merged(rows, one)
    rows.answers = [*reader.results(rows, ids(*keys))]
    return rows


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_rows_of_a_uuid_in_both_cases_belong_to_its_user(cut: int) -> None:
    events = [event(UPPER, 1), event(LOWER, 2), event(UPPER, 3)]

    rows = paged([events[:cut], events[cut:]], [LOWER, UPPER])

    assert numbers(rows) == [[1, 2, 3], [1, 2, 3]]
    assert (rows.duplicate, rows.unasked) == (0, 0)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (["ann", "ANN"], [[2], [1, 3]]),
        (["ann"], [[2]]),
        (["Ann"], ["SOURCE_MALFORMED"]),  # ambiguous
    ],
)
@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_two_users_never_share_rows_on_any_pages(
    keys: Sequence[str], found: object, cut: int
) -> None:
    events = [event("ANN", 1), event("ann", 2), event("ANN", 3)]

    rows = paged([events[:cut], events[cut:]], keys, fold_case=True)

    assert numbers(rows) == found


def test_rows_in_another_case_belong_to_the_user_with_fold_case() -> None:
    rows = paged([[event("ANN", 1)], [event("ANN", 2)]], ["ann"], fold_case=True)

    assert numbers(rows) == [[1, 2]]
    assert numbers(paged([[event("ANN", 1)]], ["ann"])) == [None]


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        ([[1, 2], [3, 4], [5]], [[1, 2, 3, 4, 5]]),
        ([[1, 2], [1, 2], [1, 2]], ["SOURCE_MALFORMED"]),  # the offset is ignored
        ([[1, 2], [2, 3], [4, 5]], ["SOURCE_MALFORMED"]),  # the offset counts from 1
    ],
)
def test_repeated_rows_do_not_count_for_the_total(
    pages: Sequence[Sequence[int]], found: object
) -> None:
    more = {"total": ["total"], "offset_parameter": "offset"}
    answer = {**GROUP, "rows": ["rows"], "more": more}
    settings = SourceSettings.model_validate(
        {"base_url": "http://a", "answer": answer, "fields": {"events": EVENTS}}
    )
    reader = reader_of(ACTIVITY, settings)
    rows: Any = None
    for page in pages:
        body = {"rows": [event("a", number) for number in page], "total": 5}
        one = reader.read(RawAnswer(200, {}, json.dumps(body).encode()), ids("a"))
        rows = one if rows is None else reader.merged(rows, one)
    rows.answers = [*reader.results(rows, ids("a"))]

    assert numbers(rows) == found


@given(
    pages=st.lists(
        st.lists(st.tuples(st.sampled_from("abx"), st.integers(0, 99)), max_size=5),
        min_size=1,
        max_size=4,
    ),
    most=st.integers(1, 6),
    order=st.booleans(),
)
def test_merged_pages_are_equal_to_one_long_response(
    pages: list[list[tuple[str, int]]], most: int, *, order: bool
) -> None:
    group: dict[str, Any] = {"max": most}
    if order:
        group |= {"order": "n", "descending": True}
    answer = {**GROUP, "group": group, "rows": ["rows"], "more": {"next_cursor": ["next"]}}
    settings = SourceSettings.model_validate(
        {"base_url": "http://a", "answer": answer, "fields": {"events": EVENTS}}
    )
    reader = reader_of(ACTIVITY, settings)
    asked = ids(*"ab")
    rows: Any = None
    for number, page in enumerate(pages):
        following = number + 1 if number + 1 < len(pages) else None
        body = {"rows": [event(*one) for one in page], "next": following}
        found = reader.read(RawAnswer(200, {}, json.dumps(body).encode()), asked)
        assert isinstance(found, GroupedRows)
        rows = found if rows is None else reader.merged(rows, found)
        if rows.next is None:
            break
    rows.answers = [*reader.results(rows, asked)]

    every = [one for page in pages for one in page]
    expected: list[list[int] | None] = []
    for user in "ab":
        own = [number for key, number in every if key == user]
        if order:
            own = sorted(own, reverse=True)
        expected.append(own[:most] if own else None)
    assert numbers(rows) == expected
