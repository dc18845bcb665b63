"""Walking through the JSON text of an answer to its rows, and no further than they may go.

The text is decoded piece by piece: one row after the other, up to a bound, and what stands around
them. A service that answers a million rows costs the time of those that are read. Numbers with a
fraction become ``Decimal``, never ``float``.

One value must not cost the rows around it. So text with a half of a surrogate pair, or with bytes
that are not UTF-8, becomes a ``str`` that cannot be encoded again (``is_text``). A number beyond
all bounds, and what is nested too deep, becomes ``UNREADABLE``. Neither can be written as JSON, so
a record that would have it fails.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import count
from json import JSONDecodeError, JSONDecoder
from typing import Final, cast

from app.errors import MalformedError
from app.settings.response import AnswerSettings, Path

MAX_DEPTH = 64
"""How deep lists and objects are read where one of an answer is nested too deep for Python."""

_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NESTING = re.compile(r'"(?:[^"\\]++|\\.)*+"|(?P<open>[\[{]++)|(?P<close>[\]}]++)|"', re.DOTALL)
"""Texts, as a whole, and the signs between which values are nested."""

_HALF = re.compile("[\ud800-\udfff]")
"""A half of a surrogate pair: what no JSON in UTF-8 can have."""


class _Unreadable:
    """Stands for a value that is JSON by its grammar, and cannot be read.

    It is of a type of its own that nothing can write.
    """


UNREADABLE: Final = _Unreadable()


@dataclass(frozen=True, slots=True)
class ScannedRow:
    """A row as it came.

    Attributes:
        name: What it is called in the object of rows that it was in, if it was in one.
        value: The row, of any type.
    """

    name: str | None
    value: object


@dataclass(frozen=True, slots=True)
class ScannedDocument:
    """The JSON of an answer.

    Attributes:
        rows: The rows, in their order; ``None`` when nothing is where they should be.
        around: All the rest; where the rows are, it is empty.
        ended: Whether those are all rows, rather than as many as may be.
    """

    rows: Sequence[ScannedRow] | None
    around: object
    ended: bool


def scan(body: bytes, settings: AnswerSettings) -> ScannedDocument:
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
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode(errors="surrogateescape")
    try:
        return _document(_Scanner(text, settings))
    except (MalformedError, JSONDecodeError) as error:
        raise _no_json(error) from error
    except (ValueError, RecursionError, InvalidOperation):
        pass  # there is a value that cannot be read
    try:
        return _document(_CarefulScanner(text, settings))
    except (MalformedError, JSONDecodeError) as error:
        raise _no_json(error) from error


def _document(scanner: "_Scanner") -> ScannedDocument:
    """Scan a text."""
    try:
        around = scanner.whole()
    except _Enough:
        return ScannedDocument(scanner.rows, None, ended=False)
    return ScannedDocument(scanner.rows, around, ended=True)


def _no_json(error: ValueError) -> MalformedError:
    """Say that a body is no JSON, unless the error says more."""
    return error if isinstance(error, MalformedError) else MalformedError("the body is not JSON")


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


def is_text(text: str) -> bool:
    """Tell whether a text is Unicode, with no half of a surrogate pair in it.

    Args:
        text: A text out of JSON, which may escape any half.

    Returns:
        Whether it can be written as UTF-8.
    """
    return text.isascii() or _HALF.search(text) is None


class _Enough(Exception):  # noqa: N818 # no error: a way out of the walk
    """More rows than are read."""


class _Scanner:
    """Walks through one text."""

    def __init__(self, text: str, settings: AnswerSettings) -> None:
        self.rows: list[ScannedRow] | None = None
        self._text = text
        self._settings = settings
        self._decode: Callable[[str, int], tuple[object, int]] = JSONDecoder(
            parse_float=Decimal, parse_constant=Decimal
        ).raw_decode

    def whole(self) -> object:
        """Decode all of it."""
        value, end = self._value(self._skip(0), self._settings.rows)
        if self._skip(end) != len(self._text):
            raise self._wrong("more than one value", end)
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
        rows: list[ScannedRow] = []
        self.rows = rows
        settings = self._settings
        sign = self._sign(start)
        if sign == "n" or not settings.many:
            value, end = self._decode(self._text, start)
            if value is not None:
                rows.append(ScannedRow(None, value))
            return end
        if sign != ("{" if settings.by_key else "["):
            expected = "an object" if settings.by_key else "a list"
            value, _ = self._decode(self._text, start)
            raise MalformedError(f"expected {expected} of rows, got {type(value).__name__}")

        def visit(name: str | int, place: int) -> int:
            if len(rows) == settings.max_rows:
                raise _Enough
            value, end = self._decode(self._text, place)
            rows.append(ScannedRow(name if isinstance(name, str) else None, value))
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
                raise self._wrong("expected a comma", place)
            place = self._skip(place + 1)
        return place + 1

    def _name(self, start: int) -> tuple[str, int]:
        """Decode the name of a member, and find its value."""
        name, end = self._decode(self._text, start)
        place = self._skip(end)
        if not isinstance(name, str) or self._sign(place) != ":":
            raise self._wrong("expected a name and a colon", place)
        return name, self._skip(place + 1)

    def _sign(self, start: int) -> str:
        """Look at a character; there is none behind the end."""
        return self._text[start : start + 1]

    def _skip(self, start: int) -> int:
        """Find what follows blanks."""
        match = _BLANK.match(self._text, start)
        return start if match is None else match.end()

    def _wrong(self, what: str, place: int) -> JSONDecodeError:
        """Say what is no JSON."""
        return JSONDecodeError(what, self._text, place)


class _CarefulScanner(_Scanner):
    """Walks through a text that has a value which cannot be read. It takes more time."""

    def __init__(self, text: str, settings: AnswerSettings) -> None:
        super().__init__(text, settings)
        self._decode_whole = self._decode
        self._decode = self._decode_what_can_be

    def _decode_what_can_be(self, text: str, start: int) -> tuple[object, int]:
        """Decode a value, or as much of it as can be."""
        try:
            return self._decode_whole(text, start)
        except JSONDecodeError:
            raise
        except (ValueError, RecursionError, InvalidOperation):
            return self._part_by_part(start, 0)

    def _part_by_part(self, start: int, depth: int) -> tuple[object, int]:
        """Decode a value some part of which cannot be read."""
        sign = self._sign(start)
        if sign not in {"{", "["}:
            return self._scalar(start)
        if depth == MAX_DEPTH:
            return UNREADABLE, self._behind(start)
        members: dict[str | int, object] = {}

        def visit(name: str | int, place: int) -> int:
            members[name], end = self._part_by_part(place, depth + 1)
            return end

        end = self._each(start, visit, named=sign == "{")
        return members if sign == "{" else list(members.values()), end

    def _scalar(self, start: int) -> tuple[object, int]:
        """Decode a value that has no parts."""
        try:
            return self._decode_whole(self._text, start)
        except JSONDecodeError:
            raise
        except (ValueError, InvalidOperation):  # of more digits, or a larger exponent, than may be
            number = _NUMBER.match(self._text, start)
            return UNREADABLE, start if number is None else number.end()

    def _behind(self, start: int) -> int:
        """Find the place behind a list or an object, without a look at what is in it."""
        depth = 0
        for found in _NESTING.finditer(self._text, start):
            if found["open"] is not None:
                depth += len(found["open"])
            elif found["close"] is not None:
                if len(found["close"]) >= depth:
                    return found.start() + depth
                depth -= len(found["close"])
            elif found[0] == '"':
                break
        raise self._wrong("expected an end", start)
