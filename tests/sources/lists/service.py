"""A fake service with a list, in each paging style of real services."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from app.settings.lists import ListSettings
from tests.fakes import json_response

Json = Mapping[str, Any]

FIRST_DAY = 1_767_225_600
"""The first second of 2026, in seconds since 1970."""

FIELDS = {
    "id": "ident",
    "number": "join('-', ['N', to_string(ident)])",
    "status": "lower(state)",
    "issued_at": "unix_seconds(at)",
    "total": "money_minor(cents, currency)",
}


@dataclass(frozen=True)
class PagingStyle:
    """A style of pages.

    Attributes:
        name: Its name, for the names of tests.
        place: The way to give the start of a page: ``cursor``, ``row``, ``page``, ``offset``, or
            ``whole`` for one response with all items.
        signs: The signs in a response that more items follow.
        settings: The settings that describe it.
        first: The number of the first page, or of the first item.
    """

    name: str
    place: str
    signs: frozenset[str]
    settings: Mapping[str, object]
    first: int = 0

    def __str__(self) -> str:
        return self.name

    @property
    def shown(self) -> bool:
        """Whether each response shows whether more items follow."""
        return bool(self.signs) or self.place == "whole"

    def list_settings(self, *, sized: bool = True, most: int = 100) -> ListSettings:
        """Make the settings of the list."""
        size = {"page_size_parameter": "size", "max_page_size": most} if sized else {}
        common = {"path": "/list", "parameter": "owner", "rows": ["data"], "fields": FIELDS}
        return ListSettings.model_validate({**common, **size, **self.settings})


_MORE = {"has_more": ["more"]}
_TOTAL = {"total": ["meta", "total"]}
_ROW = {"row_cursor": ["ident"], "cursor_parameter": "after"}
_PAGE = {"page_parameter": "page"}
_OFFSET = {"offset_parameter": "offset"}


def _named(name: str, sign: str, **where: object) -> PagingStyle:
    """Make a style in which a response names the next page."""
    settings = {"cursor_parameter": "after", **where}
    return PagingStyle(name, "cursor", frozenset({sign}), settings)


def _counted(place: str, sign: str, settings: Mapping[str, object], first: int = 0) -> PagingStyle:
    """Make a style without cursors; without a sign, nothing shows whether more items follow."""
    name = " and ".join(one for one in (place, sign) if one)
    signs = frozenset({sign} if sign else ())
    return PagingStyle(f"{name}, from {first}", place, signs, settings, first)


STYLES: Sequence[PagingStyle] = (
    _named("next_cursor", "cursor", next_cursor=["meta", "next"]),
    _named("next_url", "url", next_url=["links", "next"]),
    _named("Link", "link", next_header="Link"),
    _named("an address in a header", "url header", next_header="Next-Page"),
    _named("a cursor in a header", "cursor header", next_header="X-Next"),
    _counted("row", "", _ROW),
    _counted("row", "has_more", {**_ROW, **_MORE}),
    _counted("page", "", _PAGE, 1),
    _counted("page", "", {**_PAGE, "first_page": 0}),
    _counted("page", "has_more", {**_PAGE, **_MORE}, 1),
    _counted("page", "total", {**_PAGE, **_TOTAL}, 1),
    _counted("page", "range", _PAGE, 1),
    _counted("page", "link", _PAGE, 1),
    _counted("offset", "", _OFFSET),
    _counted("offset", "", {**_OFFSET, "first_offset": 1}, 1),
    _counted("offset", "has_more", {**_OFFSET, **_MORE}),
    _counted("offset", "total", {**_OFFSET, **_TOTAL}),
    _counted("offset", "range", _OFFSET),
    _counted("offset", "206", _OFFSET),
    PagingStyle("whole", "whole", frozenset(), {}),
)

BY_NAME = {style.name: style for style in STYLES}


@dataclass
class ListService:
    """A service with one list.

    Attributes:
        style: Its style of pages.
        numbers: Its items.
        most: The greatest number of items on a page.
        obeys: Whether it obeys ``size``.
        calls: The number of calls.
        sizes: The requested sizes.
        ignores: Whether it ignores the start of a page.
        breaks_at: The number of the first call that gets ``failure``.
        failure: That response.
    """

    style: PagingStyle
    numbers: list[int]
    most: int = 100
    obeys: bool = True
    calls: int = 0
    sizes: list[int | None] = field(default_factory=list[int | None])
    ignores: bool = False
    breaks_at: int | None = None
    failure: httpx.Response = field(default_factory=lambda: httpx.Response(503))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Return a page."""
        assert request.url.path == "/list"
        self.calls += 1
        if self.breaks_at is not None and self.calls >= self.breaks_at:
            return self.failure
        asked = request.url.params
        assert asked["owner"]
        size = int(asked["size"]) if "size" in asked else None
        self.sizes.append(size)
        length = self.most if size is None or not self.obeys else min(self.most, size)
        if self.style.place == "whole":
            length = len(self.numbers)
        start = 0 if self.ignores else self._start(asked, length)
        page = self.numbers[start : start + length]
        return self._answer(page, start, length)

    def _start(self, asked: httpx.QueryParams, length: int) -> int:
        """Return the start of a page."""
        match self.style.place:
            case "cursor" if "after" in asked:
                return self.numbers.index(int(asked["after"].removeprefix("behind "))) + 1
            case "row" if "after" in asked:
                return self.numbers.index(int(asked["after"])) + 1
            case "page":
                return (int(asked.get("page", self.style.first)) - self.style.first) * length
            case "offset":
                return int(asked.get("offset", self.style.first)) - self.style.first
            case _:
                return 0

    def _answer(self, page: Sequence[int], start: int, length: int) -> httpx.Response:
        """Write a page, with the signs of the style."""
        signs, last = self.style.signs, start + length
        more = last < len(self.numbers)
        cursor = f"behind {page[-1]}" if more and page else None
        url = (
            None if cursor is None else str(httpx.URL("/list", params={"after": cursor, "x": "1"}))
        )
        body: dict[str, Any] = {"data": [row(number) for number in page]}
        headers: dict[str, str] = {}
        if "cursor" in signs:
            body["meta"] = {"next": cursor}
        if "url" in signs:
            body["links"] = {"next": url and f"http://elsewhere{url}"}
        if "has_more" in signs:
            body["more"] = more
        if "total" in signs:
            body["meta"] = {"total": len(self.numbers)}
        if "link" in signs and more:
            headers["link"] = f'</first>; rel="first", <{url}>; rel="next"'
        if "url header" in signs and url is not None:
            headers["next-page"] = f"http://elsewhere{url}"
        if "cursor header" in signs:
            headers["x-next"] = cursor or ""
        if "range" in signs:
            part = f"{start}-{start + len(page) - 1}" if page else "*"
            headers["content-range"] = f"items {part}/{len(self.numbers)}"
        answer = json_response(body, 206 if "206" in signs and more else 200)
        answer.headers.update(headers)
        return answer


def row(number: int) -> Json:
    """Make an item as the service writes it."""
    return {
        "ident": number,
        "state": "PAID",
        "at": FIRST_DAY + number,
        "cents": number,
        "currency": "eur",
    }
