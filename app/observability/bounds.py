"""Keeps each event one line of bounded length, with any values.

Names of operations, paths and texts of exceptions can come from a client or a source. They can be a
hundred kilobytes long, and contain line breaks or control sequences of terminals.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from structlog.typing import EventDict

MAX_LINE = 8_192
"""The most bytes of a line of JSON: common log collectors accept so many as one line."""

MAX_TEXT = 2_000
"""The most characters of a value on a console, or in a line of JSON that would be too long."""

MISTAKES = "mistakes"
"""The name of the value with the mistakes of settings. They are the operator's own text, and are
logged once for each start or reload. So they may be longer than others, to be in one event."""

MAX_MISTAKES = 15_000
"""The most bytes of a line with mistakes, or of their characters on a console: container runtimes
accept 16 KiB as one line."""

TRACEBACK = "exception"
"""The name of the value that may be longer than others."""

TRACEBACK_SHARE = 3
"""How many times as long it may be."""

_PLAIN_BITS = 128
"""The most bits of a number that is written as it is; Python refuses to write very long ones."""

_ALWAYS_SHORT = ("level", "timestamp", "request_id")

_UNSAFE = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Characters that JSON need not escape, but that programs may read as the end of a line, as a
terminal's control character, or as a change of the writing direction."""


def plain(line: str) -> str:
    """Escape the characters in JSON that may harm a terminal or split a line.

    Args:
        line: JSON.

    Returns:
        The same JSON document, escaped.
    """
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def fitting(
    event: Mapping[str, object],
    write: Callable[[Mapping[str, object]], str],
    max_line: int = MAX_LINE,
) -> str:
    """Write an event as a line of bounded length.

    Args:
        event: The event.
        write: Writes an event as a line.
        max_line: The most bytes of the line.

    Returns:
        The line. If it would be too long, long values are cut in their middle, and are marked as
        cut.
    """
    line = write(event)
    for shorter in () if _fits(line, max_line) else _shorter(event, write):
        line = write(shorter)
        if _fits(line, max_line):
            break
    return line


def _fits(line: str, max_line: int) -> bool:
    """Return whether a line has at most so many bytes."""
    return len(line) * 4 <= max_line or len(line.encode("utf-8", "replace")) <= max_line


def _shorter(
    event: Mapping[str, object], write: Callable[[Mapping[str, object]], str]
) -> Iterator[Mapping[str, object]]:
    """Yield the event with values that become shorter and shorter."""
    texts = {name: _text(value, write) for name, value in event.items()}
    for most in (MAX_TEXT, 1_000, 500, 100):
        yield {
            cut(name, most): cut(value, most * (TRACEBACK_SHARE if name == TRACEBACK else 1))
            if isinstance(value, str)
            else value
            for name, value in texts.items()
        }
    rest = {name: texts[name] for name in _ALWAYS_SHORT if name in texts}
    yield {"event": cut(str(texts.get("event")), 100), **rest, "cut": len(texts)}


def _text(value: object, write: Callable[[Mapping[str, object]], str]) -> object:
    """Return a value as text if it could be long."""
    if value is None or isinstance(value, str | int | float):
        return value
    return write({"": value})


def cut(text: str, most: int) -> str:
    """Cut a long text in its middle, because the ends of a traceback say most.

    Args:
        text: The text.
        most: How many of its characters are kept.

    Returns:
        The text; if it is longer, its start and its end, with the number of missing characters
        between them.
    """
    if len(text) <= most:
        return text
    start = most // 3
    missing = len(text) - most
    return f"{text[:start]}… ({missing:,} characters cut) …{text[start - most :]}"


def printable(text: str) -> str:
    """Escape the characters that a terminal would not print within the line.

    Args:
        text: The text.

    Returns:
        The text, with backslash escapes.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def for_people(_: object, __: str, event: EventDict) -> EventDict:
    """Shorten the texts of an event, and escape control characters. A structlog processor.

    Args:
        event: The event, which is changed.

    Returns:
        The event.
    """
    for name, value in event.items():
        most = MAX_MISTAKES if name == MISTAKES else MAX_TEXT
        if name == "exc_info" or value is None or isinstance(value, bool | float):
            continue
        if isinstance(value, int) and value.bit_length() <= _PLAIN_BITS:
            continue
        text = value if isinstance(value, str) else as_text(value, _in_words)
        event[name] = printable(cut(text, most))
    return event


def _in_words(value: object) -> str:
    """Write a value as people do: no brackets and no quotes around what a list or a table has."""
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()
        return ", ".join(f"{name}: {_in_words(one)}" for name, one in pairs)
    if isinstance(value, list | tuple):
        return ", ".join(map(_in_words, cast("Sequence[object]", value)))
    return value if isinstance(value, str) else repr(value)


def as_text(value: object, write: Callable[[object], str] = str) -> str:
    """Write any value as text.

    Args:
        value: The value. Its own code may raise.
        write: ``str`` or ``repr``.

    Returns:
        The text; if that raises, the names of the value's type and of the exception.
    """
    try:
        return write(value)
    except Exception as error:  # noqa: BLE001 # the code of a value can raise anything
        return f"<{type(value).__name__} that raised {type(error).__name__}>"
