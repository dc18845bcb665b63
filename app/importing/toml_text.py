"""Writes what was guessed as a part of a configuration file, in TOML. Pure.

What a document says stands in comments: one line each, printable, and not too long.
"""

from collections.abc import Collection, Sequence
from itertools import islice

import tomlkit
from pydantic import BaseModel
from tomlkit.items import Item
from tomlkit.items import Table as TomlTable

from app.importing.guess import (
    NO_ADDRESS,
    AddressGuess,
    FieldGuess,
    Property,
    SourceGuess,
    WordsGuess,
)
from app.settings.nested import Table, as_table

WIDTH = 98
"""The most characters of a comment, after its sign."""

MAX_LISTED = 100
"""The most other properties, and words, that are listed."""


_FIRST = "form"
"""The setting that is written first."""

_DOTTED = "more"
"""The table whose settings are written in lines of their own, such as ``more.has_more``."""


def source_toml(guess: SourceGuess, lists: Collection[str] = ()) -> str:
    """Write a guess in TOML.

    Args:
        guess: The guess.
        lists: The lists of the source, which are not imported.

    Returns:
        The text of the source's tables, with comments. It is valid TOML.
    """
    document = tomlkit.document()
    for line in (
        f"Guessed from {guess.operation}",
        f"of {guess.document}.",
        "Check each line, and try it with an existing user:",
        f"  user-gateway sources try {guess.source} ID --config FILE",
    ):
        document.add(tomlkit.comment(comment_line(line)))
    document.add(tomlkit.nl())
    sources = tomlkit.table(is_super_table=True)
    sources.add(guess.source, _source(guess, lists))
    document.add("sources", sources)
    return document.as_string().rstrip("\n") + "\n"


def _source(guess: SourceGuess, lists: Collection[str]) -> TomlTable:
    """Write the table of a source."""
    table = tomlkit.table()
    _add_address(table, guess.address)
    if lists:
        named = ", ".join(f"lists.{name}" for name in lists)
        table.add(tomlkit.comment(comment_line(f"Not imported; describe it in {named} instead.")))
        table.add("without_lists", [*lists])
    if guess.request.max_keys is not None:
        table.add("max_keys", guess.request.max_keys)
    table.add(tomlkit.nl())
    table.add("request", _settings(guess.request.settings, guess.request.notes))
    table.add("answer", _settings(guess.answer.settings, guess.answer.notes))
    table.add("fields", _fields(guess.answer.fields, guess.answer.rest))
    words = {one.name: one.words for one in guess.answer.fields if one.words is not None}
    if words:
        table.add(tomlkit.nl())
        by_field = tomlkit.table(is_super_table=True)
        for name, one in words.items():
            by_field.add(name, _words(one))
        table.add("words", by_field)
    return table


def _add_address(table: TomlTable, address: AddressGuess) -> None:
    """Write the address of the service, or that it is missing."""
    if address.base_url is not None:
        table.add("base_url", address.base_url)
    else:
        table.add(tomlkit.comment(comment_line(f'base_url = "{address.example}"  # {NO_ADDRESS}')))
    for other in address.others:
        table.add(tomlkit.comment(comment_line(f"Also in the document: {other}")))


def _settings(model: BaseModel, notes: Sequence[str]) -> TomlTable:
    """Write the settings of a model that are not their default, and what has to be checked."""
    table = tomlkit.table()
    values: Table = model.model_dump(mode="json", exclude_defaults=True)
    for name in sorted(values, key=lambda name: name != _FIRST):
        dotted = as_table(values[name]) if name == _DOTTED else None
        if dotted is None:
            table.add(name, toml_value(values[name]))
        for inner, value in (dotted or {}).items():
            table.add(tomlkit.key([name, inner]), toml_value(value))
    for note in notes:
        table.add(tomlkit.comment(comment_line(f"Check {note}")))
    table.add(tomlkit.nl())
    return table


def toml_value(value: object) -> Item:
    """Write a value; a table in one line.

    Args:
        value: Plain data.

    Returns:
        The value as TOML.
    """
    table = as_table(value)
    if table is not None:
        inline = tomlkit.inline_table()
        for name, inner in table.items():
            inline.add(str(name), toml_value(inner))
        return inline
    if isinstance(value, str) and '"' in value and "'" not in value and value.isprintable():
        return tomlkit.string(value, literal=True)
    return tomlkit.item(value)


def _fields(fields: Sequence[FieldGuess], rest: Sequence[Property]) -> TomlTable:
    """Write the expression of each field, and list the other properties."""
    table = tomlkit.table()
    for field in fields:
        if field.expression is None:
            table.add(tomlkit.comment(comment_line(_missing(field))))
        else:
            table.add(tomlkit.comment(comment_line(_about(field))))
            table.add(field.name, toml_value(field.expression))
    if rest:
        table.add(tomlkit.nl())
        table.add(tomlkit.comment("The other properties of a row:"))
        _add_list(table, [_with_meaning(f"{one.expression}  {one.type}", one) for one in rest])
    return table


def _words(words: WordsGuess) -> TomlTable:
    """Write the record's word for each word of the service, and list the others."""
    table = tomlkit.table()
    if words.known:
        table.add(tomlkit.comment("Check: the words of the service, and what they are taken for."))
    for word, ours in words.known.items():
        table.add(word, ours)
    if words.unknown:
        table.add(tomlkit.comment(f"Expected {words.choice} for:"))
        _add_list(table, words.unknown)
    return table


def _add_list(table: TomlTable, lines: Sequence[str]) -> None:
    """Write the first lines of a list as comments, and how many more there are."""
    for line in islice(lines, MAX_LISTED):
        table.add(tomlkit.comment(comment_line(f"  {line}")))
    if len(lines) > MAX_LISTED:
        table.add(tomlkit.comment(f"  and {len(lines) - MAX_LISTED} more"))


def _missing(field: FieldGuess) -> str:
    """Say that no property fits a field, and what is expected."""
    expected = f"expected {field.expected}. {field.meaning}"
    return f'{field.name} = "{field.pattern}"  # no property fits; {expected}'


def _about(field: FieldGuess) -> str:
    """Describe the property that a field is read from, and what has to be checked."""
    notes = f"Check: {', '.join(field.notes)}. " if field.notes else ""
    found = field.found
    return notes if found is None else f"{notes}{_with_meaning(found.type, found)}"


def _with_meaning(text: str, one: Property) -> str:
    """Add the meaning of a property to a text."""
    return f"{text}. {one.description}" if one.description else text


def comment_line(text: str) -> str:
    """Make one printable line of a text, and cut it.

    Args:
        text: The text, which may come from a document or a service.

    Returns:
        The line, for a comment.
    """
    line = "".join(char if char.isprintable() else " " for char in text).rstrip()
    words = " ".join(line.split(" ")) if line.startswith(" ") else line
    return words if len(words) <= WIDTH else f"{words[: WIDTH - 1].rstrip()}…"
