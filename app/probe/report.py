"""Reports about sources as text for a terminal: all sources in a table, or one in detail. Pure."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from unicodedata import east_asian_width

import orjson
from pydantic import JsonValue

from app.probe.probe import ProbeResult
from app.probe.recorder import RecordedExchange
from app.probe.verdict import Redaction, RowCheck, SourceCheck, row_check, shown_rows

LEAST = 20
"""Fewest columns that expressions, values and types in a table have, if they need them."""

_BREAKS = (re.compile(" "), re.compile(r"[,|&](?![|&])"))
"""After what a line of an expression may end, the best first."""


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
    names = [field.name for field in row.fields]
    kinds = [
        str(field.type) if field.wrong is None else f"WRONG: {field.wrong}" for field in row.fields
    ]
    values = [written(field.value) for field in row.fields]
    # Two columns before the table, and between two columns of it.
    free = width - 2 * len(head) - _widest([head[0], *names])
    kind_room = min(_widest([head[-1], *kinds]), max(LEAST, free // 3))
    value_room = max(LEAST, free // 3 if given else free - kind_room)
    value_room = min(_widest([head[-2], *values]), value_room)
    room = max(LEAST, free - kind_room - value_room)
    body = [
        (
            field.name,
            *((_broken(field.expression or "", room),) if given else ()),
            shortened(value, value_room),
            _broken(kind, kind_room),
        )
        for field, value, kind in zip(row.fields, values, kinds, strict=True)
    ]
    lines = [f"  {line}" for line in table([head, *body])]
    if row.wrong is not None:
        lines.append(f"  Not a valid record: {row.wrong}")
    return lines


def _widest(texts: Sequence[str]) -> int:
    """Return the columns of the widest of some texts."""
    return max(map(_columns, texts))


def _broken(text: str, room: int) -> str:
    """Break a text into lines of at most so many columns."""
    return "\n".join(wrapped(text, room))


def wrapped(text: str, room: int) -> Sequence[str]:
    """Break a text into lines, if possible after a space or a sign. Nothing of it is left out.

    Args:
        text: The text.
        room: Most columns of a line.

    Returns:
        The lines, at least one. A line break in the text is one here, too.
    """
    lines: list[str] = []
    for line in text.expandtabs(4).split("\n"):
        rest = line
        while _columns(rest) > room:
            end = max(1, _fitting(rest, room))
            breaks = (list(sign.finditer(rest, end // 2, end)) for sign in _BREAKS)
            found = next(filter(None, breaks), None)
            end = found[-1].end() if found else end
            lines.append(rest[:end])
            rest = rest[end:]
        lines.append(rest)
    return lines


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Write a table with aligned columns.

    Args:
        rows: The cells of each row; each row has as many. A cell may have several lines.

    Yields:
        The lines of each row.
    """
    cells = [[cell.split("\n") for cell in row] for row in rows]
    widths = [max(_widest(cell) for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        for parts in zip_longest(*row, fillvalue=""):
            line = (padded(part, width) for part, width in zip(parts, widths, strict=True))
            yield "  ".join(line).rstrip()


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
        room: Most columns.

    Returns:
        The text; a longer one is cut and ends with "…".
    """
    return text if _columns(text) <= room else text[: _fitting(text, room - 1)] + "…"


def _fitting(text: str, room: int) -> int:
    """Return how many characters of a text fit into some columns."""
    number = min(len(text), room)
    while _columns(text[:number]) > room:
        number -= 1
    return number


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
