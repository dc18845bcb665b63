"""Walking through the JSON text of an answer to its rows, and no further than they may go.

The text is decoded piece by piece: one row after the other, up to a bound, and what stands around
them. A service that answers a million rows costs the time of those that are read. Numbers with a
fraction become ``Decimal``, never ``float``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import count
from json import JSONDecoder
from typing import cast

from app.errors import MalformedError
from app.shapes.answer import AnswerSettings, Path

_BLANK = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it came.

    Attributes:
        name: What it is called in the object of rows that it was in, if it was in one.
        value: The row, of any type.
    """

    name: str | None
    value: object


@dataclass(frozen=True, slots=True)
class Document:
    """The JSON of an answer.

    Attributes:
        rows: The rows, in their order; ``None`` when nothing is where they should be.
        around: All the rest; where the rows are, it is empty.
        ended: Whether those are all rows, rather than as many as may be.
    """

    rows: Sequence[Row] | None
    around: object
    ended: bool


def scan(body: bytes, settings: AnswerSettings) -> Document:
    """Decode an answer.

    Args:
        body: The JSON text.
        settings: Where in it the rows are, and how many may be.

    Returns:
        The rows, and what is around them.

    Raises:
        MalformedError: It is no JSON (RFC 8259), or has something else where the rows should be.
            ``NaN`` and its like are let through: they spoil no more than the row that uses them.
    """
    try:
        scanner = _Scanner(body.decode("utf-8"), settings)
        try:
            around = scanner.whole()
        except _Enough:
            return Document(scanner.rows, None, ended=False)
    except MalformedError:
        raise
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise MalformedError("the body is not JSON") from error
    return Document(scanner.rows, around, ended=True)


def at(value: object, path: Path) -> tuple[bool, object]:
    """Follow a path.

    Args:
        value: Decoded JSON.
        path: Names and positions.

    Returns:
        Whether it leads anywhere, and what is there.
    """
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return False, None
            value = cast("Mapping[str, object]", value)[step]
        else:
            if not isinstance(value, list) or step >= len(cast("Sequence[object]", value)):
                return False, None
            value = cast("Sequence[object]", value)[step]
    return True, value


class _Enough(Exception):  # noqa: N818 # no error: a way out of the walk
    """More rows than are read."""


class _Scanner:
    """Walks through one text."""

    def __init__(self, text: str, settings: AnswerSettings) -> None:
        self.rows: list[Row] | None = None
        self._text = text
        self._settings = settings
        self._decode = JSONDecoder(parse_float=Decimal, parse_constant=Decimal).raw_decode

    def whole(self) -> object:
        """Decode all of it."""
        value, end = self._value(self._skip(0), self._settings.rows)
        if self._skip(end) != len(self._text):
            raise ValueError("more than one value")
        return value

    def _value(self, start: int, path: Path) -> tuple[object, int]:
        """Decode a value on the way to the rows, or where they should be."""
        if not path:
            return None, self._rows(start)
        named = isinstance(path[0], str)
        if self._sign(start) != ("{" if named else "["):
            return self._decode(self._text, start)  # there is no way on
        members: dict[str | int, object] = {}

        def visit(name: str | int, place: int) -> int:
            if name == path[0]:
                self.rows = None  # of a name that an object repeats the last counts
                members[name], end = self._value(place, path[1:])
            else:
                members[name], end = self._decode(self._text, place)
            return end

        end = self._each(start, visit, named=named)
        if isinstance(path[0], int) and len(members) <= path[0]:
            self.rows = []  # the list is shorter: there is no such row
        return members if named else list(members.values()), end

    def _rows(self, start: int) -> int:
        """Decode the rows, and find the place behind them."""
        rows: list[Row] = []
        self.rows = rows
        settings = self._settings
        sign = self._sign(start)
        if sign == "n" or not settings.many:
            value, end = self._decode(self._text, start)
            if value is not None:
                rows.append(Row(None, value))
            return end
        if sign != ("{" if settings.by_key else "["):
            expected = "an object" if settings.by_key else "a list"
            value, _ = self._decode(self._text, start)
            raise MalformedError(f"expected {expected} of rows, got {type(value).__name__}")

        def visit(name: str | int, place: int) -> int:
            if len(rows) == settings.max_rows:
                raise _Enough
            value, end = self._decode(self._text, place)
            rows.append(Row(name if isinstance(name, str) else None, value))
            return end

        return self._each(start, visit, named=settings.by_key)

    def _each(self, start: int, visit: Callable[[str | int, int], int], *, named: bool) -> int:
        """Visit each member of what begins here, and find the place behind all."""
        closing = "}" if named else "]"
        place = self._skip(start + 1)
        if self._sign(place) == closing:
            return place + 1
        for index in count():
            name: str | int = index
            if named:
                name, place = self._name(place)
            place = self._skip(visit(name, place))
            if self._sign(place) == closing:
                break
            if self._sign(place) != ",":
                raise ValueError("expected a comma")
            place = self._skip(place + 1)
        return place + 1

    def _name(self, start: int) -> tuple[str, int]:
        """Decode the name of a member, and find its value."""
        name, end = self._decode(self._text, start)
        place = self._skip(end)
        if not isinstance(name, str) or self._sign(place) != ":":
            raise ValueError("expected a name and a colon")
        return name, self._skip(place + 1)

    def _sign(self, start: int) -> str:
        """Look at a character; there is none behind the end."""
        return self._text[start : start + 1]

    def _skip(self, start: int) -> int:
        """Find what follows blanks."""
        match = _BLANK.match(self._text, start)
        return start if match is None else match.end()
