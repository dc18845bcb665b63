"""What keeps a line of the log one line of bounded length, whatever is in it.

Names of operations, paths and the texts of exceptions can be a client's, or a source's: a hundred
kilobytes long, with line breaks, or with what a terminal takes for a command.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from structlog.typing import EventDict

MAX_LINE = 8_192
"""Bytes of a line of JSON, at most: what common collectors of logs take for one line."""

MAX_TEXT = 2_000
"""Characters of a value for people; and of one in a line of JSON that would be too long."""

TRACEBACK = "exception"
"""The value that says most, and may be longer."""

TRACEBACK_SHARE = 3
"""How many times as long."""

_PLAIN_BITS = 128
"""Bits of a number that is written as it is; Python refuses to write very long ones."""

_ALWAYS_SHORT = ("level", "timestamp", "request_id")

_ODD = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""What JSON may have as it is, and what readers of a line may take for its end, for a command to
their terminal, or for a change of direction."""


def plain(line: str) -> str:
    """Escape in JSON what is harmless to programs and not to people.

    Args:
        line: JSON.

    Returns:
        The same JSON.
    """
    return _ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def fitting(
    event: Mapping[str, object],
    write: Callable[[Mapping[str, object]], str],
    max_line: int = MAX_LINE,
) -> str:
    """Write an event as a line that is not too long.

    Args:
        event: The event.
        write: Writes it.
        max_line: Bytes of the line, at most.

    Returns:
        The line. Long values are cut in their middle where they would not fit, and say so.
    """
    line = write(event)
    for shorter in () if _fits(line, max_line) else _shorter(event, write):
        line = write(shorter)
        if _fits(line, max_line):
            break
    return line


def _fits(line: str, max_line: int) -> bool:
    """Tell whether a line is not too long."""
    return len(line) * 4 <= max_line or len(line.encode("utf-8", "replace")) <= max_line


def _shorter(
    event: Mapping[str, object], write: Callable[[Mapping[str, object]], str]
) -> Iterator[Mapping[str, object]]:
    """Give an event with shorter and shorter values."""
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
    """Make a text of what could be long."""
    if value is None or isinstance(value, str | int | float):
        return value
    return write({"": value})


def cut(text: str, most: int) -> str:
    """Cut a text that is too long, in its middle: tracebacks say most at their ends.

    Args:
        text: Any text.
        most: How many characters of it are kept.

    Returns:
        The text, or its start and its end, with how much is missing between them.
    """
    if len(text) <= most:
        return text
    start = most // 3
    missing = len(text) - most
    return f"{text[:start]}… ({missing:,} characters cut) …{text[start - most :]}"


def printable(text: str) -> str:
    """Escape what a terminal would not show as a character in its line.

    Args:
        text: Any text.

    Returns:
        The text, with a backslash before what was escaped.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def for_people(_: object, __: str, event: EventDict) -> EventDict:
    """Have texts short, and without anything that a terminal obeys. A processor."""
    for name, value in event.items():
        if name == "exc_info" or value is None or isinstance(value, bool | float):
            continue
        if isinstance(value, int) and value.bit_length() <= _PLAIN_BITS:
            continue
        text = value if isinstance(value, str) else as_text(value, repr)
        event[name] = printable(cut(text, MAX_TEXT))
    return event


def as_text(value: object, write: Callable[[object], str] = str) -> str:
    """Write any value as text.

    Args:
        value: The value. Its own code may raise.
        write: How it is written: by ``str`` or ``repr``.

    Returns:
        The text, or what the value is where it cannot be written.
    """
    try:
        return write(value)
    except Exception as error:  # noqa: BLE001 # the code of a value can raise anything
        return f"<{type(value).__name__} that raised {type(error).__name__}>"
