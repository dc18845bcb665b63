"""Paged responses: whether rows are missing, and how the next page is requested. Pure.

A key without a row in an incomplete response is not absent. Services show in many ways that a
response is incomplete, and some do not show it at all. A sign that more rows follow has priority
over a sign that none follow.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote, unquote, urljoin, urlsplit

from msgspec import Struct

from app.errors import MalformedError
from app.settings.response import MoreSettings, Somewhere
from app.sources.mapping.scan import ScannedDocument, at

_VALUE = r"""("(?:[^"\\]|\\.)*+"|[^\s;,"<>]*+)"""
_PARAMETER = re.compile(rf"""\s*+;\s*+([^\s=;,"<>]++)\s*+(?:=\s*+{_VALUE})?""")
_LINK = re.compile(rf"<([^<>]*+)>((?:{_PARAMETER.pattern})*+)\s*+(?:,|$)")
"""The grammar of a ``Link`` header; possessive, so that no text takes long to match."""

_RANGE = re.compile(
    r"(?:(?P<unit>[\w!#$%&'*+.^`|~-]+)[ =]\s*)?(?:\d{1,15}\s*-\s*(?P<last>\d{1,15})|\*)"
    r"\s*/\s*(?:(?P<total>\d{1,15})|\*)(?:\s*,.*)?",
    re.ASCII,
)
"""A range of rows. Of several, which may come from two equal headers, the first counts."""


class NextPage(Struct, frozen=True):
    """The next page, by one of these attributes; by none if it cannot be requested.

    Attributes:
        url: Its URL as the service wrote it: absolute or relative, and to any host.
        cursor: Its cursor.
        offset: Number of rows before it.
    """

    url: str | None = None
    cursor: str | None = None
    offset: int | None = None


class More(Struct, frozen=True):
    """Rows are missing in a response.

    Attributes:
        sign: What shows it, for messages.
        next: The next page, if it is known.
    """

    sign: str
    next: NextPage | None = None


class Extent(Struct, frozen=True):
    """Whether a response is complete.

    Attributes:
        more: That rows are missing; ``None`` if it is complete.
        total: Number of rows on all pages, if only that shows whether more follow.
    """

    more: More | None
    total: int | None = None


class RowRange(Struct, frozen=True):
    """A ``Content-Range`` of rows.

    Attributes:
        after: Number of rows up to and including the last one of the response; ``None`` if the
            response has no rows of the range.
        total: Number of rows on all pages; ``None`` if not given.
    """

    after: int | None
    total: int | None


class PageSigns(Struct, frozen=True):
    """What a response itself shows about rows that follow.

    Attributes:
        following: The next page, if the response names it.
        has_more: Whether more rows follow, by ``has_more``; ``None`` without the setting.
        part: Its ``Content-Range``; ``None`` if it has none of rows.
        total: Number of rows on all pages, by the setting, or else by ``Content-Range``; ``None``
            if neither says it.
    """

    following: NextPage | None
    has_more: bool | None
    part: RowRange | None
    total: int | None


def signs_of(
    document: ScannedDocument, headers: Mapping[str, str], settings: MoreSettings
) -> PageSigns:
    """Read what a response shows about rows that follow.

    Args:
        document: The scanned JSON of the response.
        headers: Its headers, by names in lower case.
        settings: Where the response shows it.

    Returns:
        The signs.

    Raises:
        MalformedError: A value at a path of the settings has the wrong type.
    """
    has_more = _has_more(document.around, settings.has_more)
    # Some services name a next page although ``has_more`` is false.
    named = None if has_more is False else _next(document, settings)
    if settings.next_header is not None:
        named = page_in_header(headers, settings.next_header)
    part = _content_range(headers.get("content-range"))
    total = _total(document.around, settings.total)
    return PageSigns(
        following=named or linked_page(headers.get("link")),
        has_more=has_more,
        part=part,
        total=part.total if total is None and part is not None else total,
    )


def extent_of(  # noqa: PLR0911 # one return for each sign, the most reliable first
    document: ScannedDocument,
    headers: Mapping[str, str],
    settings: MoreSettings,
    *,
    partial: bool,
    limit: int | None,
) -> Extent:
    """Return whether a response is complete.

    Args:
        document: The scanned JSON of the response.
        headers: Its headers, by names in lower case.
        settings: Where the response shows that rows are missing.
        partial: Whether its status says that it is a part.
        limit: Maximum number of rows on a page; ``None`` if not known.

    Returns:
        Whether it is complete, and the next page.

    Raises:
        MalformedError: A value at a path of the settings has the wrong type.
    """
    count = len(document.rows or ())
    if not document.ended:
        return Extent(More(f"more than {count:,} rows, which is `max_rows`"))
    signs = signs_of(document, headers, settings)
    part, total = signs.part, signs.total
    if signs.following is not None:
        return Extent(More("a next page", signs.following))
    after = count if part is None or part.after is None else part.after
    offset = NextPage(offset=after)
    if signs.has_more:
        return Extent(More("`has_more`", _row_cursor(document, settings) or offset))
    if part is not None and part.total is not None and count and after < part.total:
        return Extent(More("`Content-Range`", offset))
    if total is not None:
        # Some services count from 1 in `Content-Range`: only the number of rows shows the end.
        more = More(f"{total:,} rows in all", offset) if count < total else None
        return Extent(more, total)
    if partial:
        return Extent(More("its status", offset))
    if _has_sign(settings):
        return Extent(None)
    if limit is not None and count >= limit:
        return Extent(More(f"{count:,} rows, as many as there may be", offset))
    if count and part is not None and settings.offset_parameter is not None:
        # The service may have a limit of its own, and only an empty page shows the end.
        return Extent(More("`Content-Range` without a number of rows", offset))
    return Extent(None)


def _has_sign(settings: MoreSettings) -> bool:
    """Return whether each response shows whether more rows follow."""
    signs = (settings.has_more, settings.next_url, settings.next_cursor, settings.next_header)
    return any(sign is not None for sign in signs)


def lacks_total(headers: Mapping[str, str], settings: MoreSettings) -> bool:
    """Return whether a response may be cut off without any sign.

    Args:
        headers: Its headers, by names in lower case.
        settings: Where the service shows that rows are missing.

    Returns:
        Whether it has rows of an unknown number (``Content-Range: 0-39/*``), no other sign, and no
        parameter to request rows after them.
    """
    part = _content_range(headers.get("content-range"))
    named = (settings.total, settings.offset_parameter)
    others = _has_sign(settings) or any(setting is not None for setting in named)
    return part is not None and part.after is not None and part.total is None and not others


def page_in_header(headers: Mapping[str, str], name: str) -> NextPage | None:
    """Return the next page that a header names.

    Args:
        headers: The headers of the response, by names in lower case.
        name: The name of the header. In ``Link`` the page is the one with ``rel=next``.

    Returns:
        The page: by its URL if the value is one, or else by its cursor; ``None`` on the last page.
    """
    value = headers.get(name.lower())
    if name.lower() == "link":
        return linked_page(value)
    if value is None or not value.strip():
        return None
    text = value.strip()
    return NextPage(url=text) if "?" in text or "://" in text else NextPage(cursor=text)


def _has_more(around: object, path: Somewhere | None) -> bool | None:
    """Read whether more rows follow; ``None`` without the setting."""
    if path is None:
        return None
    _, value = at(around, path)
    if value is True or value is False:
        return value
    raise MalformedError(f"expected true or false at {_path_text(path)}, got {_kind(value)}")


def _total(around: object, path: Somewhere | None) -> int | None:
    """Read the number of rows on all pages; ``None`` without the setting."""
    if path is None:
        return None
    _, value = at(around, path)
    if type(value) is int and value >= 0:
        return value
    raise MalformedError(f"expected a number of rows at {_path_text(path)}, got {_kind(value)}")


def _next(document: ScannedDocument, settings: MoreSettings) -> NextPage | None:
    """Read the next page from the body; ``None`` if there is none."""
    path = settings.next_url or settings.next_cursor
    if path is None:
        return None
    _, value = at(document.around, path)
    if value is None or value is False or (isinstance(value, str) and not value.strip()):
        return None
    if settings.next_url is not None and isinstance(value, str):
        return NextPage(url=value)
    if settings.next_cursor is not None and (isinstance(value, str) or type(value) is int):
        return NextPage(cursor=str(value)) if value != 0 else None  # 0 is the end for some services
    raise MalformedError(f"expected the next page at {_path_text(path)}, got {_kind(value)}")


def _row_cursor(document: ScannedDocument, settings: MoreSettings) -> NextPage | None:
    """Return the next page by the cursor in the last row.

    If the value there is not a cursor, the page cannot be requested: this affects only keys without
    a row.
    """
    if settings.row_cursor is None or not document.rows:
        return None
    row = document.rows[-1]
    try:
        return NextPage(cursor=cursor_of_row(row, settings.row_cursor))
    except MalformedError:
        found, _ = at(row, settings.row_cursor)
        if isinstance(row, dict) and not found:
            raise
        return NextPage()


def cursor_of_row(row: object, path: Somewhere) -> str:
    """Return the cursor in a row.

    Args:
        row: The row, of any type.
        path: The path of the cursor.

    Returns:
        The cursor of the page after this row.

    Raises:
        MalformedError: The value there is neither text nor a whole number.
    """
    _, value = at(row, path)
    if (isinstance(value, str) and value.strip()) or type(value) is int:
        return str(value)
    raise MalformedError(f"expected a cursor at {_path_text(path)} of a row, got {_kind(value)}")


def linked_page(header: str | None) -> NextPage | None:
    """Return the next page from a ``Link`` header (RFC 8288, section 3).

    Args:
        header: The value of the header; ``None`` without it.

    Returns:
        The address with ``rel=next``; ``None`` if there is none.
    """
    if header is None:
        return None
    for target, text, *_ in _LINK.findall(header):
        parameters: dict[str, str] = {}
        for name, value in _PARAMETER.findall(text):
            parameters.setdefault(name.lower(), value.strip("\"'"))
        if "next" in parameters.get("rel", "").lower().split() and "anchor" not in parameters:
            return NextPage(url=target)
    return None


def _content_range(header: str | None) -> RowRange | None:
    """Read ``Content-Range`` (RFC 9110, section 14.4) if its unit is rows, not bytes."""
    match = _RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None or (match["unit"] or "").lower() == "bytes":
        return None
    last, total = match["last"], match["total"]
    return RowRange(None if last is None else int(last) + 1, None if total is None else int(total))


def _path_text(path: Somewhere) -> str:
    """Return a path as text for a message."""
    return " → ".join(str(step) for step in path)


def _kind(value: object) -> str:
    """Return the type of a value for a message."""
    return "nothing" if value is None else type(value).__name__


MAX_TARGET = 65_536
"""Maximum length of path and query of a page, in characters."""

_PORTS: Mapping[str, int] = MappingProxyType({"http": 80, "https": 443})


def target_of(page: NextPage, target: str, base_url: str, settings: MoreSettings) -> str | None:
    """Return the target of the request for a page.

    Args:
        page: The page.
        target: Path and query of the first request, below the base URL.
        base_url: The base URL.
        settings: How pages are requested.

    Returns:
        Path and query below the base URL. ``None`` if the page cannot be requested: no parameter is
        known for it, it is the first page again, or its URL is not below the base URL. Requests
        contain tokens and keys of users, so a response must not redirect them to another service.
    """
    if page.url is not None:
        return _below(page.url, target, base_url)
    if page.cursor is not None and settings.cursor_parameter is not None:
        return with_parameter(target, settings.cursor_parameter, page.cursor)
    if page.offset and settings.offset_parameter is not None:  # offset 0 is the first page again
        number = page.offset + settings.first_offset
        return with_parameter(target, settings.offset_parameter, str(number))
    return None


def _below(url: str, target: str, base_url: str) -> str | None:
    """Return a URL as path and query below the base URL; ``None`` if it is not below it."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None  # URL parsers drop or change such characters in different ways
    try:
        page, base = urlsplit(urljoin(f"{base_url}{target}", url)), urlsplit(base_url)
        origins = [
            (parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme])
            for parts in (page, base)
        ]
    except (ValueError, KeyError):
        return None
    path = page.path.removeprefix(base.path)
    if (
        origins[0] != origins[1]
        or "@" in page.netloc
        or not page.path.startswith(f"{base.path}/")
        or not {".", ".."}.isdisjoint(unquote(page.path).split("/"))
        or len(url) > MAX_TARGET
    ):
        return None
    return f"{path}?{page.query}" if page.query else path


def with_parameter(target: str, parameter: str, value: str) -> str | None:
    """Set a parameter of a query. It replaces parameters with the same name.

    Args:
        target: Path and query.
        parameter: The name of the parameter.
        value: Its value.

    Returns:
        Path and query; ``None`` if the value cannot be written, or if they are too long.
    """
    name = _quoted(parameter, "!$'()*,:@/") + "="
    path, _, query = target.partition("?")
    pairs = [pair for pair in query.split("&") if pair and not pair.startswith(name)]
    try:
        changed = "&".join([*pairs, name + _quoted(value, "")])
    except UnicodeEncodeError:
        return None  # a lone surrogate
    return f"{path}?{changed}" if len(changed) <= MAX_TARGET else None


def _quoted(text: str, safe: str) -> str:
    """Percent-encode a text for a query. Most names and values are letters and digits alone."""
    return text if text.isascii() and text.isalnum() else quote(text, safe=safe)
