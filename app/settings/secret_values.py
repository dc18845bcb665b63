"""Secrets in settings: references to where they are, and addresses without them.

Addresses as messages may show them: without the secrets that somebody has written into them.

Keys belong into settings of their own, but they are written into addresses all the same: as a user
with a password (``https://user:password@host``), as a parameter (``?key=...``), as a fragment.

Secrets of a file, which names where they are: ``{ env = "NAME" }`` or ``{ file = "path" }``.

A setting that is a secret takes nothing else in a file, and no other setting takes these: there is
one way to write each. Whoever wants an address from a variable has the variable of that setting.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from app.settings.field_schema import FieldSchema
from app.settings.nested import Keys, Table, as_list, as_table

HIDDEN = "…"

_SCHEME = re.compile(r"[^:/?#@]*://")
_QUERY = re.compile(r"[?#]")
_PARAMETERS = re.compile(r"(?<![\[(])[?#][^=\s]+=")
"""Parameters, and no part of an expression (``[?a == 'b']``) or of a pattern (``(?:a=)``)."""


def is_address(text: str) -> bool:
    """Tell whether a value is an address, or the path of one, or is meant to be one.

    Args:
        text: The value of a setting.

    Returns:
        Whether it is.
    """
    return bool(_SCHEME.match(text) or text.startswith("/") or _PARAMETERS.search(text))


def without_secrets(text: str) -> str:
    """Hide what may be secret in an address.

    Args:
        text: The value of a setting, be it an address or not.

    Returns:
        It without the user and password before an ``@``; if it is an address, also without its
        query and its fragment. All else is as it was.
    """
    before, at, rest = text.rpartition("@")
    if is_address(text):
        scheme = _SCHEME.match(text)
        if at and _QUERY.search(before):
            # A parameter or a password: nobody can say where either ends.
            return (scheme[0] if scheme else "") + HIDDEN
        if query := _QUERY.search(rest):
            rest = rest[: query.end()] + HIDDEN
    return HIDDEN + at + rest if at else rest


RIGHT = '{ env = "NAME" } or { file = "path" }'


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is.

    Attributes:
        name: Of the variable, or of the file.
        is_file: Which of the two.
    """

    name: str
    is_file: bool

    def __str__(self) -> str:
        """Name it for a person."""
        return f"the file {self.name}" if self.is_file else f"the variable {self.name}"


@dataclass(frozen=True, slots=True)
class UnusableReference:
    """Stands where a mistake was found already, so that it is not told twice."""


class ReferenceMistakeError(Exception):
    """A secret is not named, or not where it is said to be; the message says what is right."""


def with_references(values: Table, schema: FieldSchema) -> tuple[Table, dict[Keys, str]]:
    """Read what a file says of its secrets.

    Args:
        values: What the file says.
        schema: What may stand in it.

    Returns:
        The same, with a ``Reference`` for each secret, and ``UnusableReference`` for each that is
        wrong; and what is wrong, by place.
    """
    mistakes: dict[Keys, str] = {}
    found = {
        key: _read(value, schema.below(key).schema, (key,), mistakes)
        for key, value in values.items()
    }
    return found, mistakes


def _read(value: object, schema: FieldSchema, keys: Keys, mistakes: dict[Keys, str]) -> object:
    """Read a value that may be a secret, or hold some."""
    table = as_table(value)
    if schema.secret and (table is not None or not (schema.plain or schema.holds)):
        try:
            return _reference(table)
        except ReferenceMistakeError as mistake:
            mistakes[keys] = str(mistake)
            return UnusableReference()
    if table is not None:
        kind = schema.of(table)
        return {
            key: _read(inner, kind.below(key).schema, (*keys, key), mistakes)
            for key, inner in table.items()
        }
    if (items := as_list(value)) is not None:
        inner = schema.below(0).schema
        return [_read(one, inner, (*keys, number), mistakes) for number, one in enumerate(items)]
    return value


def _reference(table: Mapping[str, object] | None) -> Reference:
    """Read where a secret is."""
    if table is None:
        raise ReferenceMistakeError(
            f"got a secret itself: expected {RIGHT}, since secrets are never written in this file."
        )
    if set(table) == {"env", "file"}:
        raise ReferenceMistakeError(f"got both env and file: expected one of {RIGHT}.")
    match list(table.items()):
        case [("env" | "file" as way, str(name))] if name:
            return Reference(name, is_file=way == "file")
        case _:
            raise ReferenceMistakeError(f"got another table: expected {RIGHT}.")


def resolved(reference: Reference, variables: Mapping[str, str], folder: Path) -> SecretStr:
    """Get a secret from where it is.

    Args:
        reference: Where that is.
        variables: The environment.
        folder: Where a file is looked for whose path is not absolute.

    Returns:
        The secret, without the line breaks at its end.

    Raises:
        ReferenceMistakeError: It is not there.
    """
    if not reference.is_file:
        secret = variables.get(reference.name, "")
        why = "is empty" if reference.name in variables else "is not set"
    else:
        why = "is empty"
        try:
            secret = (folder / reference.name).read_bytes().decode("utf-8").rstrip("\r\n")
        except OSError as error:
            secret, why = "", f"cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            secret, why = "", "is not UTF-8"
        except ValueError:  # of a path that no file can have
            secret, why = "", "cannot be there: no path has a NUL in it"
    if not secret:
        raise ReferenceMistakeError(f"names {reference}, which {why}: expected the secret in it.")
    return SecretStr(secret)
