"""Pages of lists that are decoded at once are equal to the pages that the reference reads."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import MalformedError
from app.fastpath.rows import page_decoder
from app.fastpath.scan import AT_ONCE
from app.settings.lists import ListSettings
from app.sources.base import Record
from app.sources.lists.contract import default_list
from app.sources.lists.reader import MAX_CURSOR, PageReader, UpstreamPage
from app.sources.mapping.decoding import ReadMethods, values_of
from app.sources.mapping.rows import RawAnswer
from app.sources.records import INVOICES, InvoiceRecord
from tests.fakes import invoice

DEFAULT = default_list(INVOICES)

ODD: st.SearchStrategy[object] = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        7,
        -1,
        2**64,
        1.5,
        1e30,
        "",
        " ",
        "x",
        "\u0000",
        "é",
        [],
        [1],
        {},
        {"a": 1},
    ]
).map(deepcopy)
"""Values that fit some fields or none."""


@st.composite
def pages(draw: st.DrawFn) -> bytes:
    """Draw the text of a page; most pages have an odd value."""
    items: list[object] = [dict(invoice(number)) for number in range(draw(st.integers(0, 3)))]
    page: dict[str, object] = {"items": items}
    if draw(st.booleans()):
        page["nextCursor"] = draw(st.one_of(st.just("c2"), ODD))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.sampled_from(["page", "items", "item", "member", "total"]))
        first = items[0] if items else None
        item = cast("dict[str, object]", first) if isinstance(first, dict) else {}
        if place == "page":
            page[draw(st.sampled_from(["items", "more", "nextcursor"]))] = draw(ODD)
        elif place == "items":
            items.append(draw(ODD))
        elif place == "item":
            item.pop(draw(st.sampled_from([*item, "none"])), None)
        elif place == "member":
            item[draw(st.sampled_from([*item, "extra"]))] = draw(ODD)
        elif isinstance(total := item.get("total"), dict):
            item["total"] = {**total, draw(st.sampled_from(["amount", "currency"])): draw(ODD)}
    text = json.dumps(page, ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 9)) == 0:
        text = text[: draw(st.integers(0, len(text)))]
    return text.encode()


def read(body: bytes, methods: ReadMethods, settings: ListSettings, **headers: str) -> object:
    """Read a page, and return its content as plain values, or the error."""
    reader = PageReader(INVOICES, settings, lenient=False, methods=methods)
    try:
        page = reader.read(RawAnswer(200, headers, body), None, 4)
    except MalformedError as error:
        return f"malformed: {error}"
    if not isinstance(page, UpstreamPage):
        return page
    rest = page.keys, page.cursors, page.more, page.cursor, page.sign
    return [plain(item) for item in page.items], *map(plain, rest)


def plain(value: object) -> object:
    """Return a record or struct as plain values."""
    if isinstance(value, Record | msgspec.Struct):
        return {name: plain(one) for name, one in values_of(value).items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in cast("list[object]", value)]
    return value


def page_text(**changes: object) -> bytes:
    """Write a page of two invoices."""
    page: Mapping[str, object] = {"items": [invoice(1), invoice(2)], "nextCursor": "c2"}
    return json.dumps({**page, **changes}).encode()


FAST = ReadMethods(pages=page_decoder)


@given(body=pages())
@example(page_text())
@example(page_text(nextCursor="x" * (MAX_CURSOR + 1)))
@example(page_text(nextCursor="\ud800"))
@example(page_text(items=[{**invoice(1), "id": "\ud800"}]))
@example(page_text(items=None))
@example(b'{"items": [], "items": [1]}')
@example(b'{"items": [1], "items": []}')
@example(b"[" * 100_000)
def test_any_page_is_read_as_by_the_reference(body: bytes) -> None:
    assert read(body, FAST, DEFAULT) == read(body, ReadMethods(), DEFAULT)


@pytest.mark.parametrize(
    "headers",
    [
        {"link": '</invoices?cursor=c3>; rel="next"'},
        {"content-range": "items 0-1/9"},
        {"content-range": "items 0-1/2"},
    ],
)
def test_a_header_with_the_next_page_is_read_as_by_the_reference(
    headers: Mapping[str, str],
) -> None:
    for body in (page_text(), page_text(nextCursor=None)):
        found = read(body, FAST, DEFAULT, **headers)

        assert found == read(body, ReadMethods(), DEFAULT, **headers)


@pytest.mark.parametrize(
    "changes",
    [
        {"has_more": ("more",)},
        {"total": ("total",)},
        {"rows": ("data", "items")},
        {"rows": ()},
        {"next_cursor": ("meta", "next")},
        {"next_cursor": None, "row_cursor": ("id",)},
        {"next_cursor": None, "next_header": "Next-Page"},
        {"next_cursor": None, "page_parameter": "page"},
        {"fields": {"id": "number"}},
        {"fields": {"number": "id"}},
        {"words": {"status": {"paid": "void"}}},
        {"defaults": {"number": "none"}},
    ],
)
def test_other_settings_are_read_by_the_reference(changes: Mapping[str, Any]) -> None:
    settings = DEFAULT.model_copy(update=changes)
    body = page_text(more=True, total=2, meta={"next": "c9"}, data={"items": [invoice(3)]})

    assert read(body, FAST, settings) == read(body, ReadMethods(), settings)


def test_a_usual_page_is_decoded_at_once() -> None:
    reader = PageReader(INVOICES, DEFAULT, lenient=False, methods=FAST)

    page = reader.read(RawAnswer(200, {}, page_text()), None, 4)

    assert isinstance(page, UpstreamPage)
    assert [type(item) is not InvoiceRecord for item in page.items] == [True, True]


def test_a_long_text_is_not_decoded_at_once() -> None:
    decode = page_decoder(InvoiceRecord, "items", "nextCursor")
    assert decode is not None

    assert decode(page_text()) is not None
    assert decode(page_text(extra="x" * AT_ONCE)) is None
