"""Secrets in settings: references to them, and addresses without them.

A file names where a secret is: ``{ env = "NAME" }`` or ``{ file = "path" }``. A secret setting
accepts nothing else in a file, and no other setting accepts a reference. An operator who wants an
address from a variable uses the variable of that setting.

Messages show addresses without secrets. Keys belong in their own settings, but people write them
into addresses: as a user with a password (``https://user:password@host``), as a parameter
(``?key=...``), or as a fragment.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from pydantic import SecretStr

from app.settings.field_schema import FieldSchema
from app.settings.nested import Keys, Table, as_list, as_table

HIDDEN = "…"

_SCHEME = re.compile(r"[^:/?#@]*://")
_QUERY = re.compile(r"[?#]")
_PARAMETERS = re.compile(r"(?<![\[(])[?#][^=\s]+=")
"""Parameters, but not parts of an expression (``[?a == 'b']``) or of a pattern (``(?:a=)``)."""


def is_address(text: str) -> bool:
    """Return whether a value looks like an address or its path.

    Args:
        text: The value of a setting.

    Returns:
        Whether it does.
    """
    return bool(_SCHEME.match(text) or text.startswith("/") or _PARAMETERS.search(text))


def without_secrets(text: str) -> str:
    """Hide the parts of an address that may be secret.

    Args:
        text: The value of a setting, an address or not.

    Returns:
        The text without user and password before an ``@``; an address also without its query and
        fragment. The rest is unchanged.
    """
    before, at, rest = text.rpartition("@")
    if is_address(text):
        scheme = _SCHEME.match(text)
        if at and _QUERY.search(before):
            # The `@` may belong to a parameter or a password, so all of it is hidden.
            return (scheme[0] if scheme else "") + HIDDEN
        if query := _QUERY.search(rest):
            rest = rest[: query.end()] + HIDDEN
    return HIDDEN + at + rest if at else rest


RIGHT = '{ env = "NAME" } or { file = "path" }'


class Reference(Struct, frozen=True):
    """The place of a secret.

    Attributes:
        name: The name of a variable, or the path of a file.
        is_file: Whether it is a file.
    """

    name: str
    is_file: bool

    def __str__(self) -> str:
        """Return a text for messages."""
        return f"the file {self.name}" if self.is_file else f"the variable {self.name}"


class UnusableReference(Struct, frozen=True):
    """Replaces a wrong reference whose mistake is known, so that it is reported only once."""


class RelativePath(str):
    """A path in a file, relative to the folder of the file."""

    __slots__ = ()


class ReferenceMistakeError(Exception):
    """A reference is wrong, or its secret is missing; the message says what is expected."""


def with_references(values: Table, schema: FieldSchema) -> tuple[Table, dict[Keys, str]]:
    """Find the references to secrets in the values of a file, and the paths.

    Args:
        values: The values of the file.
        schema: The settings that are allowed in it.

    Returns:
        The values with a ``Reference`` for each secret, ``UnusableReference`` for each wrong one,
        and ``RelativePath`` for each path; and the mistakes, by place.
    """
    mistakes: dict[Keys, str] = {}
    found = {
        key: _read(value, schema.below(key).schema, (key,), mistakes)
        for key, value in values.items()
    }
    return found, mistakes


def _read(value: object, schema: FieldSchema, keys: Keys, mistakes: dict[Keys, str]) -> object:
    """Read a value that may be a secret or contain some."""
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
    return RelativePath(value) if schema.located and isinstance(value, str) else value


def _reference(table: Mapping[str, object] | None) -> Reference:
    """Read a reference to a secret."""
    if table is None:
        raise ReferenceMistakeError(
            f"got a secret itself: expected {RIGHT}, since secrets are never written in this file."
        )
    if set(table) == {"env", "file"}:
        raise ReferenceMistakeError(f"got both env and file: expected one of {RIGHT}.")
    match list(table.items()):
        case [("env" | "file" as origin, str(name))] if name:
            return Reference(name, is_file=origin == "file")
        case _:
            raise ReferenceMistakeError(f"got another table: expected {RIGHT}.")


def resolved(reference: Reference, variables: Mapping[str, str], folder: Path) -> SecretStr:
    """Read a secret from its place.

    Args:
        reference: The place.
        variables: The environment variables.
        folder: The folder of relative file paths.

    Returns:
        The secret, without line breaks at its end.

    Raises:
        ReferenceMistakeError: It is missing, empty or cannot be read.
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
        except ValueError:  # the path has a NUL
            secret, why = "", "cannot be there: no path has a NUL in it"
    if not secret:
        raise ReferenceMistakeError(f"names {reference}, which {why}: expected the secret in it.")
    return SecretStr(secret)
