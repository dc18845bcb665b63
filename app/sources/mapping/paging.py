"""Paged answers: whether there is more, and where the next page is asked for. Pure.

Whether an answer holds all there is, and where the rest is. Pure.

What is not in an answer that was cut off is not absent. Services tell it in many ways, and some
not at all; whatever says that there is more wins over what says that there is not.

Where the next page of an answer is asked for. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote, unquote, urljoin, urlsplit

from app.errors import MalformedError
from app.settings.response import MoreSettings, Somewhere
from app.sources.mapping.scan import ScannedDocument, at

_VALUE = r"""("(?:[^"\\]|\\.)*+"|[^\s;,"<>]*+)"""
_PARAMETER = re.compile(rf"""\s*+;\s*+([^\s=;,"<>]++)\s*+(?:=\s*+{_VALUE})?""")
_LINK = re.compile(rf"<([^<>]*+)>((?:{_PARAMETER.pattern})*+)\s*+(?:,|$)")
"""What a ``Link`` header is written of; possessive, so that no text takes long."""

_RANGE = re.compile(
    r"(?:(?P<unit>[A-Za-z-]+)[ =])?(?:\d{1,15}-(?P<last>\d{1,15})|\*)"
    r"/(?:(?P<total>\d{1,15})|\*)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class NextPage:
    """Where the next page is; one of the three, or none where that is not known.

    Attributes:
        url: Its address, as the service wrote it: absolute or relative, to any host at all.
        cursor: The cursor of it.
        offset: How many rows are before it.
    """

    url: str | None = None
    cursor: str | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class More:
    """An answer does not hold all there is.

    Attributes:
        sign: What told it.
        next: Where the next page is, if that is known.
    """

    sign: str
    next: NextPage | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of all there is an answer holds.

    Attributes:
        more: What it does not hold; ``None`` when it holds all.
        total: How many rows there are on all pages, where nothing but their number tells whether
            more follow.
    """

    more: More | None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class _Range:
    """A ``Content-Range`` of rows.

    Attributes:
        after: How many rows there are up to the last one of the answer.
        total: How many rows there are; ``None`` when that is not said.
    """

    after: int
    total: int | None


def extent_of(  # noqa: PLR0911 # a way out for each way of telling, the surest first
    document: ScannedDocument,
    headers: Mapping[str, str],
    settings: MoreSettings,
    *,
    partial: bool,
    limit: int | None,
) -> Extent:
    """Tell how much of all there is an answer holds.

    Args:
        document: The JSON of it.
        headers: Its headers.
        settings: What else says it.
        partial: Whether its status says that it is a part.
        limit: How many rows it may have, as far as that is known.

    Returns:
        What it holds.

    Raises:
        MalformedError: It does not say what it should.
    """
    count = len(document.rows or ())
    if not document.ended:
        return Extent(More(f"more than {count:,} rows, which is `max_rows`"))
    part = _content_range(headers.get("content-range"))
    has_more = _has_more(document.around, settings.has_more)
    total = _total(document.around, settings.total)
    # Some name a next page even when they say that there is none.
    named = None if has_more is False else _next(document, settings)
    following = named or _link(headers.get("link"))
    if following is not None:
        return Extent(More("a next page", following))
    offset = NextPage(offset=count if part is None else part.after)
    if has_more:
        return Extent(More("`has_more`", _row_cursor(document, settings) or offset))
    if part is not None and part.total is not None:
        return Extent(More("`Content-Range`", offset) if part.after < part.total else None)
    if total is not None:
        more = More(f"{total:,} rows in all", offset) if count < total else None
        return Extent(more, total)
    if partial:
        return Extent(More("its status", offset))
    says = has_more is not None or settings.next_url is not None or settings.next_cursor is not None
    if limit is not None and count >= limit and not says:
        return Extent(More(f"{count:,} rows, as many as there may be", offset))
    return Extent(None)


def _has_more(around: object, path: Somewhere | None) -> bool | None:
    """Read whether there is more."""
    if path is None:
        return None
    _, value = at(around, path)
    if value is True or value is False:
        return value
    raise MalformedError(f"expected true or false at {_written(path)}, got {_kind(value)}")


def _total(around: object, path: Somewhere | None) -> int | None:
    """Read how many rows there are."""
    if path is None:
        return None
    _, value = at(around, path)
    if type(value) is int and value >= 0:
        return value
    raise MalformedError(f"expected a number of rows at {_written(path)}, got {_kind(value)}")


def _next(document: ScannedDocument, settings: MoreSettings) -> NextPage | None:
    """Read where the next page is."""
    path = settings.next_url or settings.next_cursor
    if path is None:
        return None
    _, value = at(document.around, path)
    if value is None or value is False or (isinstance(value, str) and not value.strip()):
        return None
    if settings.next_url is not None and isinstance(value, str):
        return NextPage(url=value)
    if settings.next_cursor is not None and (isinstance(value, str) or type(value) is int):
        return NextPage(cursor=str(value)) if value != 0 else None  # some count down to it
    raise MalformedError(f"expected the next page at {_written(path)}, got {_kind(value)}")


def _row_cursor(document: ScannedDocument, settings: MoreSettings) -> NextPage | None:
    """Read the cursor of the next page off the last row.

    Returns:
        The page. It cannot be asked for where the row has nothing there that is a cursor: that is
        the trouble of those without a row, and of nobody else.
    """
    if settings.row_cursor is None or not document.rows:
        return None
    row = document.rows[-1].value
    found, value = at(row, settings.row_cursor)
    if isinstance(row, dict) and not found:
        raise MalformedError("expected a cursor in the last row, got nothing")
    if (isinstance(value, str) and value.strip()) or type(value) is int:
        return NextPage(cursor=str(value))
    return NextPage()


def _link(header: str | None) -> NextPage | None:
    """Find the next page in a ``Link`` header (RFC 8288, section 3)."""
    for target, written, *_ in _LINK.findall(header or ""):
        parameters: dict[str, str] = {}
        for name, value in _PARAMETER.findall(written):
            parameters.setdefault(name.lower(), value.strip('"'))
        if "next" in parameters.get("rel", "").lower().split() and "anchor" not in parameters:
            return NextPage(url=target)
    return None


def _content_range(header: str | None) -> _Range | None:
    """Read ``Content-Range`` (RFC 9110, section 14.4) where it tells of rows, not of bytes."""
    match = _RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None or match["unit"] == "bytes":
        return None
    total = None if match["total"] is None else int(match["total"])
    if match["last"] is None:
        return _Range(0, 0) if total == 0 else None
    return _Range(int(match["last"]) + 1, total)


def _written(path: Somewhere) -> str:
    """Write a path for a message."""
    return " → ".join(str(step) for step in path)


def _kind(value: object) -> str:
    """Say what there is instead."""
    return "nothing" if value is None else type(value).__name__


MAX_TARGET = 65_536
"""Longest path and query of a page, in characters."""

_PORTS: Mapping[str, int] = MappingProxyType({"http": 80, "https": 443})


def target_of(page: NextPage, target: str, base_url: str, settings: MoreSettings) -> str | None:
    """Tell where a page is asked for.

    Args:
        page: The page.
        target: Path and query, below the base URL, of the request that the first page answers.
        base_url: The base URL.
        settings: How pages are asked for.

    Returns:
        Path and query below the base URL; ``None`` where the page cannot be asked for: no parameter
        is known for it, it is the first page again, or its address leads elsewhere. What the
        service is sent (tokens, users) is for that service alone, so no answer leads away from its
        base URL.
    """
    if page.url is not None:
        return _below(page.url, target, base_url)
    if page.cursor is not None and settings.cursor_parameter is not None:
        return _with(target, settings.cursor_parameter, page.cursor)
    if page.offset and settings.offset_parameter is not None:  # at 0 is the page that was read
        number = page.offset + settings.first_offset
        return _with(target, settings.offset_parameter, str(number))
    return None


def _below(url: str, target: str, base_url: str) -> str | None:
    """Write an address as path and query below the base URL, if it is there."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None  # what is dropped or changed on the way could lead elsewhere
    try:
        there, base = urlsplit(urljoin(f"{base_url}{target}", url)), urlsplit(base_url)
        places = [
            (one.scheme, one.hostname, one.port or _PORTS[one.scheme]) for one in (there, base)
        ]
    except (ValueError, KeyError):
        return None
    inner = there.path.removeprefix(base.path)
    if (
        places[0] != places[1]
        or "@" in there.netloc
        or not there.path.startswith(f"{base.path}/")
        or not {".", ".."}.isdisjoint(unquote(there.path).split("/"))
        or len(url) > MAX_TARGET
    ):
        return None
    return f"{inner}?{there.query}" if there.query else inner


def _with(target: str, parameter: str, value: str) -> str | None:
    """Set a parameter of a query, in place of any that it has by that name."""
    name = quote(parameter, safe="!$'()*,:@/") + "="
    path, _, query = target.partition("?")
    pairs = [pair for pair in query.split("&") if pair and not pair.startswith(name)]
    try:
        written = "&".join([*pairs, name + quote(value, safe="")])
    except UnicodeEncodeError:
        return None  # half a character
    return f"{path}?{written}" if len(written) <= MAX_TARGET else None
