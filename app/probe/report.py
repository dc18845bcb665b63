"""Reports about sources as text for a terminal: a table of all, and one source in detail. Pure."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from unicodedata import east_asian_width

import orjson
from pydantic import JsonValue

from app.probe.probe import ProbeResult
from app.probe.recorder import Exchange
from app.probe.verdict import Redaction, RowCheck, SourceCheck, row_check

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


WIDE = 120
"""Columns from which on an answer and its records stand side by side."""

_TELLING = frozenset(
    {"content-type", "content-range", "link", "location", "retry-after", "backoff"}
    | {"cache-control", "www-authenticate"}
)
_TELLING_IN = "ratelimit"
"""Headers of an answer that matter for what is made of it."""


def trial_text(
    probed: ProbeResult, check: SourceCheck, hiding: Redaction, *, width: int, lines: int
) -> str:
    """Write what came of asking one source.

    Args:
        probed: What came of it.
        check: How it is judged.
        hiding: Hides secrets.
        width: Columns of the terminal.
        lines: Most lines of an answer.

    Returns:
        Lines for a person.
    """
    parts = [
        line
        for number, exchange in enumerate(probed.exchanges, start=1)
        for line in (*_exchange(exchange, number, hiding, width=width, most=lines), "")
    ]
    if not check.called:
        parts += [f"{check.source} was not called.", ""]
    rows = f"{check.found} of {check.asked}"
    parts.append(f"{check.source} knows {rows} users, in {check.seconds * 1000:.0f} ms.")
    parts += [f"  - {sentence}" for sentence in check.wrong]
    return printable("\n".join(parts))


def _exchange(
    exchange: Exchange, number: int, hiding: Redaction, *, width: int, most: int
) -> Sequence[str]:
    """Write one request and its answer."""
    head = [f"{number}. {exchange.source}", "", f"{exchange.method} {hiding.text(exchange.url)}"]
    head += [f"{name}: {hiding.header(name, value)}" for name, value in exchange.headers]
    if exchange.body:
        head += ["", *_body(exchange.body, hiding, most)]
    if exchange.status is None:
        return [*head, "", f"No answer: {exchange.failure or 'it took too long'}."]
    told = [f"Status {exchange.status} after {exchange.seconds * 1000:.0f} ms"]
    told += [
        f"{name}: {hiding.header(name, value)}"
        for name, value in exchange.answer_headers.items()
        if name in _TELLING or _TELLING_IN in name
    ]
    answer = _body(exchange.answer, hiding, most)
    room = width // 2 - 2 if width >= WIDE else width
    records: list[str] = []
    for row in map(row_check, exchange.rows):
        records += [f"{row.source}, {row.key}", *fields_lines(row, width=room), ""]
    if not records or width < WIDE:
        return [*head, "", *told, "", *answer, *(["", *records[:-1]] if records else [])]
    pairs = zip_longest(answer, records[:-1], fillvalue="")
    both = [f"{padded(shortened(left, room), room)}  {right}".rstrip() for left, right in pairs]
    return [*head, "", *told, "", *both]


def _body(body: bytes, hiding: Redaction, most: int) -> Sequence[str]:
    """Write a body, and no more of it than so many lines."""
    text = body.decode("utf-8", "replace")
    with suppress(ValueError, TypeError, RecursionError):  # what is no JSON is shown as it is
        # Numbers stay as they were written: what a mapping makes of them depends on their digits.
        value: object = json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    lines = hiding.text(text).splitlines()
    left = len(lines) - most
    return [*lines[:most], *([f"… and {left} lines more; --full shows them"] if left > 0 else [])]
