"""How a key is written at its place, so that it cannot leave it. Pure.

Each function here makes one that writes keys, and gives ``None`` for a key that has no way to be
written there: it would be read as something else, or could be.
"""

import json
import re
from collections.abc import Callable
from typing import Literal, TypeAlias
from urllib.parse import quote as percent_encoded

from app.expressions.ids import UUID_PATTERN

Escape: TypeAlias = Literal["refuse", "backslash", "double", "json"]

Write: TypeAlias = Callable[[str], str | None]
"""Writes a key, which has to be Unicode text; ``None`` for one that has no way to be written."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}")
"""A whole number as it is written, of no more than 64 bits by its length."""

_BARE = re.compile(r"\w[\w\-.~@:+/=|]*")
"""What is no operator, quote, bracket, wildcard or space in any list that we know of."""

_MARK = re.compile(r"[^A-Za-z0-9\-._~]")
"""What may have a meaning within one segment of a path."""


def in_query(write: Write) -> Write:
    """Write keys into the value of a query parameter (RFC 3986, section 2.1).

    Args:
        write: Writes them into the text that the value is.

    Returns:
        What writes them; nothing but unreserved characters and percent-encoded bytes.
    """

    def written(key: str) -> str | None:
        text = write(key)
        return None if text is None else percent_encoded(text, safe="")

    return written


def as_it_is(key: str) -> str:
    """Write a key where nothing has a meaning.

    Args:
        key: The key.

    Returns:
        The same.
    """
    return key


def not_empty(key: str) -> str | None:
    """Write a key where nothing has a meaning, but for nothing at all: to have no filter.

    Args:
        key: The key.

    Returns:
        The same.
    """
    return key or None


def in_quotes(quote: str, escape: Escape) -> Write:
    """Write keys between quotes.

    Args:
        quote: The quote.
        escape: How it is written itself.

    Returns:
        What writes them.
    """
    if escape == "backslash":
        return lambda key: key.replace("\\", "\\\\").replace(quote, "\\" + quote)
    if escape == "double":
        return lambda key: key.replace(quote, quote * 2)
    if escape == "json":
        return lambda key: json.dumps(key, ensure_ascii=False)[1:-1]
    return lambda key: None if quote in key or "\\" in key or _CONTROL.search(key) else key


def in_list(separator: str, end: str) -> Write:
    """Write keys between separators, without quotes.

    Args:
        separator: What stands between two of them.
        end: What stands behind the last of them.

    Returns:
        What writes them.
    """
    ends = {*separator, *_MARK.findall(end)}
    return lambda key: key if _BARE.fullmatch(key) and ends.isdisjoint(key) else None


def in_expression(key: str) -> str | None:
    """Write a key into an expression, without quotes: a word there could be anything.

    Args:
        key: The key.

    Returns:
        The same, if it is a whole number or a UUID.
    """
    return key if _NUMBER.fullmatch(key) or UUID_PATTERN.fullmatch(key) else None


def in_path(segment: str) -> Write:
    """Write keys into one segment of a path.

    Servers and proxies resolve dots and split at slashes after decoding, too: ``%2F`` does not
    hold everywhere.

    Args:
        segment: What else is in the segment. Where that is more than letters, digits and the like
            (``('…')``), there may be a grammar within it, and keys may have no other either.

    Returns:
        What writes them.
    """
    strict = _MARK.search(segment) is not None

    def written(key: str) -> str | None:
        if key in {"", ".", ".."} or "/" in key or "\\" in key:
            return None
        return None if strict and _MARK.search(key) else percent_encoded(key, safe="")

    return written


def in_json(key: str) -> str:
    """Write a key into a JSON string (RFC 8259, section 7), in ASCII.

    Args:
        key: The key.

    Returns:
        What stands between the quotes.
    """
    return json.dumps(key)[1:-1]


def as_number(key: str) -> str | None:
    """Write a key as a JSON number (RFC 8259, section 6).

    Args:
        key: The key.

    Returns:
        The same, if it is a whole number.
    """
    return key if _NUMBER.fullmatch(key) else None
