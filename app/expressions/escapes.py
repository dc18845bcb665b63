"""Writes keys into requests so that a key cannot change the rest of the request. Pure.

Most functions here return a writer of keys. A writer returns ``None`` for a key that cannot be
written safely at its place.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias
from urllib.parse import quote as percent_encoded

from app.expressions.ids import UUID_PATTERN

Escape: TypeAlias = Literal["refuse", "backslash", "double", "json"]

Write: TypeAlias = Callable[[str], str | None]
"""Writes a key of valid Unicode; returns ``None`` for a key that cannot be written safely."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}")
"""A whole number in decimal digits; their count bounds it to about 64 bits."""

_BARE = re.compile(r"\w[\w\-.~@:+/=|]*")
"""A text without operators, quotes, brackets, wildcards or spaces of any known list syntax."""

_MARK = re.compile(r"[^A-Za-z0-9\-._~]")
"""A character that may have a meaning within a segment of a path."""


def in_query(write: Write) -> Write:
    """Return a writer for the value of a query parameter (RFC 3986, section 2.1).

    Args:
        write: The writer for the text that the value is.

    Returns:
        A writer of unreserved characters and percent-encoded bytes only.
    """

    def written(key: str) -> str | None:
        text = write(key)
        return None if text is None else percent_encoded(text, safe="")

    return written


def as_it_is(key: str) -> str:
    """Return a key unchanged, for places where no character has a meaning.

    Args:
        key: The key.

    Returns:
        The same key.
    """
    return key


def not_empty(key: str) -> str | None:
    """Return a key unchanged, unless it is empty: an empty value may turn the filter off.

    Args:
        key: The key.

    Returns:
        The same key; ``None`` for an empty one.
    """
    return key or None


def in_quotes(quote: str, escape: Escape) -> Write:
    """Return a writer for keys between quotes.

    Args:
        quote: The quote character.
        escape: How a quote within the key is escaped.

    Returns:
        The writer.
    """
    if escape == "backslash":
        return lambda key: key.replace("\\", "\\\\").replace(quote, "\\" + quote)
    if escape == "double":
        return lambda key: key.replace(quote, quote * 2)
    if escape == "json":
        return lambda key: json.dumps(key, ensure_ascii=False)[1:-1]
    return lambda key: None if quote in key or "\\" in key or _CONTROL.search(key) else key


def in_list(separator: str, end: str) -> Write:
    """Return a writer for keys between separators, without quotes.

    Args:
        separator: The text between two keys.
        end: The text after the last key.

    Returns:
        The writer.
    """
    ends = {*separator, *_MARK.findall(end)}
    return lambda key: key if _BARE.fullmatch(key) and ends.isdisjoint(key) else None


def in_expression(key: str) -> str | None:
    """Write a key into an expression without quotes; other words could be operators.

    Args:
        key: The key.

    Returns:
        The same key if it is a whole number or a UUID; ``None`` otherwise.
    """
    return key if _NUMBER.fullmatch(key) or UUID_PATTERN.fullmatch(key) else None


def in_path(segment: str) -> Write:
    """Return a writer for one segment of a path.

    Some servers and proxies decode ``%2F`` before they split a path at slashes and resolve dots, so
    a key cannot have these even percent-encoded.

    Args:
        segment: The rest of the segment. If it has more than unreserved characters, such as
            ``('…')``, the segment may have a grammar of its own, and keys may only have unreserved
            ones.

    Returns:
        The writer.
    """
    strict = _MARK.search(segment) is not None

    def written(key: str) -> str | None:
        if key in {"", ".", ".."} or "/" in key or "\\" in key:
            return None
        return None if strict and _MARK.search(key) else percent_encoded(key, safe="")

    return written


def in_json(key: str) -> str:
    """Write a key within a JSON string (RFC 8259, section 7), in ASCII.

    Args:
        key: The key.

    Returns:
        The text between the quotes.
    """
    return json.dumps(key)[1:-1]


def as_number(key: str) -> str | None:
    """Write a key as a JSON number (RFC 8259, section 6).

    Args:
        key: The key.

    Returns:
        The same key if it is a whole number; ``None`` otherwise.
    """
    return key if _NUMBER.fullmatch(key) else None


def at_places(write: Write, texts: Sequence[str]) -> Write:
    """Return how a key is written that has several places.

    Args:
        write: How it is written at each of them.
        texts: The texts between the places.

    Returns:
        The function: it writes the key at all places, with the texts between them.
    """

    def written(key: str) -> str | None:
        text = write(key)
        return None if text is None else text + "".join(between + text for between in texts)

    return written
