"""Scanning the JSON text of a response for its rows, up to a maximum number.

The text is decoded in pieces: one row after the other, up to ``max_rows``, and the JSON around
them. If a service returns a million rows, only those that are read take time. Numbers with a
fraction become ``Decimal``, never ``float``.

One bad value must not affect other rows. So text with a lone surrogate, or with bytes that are not
UTF-8, becomes a ``str`` that cannot be encoded again (``is_text``). A number that is too large, and
a value that is nested too deep, become ``UNREADABLE``. Neither can be written as JSON, so a record
with such a value fails.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import count
from json import JSONDecodeError, JSONDecoder
from typing import Final, cast

from msgspec import Struct

from app.errors import MalformedError
from app.settings.response import AnswerSettings, Path

MAX_DEPTH = 64
"""Maximum nesting that is read if a response has a value nested too deep for Python."""

_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NESTING = re.compile(r'"(?:[^"\\]++|\\.)*+"|(?P<open>[\[{]++)|(?P<close>[\]}]++)|"', re.DOTALL)
"""Whole strings, and the brackets around nested values."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""A lone surrogate, which no JSON in UTF-8 can have."""


class _Unreadable:
    """The type of a value that is valid JSON but cannot be read. No encoder can write it."""


UNREADABLE: Final = _Unreadable()


class ScannedDocument(Struct, frozen=True):
    """The JSON of a response.

    Attributes:
        rows: The rows, in their order, of any type; ``None`` if there is no value at their path.
        around: The rest of the JSON, with ``None`` in place of the rows.
        ended: Whether these are all rows; false if there are more than ``max_rows``.
        null: Whether ``null`` is in the place of the rows, which then are none.
        names: The name of each row, if the rows are members of an object; else empty.
    """

    rows: Sequence[object] | None
    around: object
    ended: bool
    null: bool = False
    names: Sequence[str] = ()


def scan(body: bytes, settings: AnswerSettings) -> ScannedDocument:
    """Decode a response.

    Args:
        body: The JSON text.
        settings: The path of the rows, and their maximum number.

    Returns:
        The rows, and the JSON around them.

    Raises:
        MalformedError: The body is not JSON (RFC 8259), or the value at the path of the rows has
            the wrong type. ``NaN`` and ``Infinity`` are accepted: they affect only the row that
            uses them.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode(errors="surrogateescape")
    try:
        return _document(_Scanner(text, settings))
    except (MalformedError, JSONDecodeError) as error:
        raise _malformed(error) from error
    except (ValueError, RecursionError, InvalidOperation):
        pass  # a value cannot be read
    try:
        return _document(_TolerantScanner(text, settings))
    except (MalformedError, JSONDecodeError) as error:
        raise _malformed(error) from error


def _document(scanner: "_Scanner") -> ScannedDocument:
    """Return the document of a scanner."""
    try:
        around = scanner.whole()
    except _TooManyRows:
        return ScannedDocument(scanner.rows, None, ended=False, names=tuple(scanner.names))
    rows, names = scanner.rows, tuple(scanner.names)
    return ScannedDocument(rows, around, ended=True, null=scanner.null, names=names)


def _malformed(error: ValueError) -> MalformedError:
    """Return the error for a body that is not JSON, or the given one if it says more."""
    return error if isinstance(error, MalformedError) else MalformedError("the body is not JSON")


def at(value: object, path: Path) -> tuple[bool, object]:
    """Follow a path.

    Args:
        value: Decoded JSON.
        path: Names and positions.

    Returns:
        Whether there is a value at the path, and the value.
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


def others_beside(around: object, path: Path) -> int:
    """Count what is beside the rows in the lists that their path leads through by position.

    Args:
        around: The JSON around the rows.
        path: The path of the rows.

    Returns:
        The number of other items, of which any could be meant. 0 for a path of names.
    """
    others = 0
    for depth, step in enumerate(path):
        if isinstance(step, int):
            _, items = at(around, path[:depth])
            others += len(cast("Sequence[object]", items)) - 1 if isinstance(items, list) else 0
    return others


def is_text(text: str) -> bool:
    """Return whether a text is valid Unicode, without lone surrogates.

    Args:
        text: A text from JSON, in which an escape can be a lone surrogate.

    Returns:
        Whether it can be written as UTF-8.
    """
    return text.isascii() or _SURROGATE.search(text) is None


class _TooManyRows(Exception):  # noqa: N818 # not an error: it ends the scan
    """There are more than ``max_rows``."""


class _Scanner:
    """Scans one text."""

    def __init__(self, text: str, settings: AnswerSettings) -> None:
        self.rows: list[object] | None = None
        self.names: list[str] = []
        self.null = False
        self._mistake: str | None = None
        self._text = text
        self._settings = settings
        self._decode: Callable[[str, int], tuple[object, int]] = JSONDecoder(
            parse_float=Decimal, parse_constant=Decimal
        ).raw_decode

    def whole(self) -> object:
        """Decode the whole text, and return the JSON around the rows."""
        value, end = self._value(self._skip(0), self._settings.rows)
        if self._skip(end) != len(self._text):
            raise self._wrong("more than one value", end)
        if self._mistake is not None:
            raise MalformedError(self._mistake)
        return value

    def _value(self, start: int, path: Path) -> tuple[object, int]:
        """Decode a value that contains the rows at ``path``; return it and its end."""
        if not path:
            return None, self._rows(start)
        named = isinstance(path[0], str)
        if self._sign(start) != ("{" if named else "["):
            return self._decode(self._text, start)  # the path ends here
        members: dict[str | int, object] = {}

        def visit(name: str | int, place: int) -> int:
            if name == path[0]:
                # If an object repeats a name, the last member counts.
                self.rows, self.names, self.null, self._mistake = None, [], False, None
                members[name], end = self._value(place, path[1:])
            else:
                members[name], end = self._decode(self._text, place)
            return end

        end = self._each(start, visit, named=named)
        if isinstance(path[0], int) and len(members) <= path[0]:
            self.rows = []  # the list is shorter than the path needs: there are no rows
        return members if named else list(members.values()), end

    def _rows(self, start: int) -> int:
        """Decode the rows, and return the position after them."""
        rows: list[object] = []
        names: list[str] = []
        self.rows, self.names = rows, names
        settings = self._settings
        sign = self._sign(start)
        self.null = sign == "n"
        if sign == "n" or not settings.many:
            value, end = self._decode(self._text, start)
            if value is not None:
                rows.append(value)
            return end
        if sign != ("{" if settings.by_key else "["):
            expected = "an object" if settings.by_key else "a list"
            value, end = self._decode(self._text, start)
            self._mistake = f"expected {expected} of rows, got {type(value).__name__}"
            return end

        def visit(name: str | int, place: int) -> int:
            if len(rows) == settings.max_rows:
                raise _TooManyRows
            value, end = self._decode(self._text, place)
            rows.append(value)
            if isinstance(name, str):
                names.append(name)
            return end

        return self._each(start, visit, named=settings.by_key)

    def _each(self, start: int, visit: Callable[[str | int, int], int], *, named: bool) -> int:
        """Visit each member of a list or an object, and return the position after it."""
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
        """Decode the name of a member; return it and the position of the value."""
        name, end = self._decode(self._text, start)
        place = self._skip(end)
        if not isinstance(name, str) or self._sign(place) != ":":
            raise self._wrong("expected a name and a colon", place)
        return name, self._skip(place + 1)

    def _sign(self, start: int) -> str:
        """Return the character at a position; empty at the end."""
        return self._text[start : start + 1]

    def _skip(self, start: int) -> int:
        """Return the position after white space."""
        match = _BLANK.match(self._text, start)
        return start if match is None else match.end()

    def _wrong(self, what: str, place: int) -> JSONDecodeError:
        """Return the error for invalid JSON."""
        return JSONDecodeError(what, self._text, place)


class _TolerantScanner(_Scanner):
    """Scans a text with a value that cannot be read. It is slower."""

    def __init__(self, text: str, settings: AnswerSettings) -> None:
        super().__init__(text, settings)
        self._decode_whole = self._decode
        self._decode = self._decode_readable

    def _decode_readable(self, text: str, start: int) -> tuple[object, int]:
        """Decode a value, with ``UNREADABLE`` for parts that cannot be read."""
        try:
            return self._decode_whole(text, start)
        except JSONDecodeError:
            raise
        except (ValueError, RecursionError, InvalidOperation):
            return self._decode_parts(start, 0)

    def _decode_parts(self, start: int, depth: int) -> tuple[object, int]:
        """Decode a value member by member, because some part cannot be read."""
        sign = self._sign(start)
        if sign not in {"{", "["}:
            return self._scalar(start)
        if depth == MAX_DEPTH:
            return UNREADABLE, self._end_of(start)
        members: dict[str | int, object] = {}

        def visit(name: str | int, place: int) -> int:
            members[name], end = self._decode_parts(place, depth + 1)
            return end

        end = self._each(start, visit, named=sign == "{")
        return members if sign == "{" else list(members.values()), end

    def _scalar(self, start: int) -> tuple[object, int]:
        """Decode a value without members."""
        try:
            return self._decode_whole(self._text, start)
        except JSONDecodeError:
            raise
        except (ValueError, InvalidOperation):  # a number with too many digits or a large exponent
            number = _NUMBER.match(self._text, start)
            return UNREADABLE, start if number is None else number.end()

    def _end_of(self, start: int) -> int:
        """Return the position after a list or an object, without decoding it."""
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
