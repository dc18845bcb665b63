"""Writes keys into requests so that a key cannot change the rest of the request. Pure.

Most functions here return a writer of keys. A writer returns ``None`` for a key that cannot be
written safely at its place.
"""

import json
import re
from collections.abc import Callable
from typing import Literal, TypeAlias
from urllib.parse import quote as percent_encoded
from urllib.parse import unquote

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


def quote_around(before: str, after: str) -> str:
    """Return the quote that a key is in.

    Args:
        before: The text before the key.
        after: The text after it.

    Returns:
        The quote character, if it opens right before the key and closes right after it; else an
        empty text.
    """
    quote = before[-1:]
    opens = quote in {'"', "'"} and before.count(quote) % 2 == 1
    return quote if opens and after.startswith(quote) else ""


def in_text(before: str, after: str, escape: Escape = "refuse") -> Write:
    """Return a writer for a key that has other text around it, whose language is not known.

    Args:
        before: The text before the key.
        after: The text after it.
        escape: How a quote within the key is escaped, if the key is in quotes.

    Returns:
        The writer. A key alone may be any text but an empty one. A key without quotes may have no
        operators, quotes, brackets or spaces, and no sign of the text around it.
    """
    if not before and not after:
        return not_empty
    if quote := quote_around(before, after):
        return in_quotes(quote, escape)
    return in_list("", before + after)


def in_url(before: str, after: str, escape: Escape = "refuse") -> Write:
    """Return a writer for a key within a URL or a path with a query.

    Args:
        before: The text before the key, percent-encoded.
        after: The text after it.
        escape: How a quote within the key is escaped, if the key is in quotes.

    Returns:
        A writer of percent-encoded text: for a segment of the path, or for a part of the value of a
        parameter.
    """
    path, question, query = before.partition("?")
    if not question:
        return in_path(path.rpartition("/")[2] + re.split(r"[/?#]", after, maxsplit=1)[0])
    value = query.rpartition("&")[2].partition("=")[2]
    return in_query(in_text(unquote(value), unquote(re.split(r"[&#]", after)[0]), escape))


_URL = re.compile(r"(/|https?://)[^\s]*")
"""A text that is a URL or a path: it has no spaces."""


def check_url(text: str) -> None:
    """Check that a text is percent-encoded, if it begins as a URL or a path does.

    Args:
        text: The fixed text around a key.

    Raises:
        ValueError: It begins so, and has spaces: it is not known how a key has to be written in it.
    """
    if re.match(r"/|https?://", text) and not _URL.fullmatch(text):
        raise ValueError(f"expected {text!r} as a percent-encoded URL, without spaces")


def in_json_text(before: str, after: str, escape: Escape = "refuse") -> Write:
    """Return a writer for a key within a JSON string that has other text.

    Args:
        before: The text of the string before the key.
        after: The text after it.
        escape: How a quote within the key is escaped, if the key is in quotes.

    Returns:
        A writer for the layers that the key is in: the URL, if the string is one, or else the text;
        and the JSON string around it.
    """
    whole = not before and not after
    write = as_it_is if whole else in_text(before, after, escape)
    if _URL.fullmatch(before + after):
        write = in_url(before, after, escape)

    def written(key: str) -> str | None:
        text = write(key)
        return None if text is None else in_json(text)

    return written


_HEADER = re.compile(r"[!-~](?:[ -~]*[!-~])?")
"""The value of a header (RFC 9110, section 5.5) in printable ASCII."""


def in_header(write: Write) -> Write:
    """Return a writer for the value of a header.

    Args:
        write: The writer for the text that the value is.

    Returns:
        A writer of printable ASCII, which begins and ends with no space.
    """

    def written(key: str) -> str | None:
        text = write(key)
        return text if text is not None and _HEADER.fullmatch(text) else None

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
