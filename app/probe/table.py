"""What is told of sources, as text for a person's terminal. Pure."""

import json
from collections.abc import Iterator, Sequence
from unicodedata import east_asian_width

from pydantic import JsonValue

from app.probe.fields import RowCheck
from app.probe.verdict import SourceCheck

MAX_VALUE = 60
"""Most characters of a value, where a line is one of many."""


def checks_text(checks: Sequence[SourceCheck], *, width: int) -> str:
    """Write how it is with sources.

    Args:
        checks: What was found.
        width: Columns of the terminal.

    Returns:
        Lines: a table, what is wrong, and the fields of each row.
    """
    head = ("source", "reachable", "authenticated", "request form", "rows", "time")
    body = [
        (
            one.source,
            _word(one.reachable) if one.called else "not called",
            _word(one.authenticated),
            _word(one.understood),
            f"{one.found} of {one.asked}" if one.expected else str(one.found),
            f"{one.seconds * 1000:.0f} ms",
        )
        for one in checks
    ]
    lines = [*table([head, *body])]
    lines += [f"  - {one.source}: {sentence}" for one in checks for sentence in one.wrong]
    for one in checks:
        for row in one.rows:
            lines += ["", f"{row.source}, {row.key}", *fields_lines(row, width=width)]
    return printable("\n".join(lines))


def fields_lines(row: RowCheck, *, width: int) -> list[str]:
    """Write the fields of a row.

    Args:
        row: The row.
        width: Columns that there are.

    Returns:
        Lines.
    """
    given = any(field.expression is not None for field in row.fields)
    head = ("field", *(("expression",) if given else ()), "value", "type")
    room = max(MAX_VALUE // 3, (width - 40) // (2 if given else 1))
    body = [
        (
            field.name,
            *((shortened(field.expression or "", room),) if given else ()),
            shortened(written(field.value), room),
            field.type if field.wrong is None else f"WRONG: {field.wrong}",
        )
        for field in row.fields
    ]
    lines = [f"  {line}" for line in table([head, *[tuple(map(str, one)) for one in body]])]
    if row.wrong is not None:
        lines.append(f"  No record is made of it: {row.wrong}")
    return lines


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Write a table.

    Args:
        rows: Its cells.

    Yields:
        A line a row, the columns as wide as need be.
    """
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (padded(cell, width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def padded(text: str, width: int) -> str:
    """Fill a text up to a width."""
    return text + " " * (width - _columns(text))


def printable(text: str) -> str:
    """Replace what could do something to a terminal: a service may send anything."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in text)


def _columns(text: str) -> int:
    """Count the columns of a text: some signs take two (Unicode, annex 11)."""
    return len(text) + sum(east_asian_width(sign) in {"W", "F"} for sign in text)


def written(value: JsonValue) -> str:
    """Write a value in one line."""
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def shortened(text: str, room: int) -> str:
    """Cut a text where it is longer than there is room."""
    return text if len(text) <= room else text[: room - 1] + "…"


def _word(answer: bool | None) -> str:  # noqa: FBT001 # the answer itself
    """Write an answer that may not be known."""
    return "-" if answer is None else "yes" if answer else "NO"
