"""Reports about sources as text for a terminal: all sources in a table, or one in detail. Pure."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from unicodedata import east_asian_width

import orjson
from pydantic import JsonValue

from app.probe.probe import ProbeResult
from app.probe.recorder import RecordedExchange
from app.probe.verdict import Redaction, RowCheck, SourceCheck, row_check, shown_rows

MAX_VALUE = 60
"""Most characters of a value in a table, on a terminal of usual width."""


def checks_text(checks: Sequence[SourceCheck], *, width: int) -> str:
    """Write the report about sources.

    Args:
        checks: The checks of the sources.
        width: The columns of the terminal.

    Returns:
        Lines: a table of the sources, the mistakes, and the fields of each row.
    """
    head = ("source", "reachable", "authenticated", "request form", "rows", "time")
    body = [
        (
            one.source,
            _word(one.reachable) if one.called else "not called",
            _word(one.authenticated),
            _word(one.understood),
            _rows(one),
            f"{one.seconds * 1000:.0f} ms",
        )
        for one in checks
    ]
    lines = [*table([head, *body])]
    lines += [f"  - {one.source}: {sentence}" for one in checks for sentence in _sentences(one)]
    for one in checks:
        for row in one.rows:
            lines += ["", f"{row.source}, {row.key}", *fields_lines(row, width=width)]
    return printable("\n".join(lines))


def _sentences(check: SourceCheck) -> Sequence[str]:
    """List the mistakes and the notes of a check."""
    return [*check.wrong, *(f"note: {one}" for one in check.notes)]


def _rows(check: SourceCheck) -> str:
    """Write how many rows a source has, or how many items a list has."""
    if check.items is not None:
        return _items(check.items) if check.called else "-"
    return f"{check.found} of {check.asked}" if check.expected else str(check.found)


def fields_lines(row: RowCheck, *, width: int) -> list[str]:
    """Write the fields of a row as a table.

    Args:
        row: The row.
        width: The columns that the table may have.

    Returns:
        Lines, each with an indent.
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
        lines.append(f"  Not a valid record: {row.wrong}")
    return lines


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Write a table with aligned columns.

    Args:
        rows: The cells of each row; each row has as many.

    Yields:
        One line for each row.
    """
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (padded(cell, width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def padded(text: str, width: int) -> str:
    """Append spaces to a text up to a width.

    Args:
        text: The text.
        width: The width in columns of a terminal.

    Returns:
        The padded text; a longer text as it is.
    """
    return text + " " * (width - _columns(text))


def printable(text: str) -> str:
    """Replace characters that could control the terminal, because a service may send them.

    Args:
        text: The text.

    Returns:
        The text with only printable characters and line breaks.
    """
    return "".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in text)


def _columns(text: str) -> int:
    """Return the columns of a text; some characters need two (Unicode, annex 11)."""
    return len(text) + sum(east_asian_width(sign) in {"W", "F"} for sign in text)


def written(value: JsonValue) -> str:
    """Write a value as JSON in one line.

    Args:
        value: The value.

    Returns:
        The JSON text; empty for ``None``.
    """
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def shortened(text: str, room: int) -> str:
    """Cut a text that is too long.

    Args:
        text: The text.
        room: Most characters.

    Returns:
        The text; a longer one is cut and ends with "…".
    """
    return text if len(text) <= room else text[: room - 1] + "…"


def _word(answer: bool | None) -> str:  # noqa: FBT001 # the value itself
    """Write a value that may not be known."""
    return "-" if answer is None else "yes" if answer else "NO"


WIDE = 120
"""Least columns of a terminal that shows an answer and its records side by side."""

_SHOWN_HEADERS = frozenset(
    {"content-type", "content-range", "link", "location", "retry-after", "backoff"}
    | {"cache-control", "www-authenticate"}
)
"""Headers of an answer that change how the gateway treats it."""

_SHOWN_PART = "ratelimit"
"""Part of the names of more such headers."""


def trial_text(
    probed: ProbeResult, check: SourceCheck, hiding: Redaction, *, width: int, lines: int
) -> str:
    """Write the report about one source, or one list, in detail.

    Args:
        probed: The recorded result.
        check: The check of the source.
        hiding: Hides secrets.
        width: The columns of the terminal.
        lines: Most lines of a body.

    Returns:
        Lines: each exchange, the number of known users, and the mistakes.
    """
    parts = [
        line
        for number, exchange in enumerate(probed.exchanges, start=1)
        for line in (
            *_exchange(
                exchange,
                number,
                hiding,
                width=width,
                most=lines,
                is_list=check.items is not None,
            ),
            "",
        )
    ]
    if not check.called:
        parts += [f"{check.source} was not called.", ""]
    if check.called or check.items is None:
        parts.append(f"{_summary(probed, check)}, in {check.seconds * 1000:.0f} ms.")
    parts += [f"  - {sentence}" for sentence in _sentences(check)]
    return printable("\n".join(parts))


def _summary(probed: ProbeResult, check: SourceCheck) -> str:
    """Write what a source knows."""
    if check.items is None:
        return f"{check.source} knows {check.found} of {check.asked} users"
    return f"{check.source} has {_items(check.items)} on the first page of {probed.ids[0]}"


def _items(number: int) -> str:
    """Write a number of items."""
    return "1 item" if number == 1 else f"{number} items"


def _exchange(
    exchange: RecordedExchange,
    number: int,
    hiding: Redaction,
    *,
    width: int,
    most: int,
    is_list: bool,
) -> Sequence[str]:
    """Write one request and its answer."""
    head = [f"{number}. {exchange.source}", "", f"{exchange.method} {hiding.text(exchange.url)}"]
    head += [f"{name}: {hiding.header(name, value)}" for name, value in exchange.headers]
    if exchange.body:
        head += ["", *_body(exchange.body, hiding, most)]
    if exchange.status is None:
        return [*head, "", f"No answer: {exchange.failure or 'it took too long'}."]
    result = [f"Status {exchange.status} after {exchange.seconds * 1000:.0f} ms"]
    result += [
        f"{name}: {hiding.header(name, value)}"
        for name, value in exchange.answer_headers.items()
        if name in _SHOWN_HEADERS or _SHOWN_PART in name
    ]
    answer = _body(exchange.answer, hiding, most)
    room = width // 2 - 2 if width >= WIDE else width
    records: list[str] = []
    rows = [*map(row_check, exchange.rows)]
    shown = shown_rows(rows) if is_list else rows
    for row in shown:
        records += [f"{row.source}, {row.key}", *fields_lines(row, width=room), ""]
    if len(shown) < len(rows):
        records += [f"… and {_items(len(rows) - len(shown))} more", ""]
    if not records or width < WIDE:
        return [*head, "", *result, "", *answer, *(["", *records[:-1]] if records else [])]
    pairs = zip_longest(answer, records[:-1], fillvalue="")
    both = [f"{padded(shortened(left, room), room)}  {right}".rstrip() for left, right in pairs]
    return [*head, "", *result, "", *both]


def _body(body: bytes, hiding: Redaction, most: int) -> Sequence[str]:
    """Write a body, cut to a number of lines."""
    text = body.decode("utf-8", "replace")
    with suppress(ValueError, TypeError, RecursionError):  # text that is not JSON stays as it is
        # Numbers keep their digits, because the result of a mapping can depend on them.
        value: object = json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    lines = hiding.text(text).splitlines()
    left = len(lines) - most
    return [*lines[:most], *([f"… and {left} more lines; --full shows them"] if left > 0 else [])]
