"""Cursors and pages of paged lists."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadUserInputError
from app.expressions.ids import folded
from app.schema.connection import (
    MAX_CURSOR,
    ResolvedPage,
    decode_cursor,
    encode_cursor,
    page_request,
    resolved_page,
)
from app.sources.base import Page, PageItem, PageRequest, PageTrail, Position, Record, UserId
from app.sources.records import InvoiceRecord
from tests.fakes import invoice, user_id

USER = UserId(user_id(1))
OTHER = UserId(user_id(2))

TEXT = st.text(max_size=40)
TRAILS = st.builds(PageTrail, st.integers(0, 2**31 - 1), st.text("0123456789abcdef", max_size=16))
POSITIONS = st.builds(Position, st.none() | TEXT, st.none() | TEXT, TRAILS)

LIST = "invoices"

NOT_A_CURSOR = "after is not a cursor"


def written(value: object) -> str:
    """Encode a JSON value as a cursor."""
    return encoded(json.dumps(value).encode())


def encoded(raw: bytes) -> str:
    """Encode bytes as a cursor."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@given(user=TEXT.map(UserId), position=POSITIONS)
def test_a_cursor_is_decoded_to_the_encoded_position(user: UserId, position: Position) -> None:
    cursor = encode_cursor(user, LIST, position)

    assert decode_cursor(user, LIST, cursor) == position
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert cursor.isascii()


@given(position=POSITIONS, user=TEXT.map(UserId), other=TEXT.map(UserId))
def test_a_cursor_of_another_user_is_refused(
    position: Position, user: UserId, other: UserId
) -> None:
    if folded(user) == folded(other):
        return
    with pytest.raises(BadUserInputError, match="another user's list"):
        decode_cursor(other, LIST, encode_cursor(user, LIST, position))


def test_a_cursor_is_valid_for_a_uuid_in_either_case() -> None:
    user = "0f8fad5b-d9cb-469f-a165-70867728950e"
    cursor = encode_cursor(UserId(user.upper()), LIST, Position("c", "i"))

    assert decode_cursor(UserId(user), LIST, cursor) == Position("c", "i")
    with pytest.raises(BadUserInputError, match="another user's list"):
        decode_cursor(UserId("ann"), LIST, encode_cursor(UserId("ANN"), LIST, Position("c", "i")))


@pytest.mark.parametrize("content", [[USER, "c", "i"], [USER, "c", "i", 0, ""]])
def test_a_cursor_of_an_older_format_is_read(
    content: list[object],
) -> None:
    assert decode_cursor(USER, LIST, written(content)) == Position("c", "i")


@given(position=POSITIONS, name=TEXT.filter(bool), other=TEXT)
def test_a_cursor_of_another_list_is_refused(position: Position, name: str, other: str) -> None:
    if name == other:
        return
    with pytest.raises(BadUserInputError, match="another list: expected one of"):
        decode_cursor(USER, other, encode_cursor(USER, name, position))


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "=",
        "a",
        "abcde",
        "not base64!",
        "null",
        written(None),
        written("text"),
        written([]),
        written([USER]),
        written([USER, None]),
        written([USER, 7, None]),
        written([USER, None, ["x"]]),
        written([USER, None, None, None]),
        written([USER, None, None, -1, ""]),
        written([USER, None, None, 2**31, ""]),
        written([USER, None, None, 10**400, ""]),
        written([USER, None, None, 1.5, ""]),
        written([USER, None, None, 1, "0" * 17]),
        written([USER, None, None, 1, None]),
        written([USER, None, None, 1, "", LIST, ""]),
        written([None, None, None]),
        written({"user": USER, "cursor": 7, "item": None}),
        encoded(b"[" * 3000),
        encoded(b"\xff\xfe"),
        encoded(f'["{USER}", "\\ud800", null]'.encode()),
        encoded(b"9" * 3000),
        encode_cursor(USER, LIST, Position("c", "i"))[:-2],
        encode_cursor(USER, LIST, Position("c", "i")) + "A",
        " " + encode_cursor(USER, LIST, Position("c", "i")),
        encode_cursor(USER, LIST, Position("c", "i")) + "\n",
        "ä" + encode_cursor(USER, LIST, Position("c", "i")),
        "😀",
        "\ud800",
        "\x00",
        "A" * MAX_CURSOR,
        "A" * (MAX_CURSOR + 1),
        "A" * 1_000_000,
    ],
)
def test_a_text_that_is_not_a_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadUserInputError, match=NOT_A_CURSOR) as caught:
        decode_cursor(USER, LIST, cursor)

    assert len(caught.value.message) < 200


@given(cursor=st.text(max_size=60) | st.binary(max_size=60).map(encoded))
def test_any_invalid_text_raises_bad_user_input(cursor: str) -> None:
    with pytest.raises(BadUserInputError):
        decode_cursor(USER, LIST, cursor)


@pytest.mark.parametrize("first", [1, 20, 100])
def test_a_page_has_1_to_100_items(first: int) -> None:
    assert page_request(USER, LIST, first, None) == PageRequest(USER, first, None)


@pytest.mark.parametrize("first", [0, -1, 101, 2**31 - 1, -(2**31)])
def test_a_page_of_another_size_is_refused(first: int) -> None:
    with pytest.raises(BadUserInputError, match=f"^first takes 1 to 100, got {first}$"):
        page_request(USER, LIST, first, None)


def test_a_page_starts_at_the_position_of_its_cursor() -> None:
    position = Position("upstream", "inv-3")

    request = page_request(USER, LIST, 5, encode_cursor(USER, LIST, position))

    assert request == PageRequest(USER, 5, position)
    with pytest.raises(BadUserInputError):
        page_request(OTHER, LIST, 5, encode_cursor(USER, LIST, position))
    with pytest.raises(BadUserInputError, match=NOT_A_CURSOR):
        page_request(USER, LIST, 5, "")


def record(number: int) -> Record:
    """Make the record of an invoice."""
    return InvoiceRecord.model_validate_json(json.dumps(invoice(number)))


def connection(request: PageRequest, *numbers: int, has_next: bool) -> ResolvedPage:
    """Make a connection of a page with these invoices."""
    items = tuple(PageItem(record(n), Position("c", f"i{n}")) for n in numbers)
    page = resolved_page(LIST, request, Page(items, has_next=has_next))
    assert page is not None
    return page


def test_each_edge_has_the_cursor_of_the_position_after_it() -> None:
    made = connection(PageRequest(USER, 2), 1, 2, has_next=True)

    assert [edge.node for edge in made.edges] == [record(1), record(2)]
    assert [decode_cursor(USER, LIST, edge.cursor) for edge in made.edges] == [
        Position("c", "i1"),
        Position("c", "i2"),
    ]
    assert made.page_info.start_cursor == made.edges[0].cursor
    assert made.page_info.end_cursor == made.edges[1].cursor


@pytest.mark.parametrize("has_next", [True, False])
@pytest.mark.parametrize("after", [None, Position("c", "i0")])
def test_page_info_has_whether_items_precede_and_follow(
    after: Position | None, *, has_next: bool
) -> None:
    info = connection(PageRequest(USER, 1, after), 1, has_next=has_next).page_info

    assert info.has_next_page is has_next
    assert info.has_previous_page is (after is not None)


def test_an_empty_page_has_no_cursors() -> None:
    made = connection(PageRequest(USER, 1), has_next=False)

    assert made.edges == []
    assert made.page_info.start_cursor is None
    assert made.page_info.end_cursor is None
