"""One source in all detail: each request, the answer as it came, and what was made of it. Pure."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest

import orjson

from app.probe.exchange import Exchange
from app.probe.fields import row_check
from app.probe.hiding import Hiding
from app.probe.probe import Probed
from app.probe.table import fields_lines, padded, printable, shortened
from app.probe.verdict import SourceCheck

WIDE = 120
"""Columns from which on an answer and its records stand side by side."""

_TELLING = frozenset(
    {"content-type", "content-range", "link", "location", "retry-after", "backoff"}
    | {"cache-control", "www-authenticate"}
)
_TELLING_IN = "ratelimit"
"""Headers of an answer that matter for what is made of it."""


def trial_text(
    probed: Probed, check: SourceCheck, hiding: Hiding, *, width: int, lines: int
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
    exchange: Exchange, number: int, hiding: Hiding, *, width: int, most: int
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


def _body(body: bytes, hiding: Hiding, most: int) -> Sequence[str]:
    """Write a body, and no more of it than so many lines."""
    text = body.decode("utf-8", "replace")
    with suppress(ValueError, TypeError, RecursionError):  # what is no JSON is shown as it is
        # Numbers stay as they were written: what a mapping makes of them depends on their digits.
        value: object = json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    lines = hiding.text(text).splitlines()
    left = len(lines) - most
    return [*lines[:most], *([f"… and {left} lines more; --full shows them"] if left > 0 else [])]
