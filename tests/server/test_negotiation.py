"""The choice of the media type by the Accept header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.server.responses import GRAPHQL_JSON, JSON, negotiate, prefers_html

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL_JSON, GRAPHQL_JSON),
        ("Application/GraphQL-Response+JSON; charset=utf-8", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}, {JSON};q=0.9", GRAPHQL_JSON),
        (f"{JSON};q=0.9, {GRAPHQL_JSON}", GRAPHQL_JSON),
        (f"{JSON}, {GRAPHQL_JSON}", JSON),
        (f"{GRAPHQL_JSON}, {JSON}", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}, */*", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON};q=0, */*", JSON),
        (f"*/*;q=0.1, {GRAPHQL_JSON};q=0.5", GRAPHQL_JSON),
        (f"{JSON};q=0", None),
        (f"{JSON};q=never", None),
        ("text/html", None),
        ("text/plain, image/png", None),
        (BROWSER, JSON),
    ],
)
def test_the_media_type_that_the_client_prefers_is_chosen(
    accept: str | None, chosen: str | None
) -> None:
    assert negotiate(accept) == chosen


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        (None, False),
        ("*/*", False),
        (JSON, False),
        (f"text/html;q=0.8, {JSON}", False),
        (f"text/html, {GRAPHQL_JSON}", False),
    ],
)
def test_the_page_is_sent_only_if_the_client_prefers_html(
    accept: str | None,
    html: bool,  # noqa: FBT001 # a column of the table
) -> None:
    assert prefers_html(accept) is html


@given(st.text())
def test_any_accept_header_can_be_read(accept: str) -> None:
    assert negotiate(accept) in {None, JSON, GRAPHQL_JSON}
    assert prefers_html(accept) in {True, False}
