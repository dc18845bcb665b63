"""Responses decoded at once by msgspec, instead of row by row.

Replaces: ``scan`` (``sources/mapping/scan.py``).
Switch: ``GATEWAY_FASTPATH__ROWS``.
Gains: 920 us instead of 1,830 us for three pages of fifty users, in process; with rows.py, by which
    records are validated (docs/explanation/performance.md).
Proof: tests/fastpath/test_scan.py compares both on random documents and damaged ones.

msgspec accepts no more than JSON: it refuses ``NaN``, lone surrogates, and integers of more than
4,300 digits. Numbers with a fraction become ``Decimal``, as by the reference. The reference decodes
what msgspec refuses: it reads everything but the bad value. It also decodes rows that are members
of an object, because a repeated name is two rows there. And it decodes what has another shape, or
more rows than the settings say. There is one difference. If an object repeats
the name that leads to the rows, and the first of them has more than ``max_rows`` rows, the
reference ends there, and here the last one counts.
"""

from decimal import Decimal
from typing import Any, cast

import msgspec

from app.settings.response import AnswerSettings
from app.sources.mapping.decoding import Scanner
from app.sources.mapping.scan import ScannedDocument, scan

AT_ONCE = 1_048_576
"""The most bytes that are decoded at once. Of a longer text, only ``max_rows`` rows are read."""


def scanner_at_once() -> Scanner:
    """Create the scanner.

    Returns:
        A function that does what ``scan`` does.
    """
    decode = msgspec.json.Decoder(float_hook=Decimal).decode

    def scan_at_once(body: bytes, settings: AnswerSettings) -> ScannedDocument:
        if len(body) > AT_ONCE or settings.by_key:
            return scan(body, settings)
        try:
            document: object = decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, ArithmeticError, RecursionError):
            return scan(body, settings)
        return _divided(document, settings) or scan(body, settings)

    return scan_at_once


def _divided(document: object, settings: AnswerSettings) -> ScannedDocument | None:
    """Divide a document into the rows and what is around them; ``None`` for another shape."""
    if not settings.rows:
        around, rows = None, document
    else:
        around, parent = document, document
        for step in settings.rows[:-1]:
            parent = _member(parent, step)
        last = settings.rows[-1]
        rows = _member(parent, last)
        if rows is None and not _has(parent, last):
            return None
        cast("Any", parent)[last] = None
    if rows is None:
        return ScannedDocument([], around, ended=True, null=True)
    if not settings.many:
        return ScannedDocument([rows], around, ended=True)
    if not isinstance(rows, list) or len(cast("list[object]", rows)) > settings.max_rows:
        return None
    return ScannedDocument(cast("list[object]", rows), around, ended=True)


def _member(value: object, step: str | int) -> object:
    """Return a member of a value; ``None`` if there is none."""
    return cast("Any", value)[step] if _has(value, step) else None


def _has(value: object, step: str | int) -> bool:
    """Return whether a value has a member."""
    if isinstance(step, str):
        return isinstance(value, dict) and step in value
    return isinstance(value, list) and step < len(cast("list[object]", value))
