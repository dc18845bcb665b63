"""The configuration file: what it says, and where."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from app.configuration.keys import Keys, Table, bracketed
from app.configuration.lines import Lines
from app.errors import ConfigurationError

RIGHT = "expected a TOML file in UTF-8"
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that is TOML.

    Attributes:
        path: Where it is, as the operator named it.
        values: What it says.
        lines: Where it says that.
    """

    path: Path
    values: Table
    lines: Lines

    def line(self, keys: Keys) -> str:
        """Name the file and the line of a place."""
        return self._at(self.lines.near(keys))

    def place(self, keys: Keys) -> str:
        """Name a place of the file: file, line, table and key."""
        return f"{self.line(keys)}: {bracketed(keys, self.values)}"

    def place_of_missing(self, keys: Keys) -> str:
        """Name the place where something is missing: the line is its table's, if that is there."""
        return f"{self._at(self.lines.of(keys[:-1]))}: {bracketed(keys)}"

    def _at(self, line: int | None) -> str:
        """Name a line."""
        return str(self.path) if line is None else f"{self.path}:{line}"


def read_file(path: Path) -> ConfigFile:
    """Read a configuration file.

    Args:
        path: Where it is.

    Returns:
        What it says.

    Raises:
        ConfigurationError: It cannot be read, or is no TOML.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: of a path with a NUL in it
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError((f"{path} cannot be read: {why}; {RIGHT}",)) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError((f"{path}:{line}: not UTF-8; {RIGHT}",)) from error
    try:
        return ConfigFile(path, tomllib.loads(text), Lines(text))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError((_not_toml(path, text, str(error)),)) from error


def _not_toml(path: Path, text: str, message: str) -> str:
    """Say where a text stops being TOML."""
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
