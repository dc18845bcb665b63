"""The target of the request for the next page."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings.response import MoreSettings
from app.sources.mapping.paging import NextPage, target_of

BASE = "https://users.internal/api"
TARGET = "/users?id=a&id=b"


def asked(page: NextPage, target: str = TARGET, **settings: object) -> str | None:
    """Return the target of the request for a page."""
    return target_of(page, target, BASE, MoreSettings.model_validate(settings))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://users.internal/api/users?page=2", "/users?page=2"),
        ("https://USERS.internal:443/api/users?page=2", "/users?page=2"),
        ("/api/users?page=2&x=%20", "/users?page=2&x=%20"),
        ("//users.internal/api/users", "/users"),
        ("users?page=2", "/users?page=2"),
        ("./users?page=2", "/users?page=2"),
        ("?page=2", "/users?page=2"),
        ("/api/v2/users", "/v2/users"),
        ("?page=2#rows", "/users?page=2"),
    ],
)
def test_a_url_below_the_base_url_is_followed(url: str, target: str) -> None:
    assert asked(NextPage(url=url)) == target


@pytest.mark.parametrize(
    "url",
    [
        *("http://users.internal/api/users", "https://users.internal:8443/api/users"),
        *("https://evil.example/api/users", "//evil.example/api/users", "/other/users"),
        *("https://users.internal@evil.example/api/users", "https://a@users.internal/api/users"),
        *("https://users.internal.evil.example/api/users", "/apiary/users", "/api", "../other"),
        *("/api/../other", "/api/%2e%2e/other", "/api/a/..%2fb", "/api/users\n?page=2"),
        *("https://users.internal/api/../other", "https://users.internal/api/./users"),
        *("/api/users?a b", "/api/üsers", "\\\\evil.example\\api", "https://users.internal/api"),
        *("file:///api/users", "javascript:alert(1)", "https://[::1/api/users", "https://:x/api/"),
        "/api/users?" + "a" * 70_000,
    ],
)
def test_a_url_outside_the_base_url_is_not_followed(url: str) -> None:
    assert asked(NextPage(url=url)) is None


@given(url=st.text(max_size=30) | st.text("/.:@?#%2efhtpsau\\", max_size=30))
def test_no_url_leads_outside_the_base_url(url: str) -> None:
    target = asked(NextPage(url=url))

    if target is not None:
        whole = urlsplit(f"{BASE}{target}")
        assert (whole.scheme, whole.netloc) == ("https", "users.internal")
        assert whole.path.startswith("/api/")
        assert target.isascii()


def test_a_cursor_is_added_as_a_parameter() -> None:
    page = NextPage(cursor="a&b=c/é")

    assert asked(page, cursor_parameter="cursor") == f"{TARGET}&cursor=a%26b%3Dc%2F%C3%A9"
    assert asked(page, "/users", cursor_parameter="page[after]") == (
        "/users?page%5Bafter%5D=a%26b%3Dc%2F%C3%A9"
    )
    assert asked(page) is None
    assert asked(NextPage(cursor="\ud800"), cursor_parameter="cursor") is None


def test_an_offset_replaces_the_first_offset() -> None:
    page = NextPage(offset=100)

    assert asked(page, offset_parameter="offset") == f"{TARGET}&offset=100"
    assert (
        asked(page, "/Users?startIndex=1&count=100", offset_parameter="startIndex", first_offset=1)
        == "/Users?count=100&startIndex=101"
    )
    assert asked(page) is None


def test_neither_the_first_page_nor_an_unknown_page_is_requested() -> None:
    every = {"cursor_parameter": "cursor", "offset_parameter": "offset"}

    assert asked(NextPage(offset=0), **every) is None
    assert asked(NextPage(), **every) is None


@given(cursor=st.text(min_size=1, max_size=20))
def test_a_cursor_is_always_escaped(cursor: str) -> None:
    target = asked(NextPage(cursor=cursor), cursor_parameter="cursor")

    assert target is not None
    assert parse_qsl(urlsplit(target).query, keep_blank_values=True) == [
        ("id", "a"),
        ("id", "b"),
        ("cursor", cursor),
    ]
