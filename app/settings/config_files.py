"""A configuration file and the files that it includes, merged into one set of values.

A file wins over the files that it includes, directly or through others. Two files of which neither
includes the other have to agree. If the later one in a list won, a setting that two files have by
accident would be lost without a word. So the order of a list of files has no effect.

An installation, such as a container image, may have defaults of its own in a further file. That
counts as a file that each other file includes.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from app.errors import ConfigurationError
from app.settings.config_file import ConfigFile, UnreadableFileError, read_file
from app.settings.field_schema import FieldSchema
from app.settings.nested import Keys, Table, as_list, as_table, bracketed

INCLUDE = "include"
"""The key of a file, outside all tables, that lists the files that it includes."""

INCLUDE_MEANING = (
    "Other files whose settings count as well, by paths relative to this file's folder. What this"
    " file says wins over what they say."
)
_EXPECTED = 'expected a list such as ["common.toml"]'
_AT_THE_END = 10**9


class ConfigFiles(Struct, frozen=True):
    """A configuration file with the files that it includes.

    Attributes:
        files: The files, each before those that it includes. The first one is the one that the
            operator named.
        values: The values of all of them together.
        owners: The position in ``files`` of the file that each single value, list or table is from.
            A table that several files have is from the first of them.
        named: Whether the operator named a file. Else there are only defaults of the installation.
    """

    files: Sequence[ConfigFile]
    values: Table
    owners: Mapping[Keys, int]
    named: bool = True

    def concerns(self, keys: Keys) -> bool:
        """Return whether a mistake is one in these files, even if no file has the value.

        Args:
            keys: The place of the mistake.

        Returns:
            Whether the message names a line here. A setting that is missing in defaults of the
            installation is none: operators do not write into that file.
        """
        return self.named or keys in self.owners

    def line(self, keys: Keys) -> str:
        """Return the file and line of a place.

        Args:
            keys: The place.

        Returns:
            Such as ``gateway.toml:12``.
        """
        return self._file(keys).line(keys)

    def place(self, keys: Keys) -> str:
        """Return the file, line, table and key of a place.

        Args:
            keys: The place.

        Returns:
            Such as ``gateway.toml:12: [sources.billing] timeout``.
        """
        return f"{self.line(keys)}: {bracketed(keys, self.values)}"

    def place_of_missing(self, keys: Keys) -> str:
        """Return the place of a missing key, with the line of its table if a file has that.

        Args:
            keys: The place.

        Returns:
            Such as ``gateway.toml:12: [sources.billing] timeout``.
        """
        return self._file(keys[:-1]).place_of_missing(keys)

    def order(self, keys: Keys) -> tuple[int, int]:
        """Return a number for each place by which mistakes are sorted: by file, then by line.

        Args:
            keys: The place.

        Returns:
            The position of its file, and the line of the place or of the nearest table around it.
        """
        file = self._owner(keys)
        return file, self.files[file].lines.near(keys) or 0

    def order_of_missing(self, keys: Keys) -> tuple[int, int]:
        """Return the same for a missing key: the line of its table, or the end of the file.

        Args:
            keys: The place.

        Returns:
            The position of the file, and the line.
        """
        file = self._owner(keys[:-1])
        return file, self.files[file].lines.of(keys[:-1]) or _AT_THE_END

    def folder(self, keys: Keys) -> Path:
        """Return the folder of the file that a value is from.

        Args:
            keys: The place of the value.

        Returns:
            The folder. Paths in the value are relative to it.
        """
        return self._file(keys).path.parent

    def _owner(self, keys: Keys) -> int:
        """Return the position of the file that a place, or the nearest one around it, is from."""
        around = (self.owners.get(keys[:depth]) for depth in range(len(keys), 0, -1))
        return next((owner for owner in around if owner is not None), 0)

    def _file(self, keys: Keys) -> ConfigFile:
        """Return the file that a place, or the nearest one around it, is from."""
        return self.files[self._owner(keys)]


class ReadFiles(Struct, frozen=True):
    """What reading a configuration file brought.

    Attributes:
        files: The files; ``None`` if the first one cannot be read.
        mistakes: A sentence for each file that cannot be read, and for each wrong ``include``.
        conflicts: The settings that two files say differently, by place: what is wrong.
    """

    files: ConfigFiles | None = None
    mistakes: Sequence[str] = ()
    conflicts: Mapping[Keys, str] = {}


def read_files(
    path: Path | None, schema: FieldSchema, *, defaults: Path | None = None
) -> ReadFiles:
    """Read a configuration file and the files that it includes.

    Args:
        path: Its path; ``None`` for no file.
        schema: The settings that are allowed in them.
        defaults: The path of a file over which all others win; ``None`` for no such file.

    Returns:
        The files, and all mistakes.
    """
    reading = _Reading()
    try:
        if defaults is not None:
            reading.add_defaults(read_file(defaults))
        if path is not None:
            reading.add(read_file(path), ())
    except ConfigurationError as error:
        return ReadFiles(mistakes=error.mistakes)
    if not reading.files:
        return ReadFiles()
    files = reading.files[::-1]
    last = len(files) - 1
    below = {last - file: {last - one for one in others} for file, others in reading.below.items()}
    merge = _Merge(files, below)
    values = merge.tables([(number, file.values) for number, file in enumerate(files)], schema, ())
    mistakes = tuple(dict.fromkeys(reading.mistakes[::-1]))  # a file may be included twice
    merged = ConfigFiles(files, values, merge.owners, named=path is not None)
    return ReadFiles(merged, mistakes, merge.conflicts)


class _Reading:
    """Reads files, and the files that they include, each once.

    Attributes:
        files: The files that were read, each after those that it includes.
        below: The files that each of them includes, directly or not.
        mistakes: What is wrong.
    """

    def __init__(self) -> None:
        self.files: list[ConfigFile] = []
        self.below: dict[int, set[int]] = {}
        self.mistakes: list[str] = []
        self._known: dict[str, int] = {}
        self._defaults: set[int] = set()

    def add_defaults(self, file: ConfigFile) -> None:
        """Add the file that each later one includes, without naming it.

        Args:
            file: The file.
        """
        self.add(file, ())
        self._defaults = {*range(len(self.files))}

    def add(self, file: ConfigFile, way: Sequence[ConfigFile]) -> int:
        """Add a file and those that it includes.

        Args:
            file: The file.
            way: The files that led to it, each included by the one before.

        Returns:
            Its position in ``files``.
        """
        values = dict(file.values)
        names = values.pop(INCLUDE, [])
        below = set(self._defaults)
        # The list is read from its end, so that ``files`` in reverse has it in its order.
        for number, name in reversed([*enumerate(self._items(file, names))]):
            included = self._included(file, (INCLUDE, number), name, (*way, file))
            if included is not None:
                below |= {included, *self.below[included]}
        self.files.append(replace(file, values=values))
        self.below[len(self.files) - 1] = below
        return self._known.setdefault(os.path.realpath(file.path), len(self.files) - 1)

    def _items(self, file: ConfigFile, names: object) -> Sequence[object]:
        """Return the paths that a file includes; none if they are not in a list."""
        items = as_list(names)
        if items is None:
            kind = "a single value" if as_table(names) is None else "a table"
            self.mistakes.append(f"{file.place((INCLUDE,))} got {kind}: {_EXPECTED}.")
        return items or ()

    def _included(
        self, file: ConfigFile, keys: Keys, name: object, way: Sequence[ConfigFile]
    ) -> int | None:
        """Read one included file, and return its position; ``None`` if it cannot be used."""
        place = file.place(keys)
        if not isinstance(name, str) or not name:
            self.mistakes.append(f"{place} is not the path of a file: {_EXPECTED}.")
            return None
        try:
            included = read_file(file.path.parent / name)
        except UnreadableFileError as error:
            self.mistakes += [f"{place}: {mistake}" for mistake in error.mistakes]
            return None
        except ConfigurationError as error:  # it has the place in the included file
            self.mistakes += error.mistakes
            return None
        identity = os.path.realpath(included.path)
        if identity in self._known:
            return self._known[identity]
        before = [os.path.realpath(one.path) for one in way]
        if identity in before:
            circle = [str(one.path) for one in way[before.index(identity) :]]
            names = " → ".join([*circle, circle[0]])
            self.mistakes.append(f"{place} makes a cycle: expected none ({names}).")
            return None
        return self.add(included, way)


class _Merge:
    """Merges the values of files.

    Args:
        files: The files, each before those that it includes.
        below: The files that each of them includes, directly or not.

    Attributes:
        owners: The file that each value is from.
        conflicts: The settings that two files say differently.
    """

    def __init__(self, files: Sequence[ConfigFile], below: Mapping[int, set[int]]) -> None:
        self.owners: dict[Keys, int] = {}
        self.conflicts: dict[Keys, str] = {}
        self._files = files
        self._below = below

    def tables(self, tables: Sequence[tuple[int, Table]], schema: FieldSchema, keys: Keys) -> Table:
        """Merge the tables that several files have at one place.

        Args:
            tables: The tables and their files, in the order of the files.
            schema: The settings that are allowed in them.
            keys: The place.

        Returns:
            The merged table.
        """
        kept = [
            (file, table)
            for file, table in tables
            if not any(
                file in self._below[other] and schema.differ(above, table)
                for other, above in tables
            )
        ]
        tagged = (table for _, table in kept if schema.tag in table)
        schema = schema.of(next(tagged, Table()))
        merged: Table = {}
        for name in dict.fromkeys(name for _, table in kept for name in table):
            values = [(file, table[name]) for file, table in kept if name in table]
            merged[name] = self._value(values, schema.below(name).schema, (*keys, name))
        return merged

    def _value(
        self, values: Sequence[tuple[int, object]], schema: FieldSchema, keys: Keys
    ) -> object:
        """Merge the values that several files have at one place."""
        # A reference to a secret is one value although it looks like a table.
        tables = {
            file: table
            for file, value in values
            if not schema.secret and (table := as_table(value)) is not None
        }
        kept = [
            (file, value)
            for file, value in values
            if not any(
                file in self._below[other] and not (file in tables and other in tables)
                for other, _ in values
            )
        ]
        first, value = kept[0]
        self.owners[keys] = first
        if all(file in tables for file, _ in kept):
            return self.tables([(file, tables[file]) for file, _ in kept], schema, keys)
        for other, another in kept[1:]:
            if not _same(value, another):
                place = self._files[other].place(keys)
                what = "differ: expected the same value, or one in a file that includes both."
                self.conflicts[keys] = f"and {place} {what}"
        return value


def _same(one: object, other: object) -> bool:
    """Return whether two values of TOML are the same, with their types."""
    return json.dumps(one, sort_keys=True, default=repr) == json.dumps(
        other, sort_keys=True, default=repr
    )
