"""Where the next page of an answer is asked for. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote, unquote, urljoin, urlsplit

from app.shapes.answer import MoreSettings
from app.sources.more import NextPage

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
