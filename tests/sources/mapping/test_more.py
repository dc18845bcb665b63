"""Signs in a response that more rows follow, or that none follow."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import MalformedError
from app.settings.response import AnswerSettings, MoreSettings
from app.sources.mapping.paging import Extent, NextPage, extent_of, lacks_total
from app.sources.mapping.scan import scan


def extent(
    body: object,
    *,
    headers: Mapping[str, str] | None = None,
    partial: bool = False,
    limit: int | None = None,
    max_rows: int = 100,
    **more: object,
) -> Extent:
    """Return the extent of a response with its rows at ``rows``."""
    settings = AnswerSettings.model_validate({"rows": ["rows"], "max_rows": max_rows})
    return extent_of(
        scan(json.dumps(body).encode(), settings),
        headers or {},
        MoreSettings.model_validate(more),
        partial=partial,
        limit=limit,
    )


def following(found: Extent) -> NextPage | None:
    """Return the next page; there has to be one."""
    assert found.more is not None
    return found.more.next


TWO = {"rows": [{"id": "a"}, {"id": "b"}]}


def test_a_response_without_a_sign_has_all_rows() -> None:
    assert extent(TWO) == Extent(None)
    assert extent(TWO, limit=3) == Extent(None)


def test_has_more_tells_whether_more_rows_follow() -> None:
    assert extent({**TWO, "meta": {"more": False}}, has_more=["meta", "more"]) == Extent(None)

    found = extent({**TWO, "meta": {"more": True}}, has_more=["meta", "more"])

    assert following(found) == NextPage(offset=2)
    assert found.more is not None
    assert found.more.sign == "`has_more`"


def test_the_next_cursor_may_be_in_the_last_row() -> None:
    found = extent({**TWO, "has_more": True}, has_more=["has_more"], row_cursor=["id"])

    assert following(found) == NextPage(cursor="b")
    empty = extent({"rows": [], "has_more": True}, has_more=["has_more"], row_cursor=["id"])
    assert following(empty) == NextPage(offset=0)


@pytest.mark.parametrize("cursor", ["", " ", "\n", None, True, 1.5, [], {}])
def test_a_last_row_without_a_valid_cursor_gives_no_next_page(cursor: object) -> None:
    body = {"rows": [{"id": "a", "at": 1}, {"id": "b", "at": cursor}], "has_more": True}

    found = extent(body, has_more=["has_more"], row_cursor=["at"])

    assert following(found) == NextPage()


@pytest.mark.parametrize("last", ["a", 7, None, []])
def test_a_last_row_that_is_not_an_object_gives_no_next_page(last: object) -> None:
    body = {"rows": [{"id": "a"}, last], "has_more": True}

    assert following(extent(body, has_more=["has_more"], row_cursor=["id"])) == NextPage()


@pytest.mark.parametrize("last", [None, "", False, " ", "\t\r\n", "\u2003"])
def test_a_url_in_the_body_names_the_next_page(last: object) -> None:
    named = extent({**TWO, "links": {"next": "/users?page=2"}}, next_url=["links", "next"])

    assert following(named) == NextPage(url="/users?page=2")
    assert extent({**TWO, "links": {"next": last}}, next_url=["links", "next"]) == Extent(None)
    assert extent(TWO, next_url=["links", "next"]) == Extent(None)


@pytest.mark.parametrize(("cursor", "written"), [("abc", "abc"), (2, "2"), ("/x", "/x")])
def test_a_cursor_in_the_body_names_the_next_page(cursor: object, written: str) -> None:
    assert following(extent({**TWO, "next": cursor}, next_cursor=["next"])) == NextPage(
        cursor=written
    )
    for last in (0, "", "  ", "\n", None, False):
        assert extent({**TWO, "next": last}, next_cursor=["next"]) == Extent(None)


def test_a_cursor_is_not_followed_if_has_more_is_false() -> None:
    body = {**TWO, "more": False, "next": "abc"}

    assert extent(body, has_more=["more"], next_cursor=["next"]) == Extent(None)
    more = extent({**body, "more": True}, has_more=["more"], next_cursor=["next"])
    assert following(more) == NextPage(cursor="abc")


def test_a_total_tells_whether_more_rows_follow() -> None:
    assert extent({**TWO, "total": 2}, total=["total"]) == Extent(None, 2)

    found = extent({**TWO, "total": 5}, total=["total"])

    assert following(found) == NextPage(offset=2)
    assert found.total == 5


@pytest.mark.parametrize(
    ("body", "settings"),
    [
        ({}, {"has_more": ["more"]}),
        ({"more": "yes"}, {"has_more": ["more"]}),
        ({"more": 1}, {"has_more": ["more"]}),
        ({}, {"total": ["total"]}),
        ({"total": "5"}, {"total": ["total"]}),
        ({"total": -1}, {"total": ["total"]}),
        ({"total": True}, {"total": ["total"]}),
        ({"next": 7}, {"next_url": ["next"]}),
        ({"next": {}}, {"next_cursor": ["next"]}),
        ({"next": True}, {"next_cursor": ["next"]}),
        ({"more": True}, {"has_more": ["more"], "row_cursor": ["uid"]}),
    ],
)
def test_a_response_with_an_invalid_sign_is_malformed(
    body: Mapping[str, object], settings: dict[str, Any]
) -> None:
    with pytest.raises(MalformedError, match=r"expected .*, got"):
        extent({**TWO, **body}, **settings)


@pytest.mark.parametrize(
    ("header", "url"),
    [
        ('<https://a/users?page=2>; rel="next"', "https://a/users?page=2"),
        ("<?page=2>;rel=next", "?page=2"),
        ('</1>; rel="prev first", </3>; title="a, b; <c>" ; REL="last NEXT"', "/3"),
        ('</1>; rel="prev", </3>; rel="next"; rel="prev"', "/3"),
        ('</3>; title="say \\"next\\""; rel=next', "/3"),
        ("<>; rel=next", ""),
        ("</3>; rel='next'", "/3"),
    ],
)
def test_a_link_header_names_the_next_page(header: str, url: str) -> None:
    assert following(extent(TWO, headers={"link": header})) == NextPage(url=url)


@pytest.mark.parametrize(
    "header",
    [
        *("", "next", "</3>", "</3>; rel=prev", '</3>; title="rel=next"', "/3; rel=next"),
        *('</3>; rel="prev"; rel="next"', '</3>; rel=next; anchor="#a"', '</3>; rel="nextpage"'),
        *("</3; rel=next", '</3>; rel="next', '</3>; rel="prev,next"', "<" * 16_384),
        "</3>; rel=next" + " " * 16_384 + "<",
    ],
)
def test_a_link_header_without_a_next_page_is_no_sign(header: str) -> None:
    assert extent(TWO, headers={"link": header}) == Extent(None)


@given(
    header=st.text(alphabet='<>/;,= "\\relnxt', max_size=60)
    | st.tuples(st.text('<>;,="\\ a', min_size=1, max_size=4), st.integers(1, 4_000)).map(
        lambda part: "<a>" + part[0] * part[1]
    )
)
def test_any_header_is_read_without_an_exception(header: str) -> None:
    extent(TWO, headers={"link": header, "content-range": header})


@pytest.mark.parametrize(
    ("header", "offset"),
    [
        ("items 0-1/319", 2),
        ("0-1/3", 2),
        ("users 25-49/51", 50),
        ("items=0-1/9", 2),
        ("x_1 0 - 1 / 9", 2),
        ("items 0-1/9, items 0-1/9", 2),
        ("*/319", 2),
    ],
)
@pytest.mark.parametrize("partial", [False, True])
def test_content_range_tells_that_more_rows_follow(header: str, offset: int, partial: bool) -> None:  # noqa: FBT001 # parametrized
    found = extent(TWO, headers={"content-range": header}, partial=partial)

    assert following(found) == NextPage(offset=offset)


@pytest.mark.parametrize("header", ["items 0-1/2", "0-1/2", "1-2/2", "*/0"])
def test_content_range_tells_that_no_rows_follow(header: str) -> None:
    assert extent(TWO, headers={"content-range": header}, partial=True, limit=2).more is None


def test_a_content_range_without_rows_has_the_number_of_missing_rows() -> None:
    found = extent({"rows": []}, headers={"content-range": "items */5"})

    assert following(found) == NextPage(offset=0)
    assert found.total == 5
    assert extent({"rows": []}, headers={"content-range": "items */0"}).more is None


def test_a_content_range_that_counts_from_one_does_not_end_the_rows_early() -> None:
    found = extent(TWO, headers={"content-range": "items 1-2/3"})

    assert following(found) == NextPage(offset=3)
    last = extent({"rows": [{"id": "c"}]}, headers={"content-range": "items 3-3/3"})
    assert last.total == 3  # as many as on both pages, so no rows follow


def test_a_larger_total_in_the_body_has_priority_over_content_range() -> None:
    headers = {"content-range": "items 0-1/2"}

    assert following(extent({**TWO, "total": 9}, headers=headers, total=["total"])) is not None


@pytest.mark.parametrize(
    "header", ["", "0-1/*", "bytes 0-1/2", "BYTES 0-1/9", "all", "items 0-x/2"]
)
def test_the_status_decides_if_content_range_has_no_total(header: str) -> None:
    assert extent(TWO, headers={"content-range": header}) == Extent(None)
    assert following(extent(TWO, headers={"content-range": header}, partial=True)) == NextPage(
        offset=2
    )


def test_a_full_page_is_a_sign_of_more_rows_without_another_sign() -> None:
    assert following(extent(TWO, limit=2)) == NextPage(offset=2)
    assert following(extent(TWO, limit=1)) == NextPage(offset=2)
    assert extent({**TWO, "more": False}, has_more=["more"], limit=2) == Extent(None)
    assert extent({**TWO, "next": None}, next_cursor=["next"], limit=2) == Extent(None)
    assert extent({**TWO, "total": 2}, total=["total"], limit=2) == Extent(None, 2)


def test_rows_after_max_rows_count_as_missing() -> None:
    found = extent({**TWO, "more": False}, has_more=["more"], max_rows=1)

    assert following(found) is None


@pytest.mark.parametrize(
    ("value", "page"),
    [
        ("https://a.b/users?_token=7", NextPage(url="https://a.b/users?_token=7")),
        ("?page=2", NextPage(url="?page=2")),
        ("abc", NextPage(cursor="abc")),
        (" ", None),
        (None, None),
    ],
)
def test_a_configured_header_can_name_the_next_page(
    value: str | None, page: NextPage | None
) -> None:
    headers = {} if value is None else {"next-page": value}
    found = extent(TWO, headers=headers, limit=2, next_header="Next-Page")

    assert (found.more.next if found.more else None) == page


def test_a_next_header_beside_another_way_of_paging_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        MoreSettings.model_validate({"next_header": "Next-Page", "next_cursor": ["next"]})


def test_rows_without_a_total_are_read_until_a_page_is_empty() -> None:
    headers = {"content-range": "0-1/*"}

    found = extent(TWO, headers=headers, offset_parameter="offset")

    assert following(found) == NextPage(offset=2)
    last = {"rows": list[object]()}
    assert extent(last, headers={"content-range": "*/*"}, offset_parameter="offset") == Extent(None)
    ended = extent(
        {**TWO, "more": False}, headers=headers, has_more=["more"], offset_parameter="offset"
    )
    assert ended == Extent(None)


@pytest.mark.parametrize(
    ("header", "more", "lacking"),
    [
        ("0-1/*", {}, True),
        ("items 0-1/*", {}, True),
        ("0-1/2", {}, False),
        ("*/*", {}, False),
        ("*/9", {}, False),
        ("bytes 0-1/*", {}, False),
        ("0-1/*", {"offset_parameter": "offset"}, False),
        ("0-1/*", {"total": ["n"]}, False),
        ("0-1/*", {"next_header": "X-Next"}, False),
    ],
)
def test_a_response_without_a_total_and_another_sign_is_detected(
    header: str, more: Mapping[str, object], *, lacking: bool
) -> None:
    headers = {"content-range": header}

    assert lacks_total(headers, MoreSettings.model_validate(more)) is lacking
    assert not lacks_total({}, MoreSettings.model_validate(more))
