"""The configuration file: its values, and the line of each key.

``tomllib`` reads TOML, but keeps no line numbers. Alternatives: tomlkit is well maintained, but its
items have no positions (requested in 2019, `tomlkit#55`), it is ten times slower, and counting the
lines of its output is wrong if tables are out of order. spanned-toml and tomlkit-extras have
positions, but one author each and no release for years. tree-sitter's grammar is exact, but
compiled. So ``tomllib`` reads the values, and ``TomlLines`` only finds their lines: it reads text
that is known to be valid TOML, so it needs to recognise only keys and the ends of values. A test
compares its keys with those of ``tomllib``, for random texts.
"""

import re
import tomllib
from bisect import bisect_left
from collections.abc import Generator, Iterator
from pathlib import Path

from msgspec import Struct

from app.errors import ConfigurationError
from app.settings.nested import Keys, Table, bracketed

_GAP = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_STRING = re.compile(
    r'''"""(?:\\.|(?!""")[^\\])*"{3,5}|"(?:\\.|[^"\\])*"'''
    r"""|'''(?:(?!''').)*'{3,5}|'[^']*'""",
    flags=re.DOTALL,
)
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


class TomlLines:
    """The lines of the keys in a TOML text.

    Args:
        text: The text, which ``tomllib`` has accepted.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[Keys, int] = {}
        for keys, line, declared in _TomlWalk(text.replace("\r\n", "\n")).places():
            if declared:
                self._lines[keys] = line
            else:
                self._lines.setdefault(keys, line)

    def of(self, keys: Keys) -> int | None:
        """Return the line of a key, of a table or of a list item.

        Args:
            keys: The place.

        Returns:
            The line, from 1; ``None`` if the text does not have the place.
        """
        return self._lines.get(keys)

    def near(self, keys: Keys) -> int | None:
        """Return the line of a place, or of the nearest table around it.

        Args:
            keys: The place.

        Returns:
            The line, from 1; ``None`` if the text has neither.
        """
        around = (self._lines.get(keys[:depth]) for depth in range(len(keys), 0, -1))
        return next((line for line in around if line is not None), None)


class _TomlWalk:
    """Reads a TOML text from its beginning to its end, and finds the line of each place."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._items: dict[Keys, int] = {}

    def places(self) -> Iterator[tuple[Keys, int, bool]]:
        """Find all places.

        Yields:
            The keys of the place, its line, and whether this line declares it: ``[a.b]`` declares
            ``b``, and only implies ``a``.
        """
        table: Keys = ()
        while self._next() != "":
            if self._next() == "[":
                table = yield from self._header()
            else:
                yield from self._pair(table)

    def _header(self) -> Generator[tuple[Keys, int, bool], None, Keys]:
        """Read the header of a table; return the keys of the table."""
        line = self._line()
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        *around, last = self._key()
        self._at += brackets
        keys: Keys = ()
        for key in around:
            keys = (*keys, key)
            yield keys, line, False
            if keys in self._items:  # keys below a list of tables belong to its last table
                keys = (*keys, self._items[keys])
        keys = (*keys, last)
        yield keys, line, brackets == 1
        if brackets == 2:  # noqa: PLR2004 # as in [[rules]]
            self._items[keys] = self._items.get(keys, -1) + 1
            keys = (*keys, self._items[keys])
            yield keys, line, True
        return keys

    def _pair(self, table: Keys) -> Iterator[tuple[Keys, int, bool]]:
        """Read a key and its value."""
        line = self._line()
        keys = table
        for key in self._key():
            yield keys, line, False
            keys = (*keys, key)
        yield keys, line, True
        self._at += 1  # the equals sign
        yield from self._value(keys)

    def _value(self, keys: Keys) -> Iterator[tuple[Keys, int, bool]]:
        """Read a value, and the places in it."""
        begin = self._next()
        if begin == "[":
            self._at += 1
            number = 0
            while self._next() != "]":
                yield (*keys, number), self._line(), True
                yield from self._value((*keys, number))
                number += 1
                self._pass_comma()
            self._at += 1
        elif begin == "{":
            self._at += 1
            while self._next() != "}":
                yield from self._pair(keys)
                self._pass_comma()
            self._at += 1
        else:
            self._take(_STRING if begin in {'"', "'"} else _BARE_VALUE)

    def _key(self) -> list[str]:
        """Read a dotted key; return its parts."""
        parts: list[str] = []
        while True:
            self._next()
            part = self._take(_KEY)
            parts.append(tomllib.loads(f"key={part}")["key"] if part[0] in {'"', "'"} else part)
            if self._next() != ".":
                return parts
            self._at += 1

    def _next(self) -> str:
        """Skip spaces and comments; return the next character, or "" at the end."""
        self._take(_GAP)
        return self._text[self._at : self._at + 1]

    def _pass_comma(self) -> None:
        """Skip the comma between two items."""
        if self._next() == ",":
            self._at += 1

    def _take(self, pattern: re.Pattern[str]) -> str:
        """Read the text that matches a pattern, and return it."""
        found = pattern.match(self._text, self._at)
        if found is None:
            raise ValueError(f"line {self._line()} is not TOML")
        self._at = found.end()
        return found.group()

    def _line(self) -> int:
        """Return the current line, from 1."""
        return bisect_left(self._ends, self._at) + 1


RIGHT = "expected a TOML file in UTF-8"


class UnreadableFileError(ConfigurationError):
    """A configuration file cannot be read."""


_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class ConfigFile(Struct, frozen=True):
    """A configuration file that is valid TOML.

    Attributes:
        path: Its path, as the operator wrote it.
        values: Its values.
        lines: The lines of its keys.
    """

    path: Path
    values: Table
    lines: TomlLines

    def line(self, keys: Keys) -> str:
        """Return the file and line of a place.

        Args:
            keys: The place.

        Returns:
            Such as ``gateway.toml:12``.
        """
        return self._at(self.lines.near(keys))

    def place(self, keys: Keys) -> str:
        """Return the file, line, table and key of a place.

        Args:
            keys: The place.

        Returns:
            Such as ``gateway.toml:12: [sources.billing] timeout``.
        """
        return f"{self.line(keys)}: {bracketed(keys, self.values)}"

    def place_of_missing(self, keys: Keys) -> str:
        """Return the place of a missing key, with the line of its table if the file has that.

        Args:
            keys: The place.

        Returns:
            Such as ``gateway.toml:12: [sources.billing] timeout``.
        """
        return f"{self._at(self.lines.of(keys[:-1]))}: {bracketed(keys)}"

    def _at(self, line: int | None) -> str:
        """Return the file and a line."""
        return str(self.path) if line is None else f"{self.path}:{line}"


def read_file(path: Path) -> ConfigFile:
    """Read a configuration file.

    Args:
        path: Its path.

    Returns:
        The file.

    Raises:
        UnreadableFileError: It cannot be read.
        ConfigurationError: It is not valid TOML.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: the path has a NUL
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UnreadableFileError((f"{path} cannot be read: {why}; {RIGHT}",)) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError((f"{path}:{line}: not UTF-8; {RIGHT}",)) from error
    try:
        return ConfigFile(path, tomllib.loads(text), TomlLines(text))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError((_not_toml(path, text, str(error)),)) from error


def _not_toml(path: Path, text: str, message: str) -> str:
    """Make the message for invalid TOML, with its position."""
    found = _PLACE.search(message)
    place = str(path)
    if found is not None:
        line, column = found.groups()
        place += f":{line}:{column}" if line else f":{text.count(chr(10)) + 1}"
        message = message[: found.start()]
    return (
        f"{place}: not TOML: {message[:1].lower()}{message[1:]};"
        ' expected [tables] and lines such as name = "text", name = 8000 or name = true'
    )
