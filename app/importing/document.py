"""An OpenAPI document: read from a file, with its references resolved where they are followed.

``referencing`` resolves references. They are followed one at a time, because a document may have
thousands, and they may lead in a circle.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import orjson
import yaml
from msgspec import Struct
from msgspec.structs import replace
from referencing import Registry, Specification
from referencing.exceptions import Unresolvable

from app.errors import quote
from app.importing.yaml_data import yaml_data
from app.settings.nested import as_list, as_table

MAX_BYTES = 33_554_432
"""The most bytes of a document. The largest that are published have about 14 MB."""

RIGHT = "expected an OpenAPI document, version 3.0 or 3.1, in JSON or YAML"

_VERSION = re.compile(r"3\.[01](\.[0-9A-Za-z.-]+)?")


class OpenApiError(Exception):
    """A document cannot be imported. The message says what is wrong, and what is expected."""


class Node(Struct, frozen=True):
    """A value of a document, and its place.

    Attributes:
        value: The value, as plain data.
        place: The place in the document, as a reference: ``#/paths/~1users``.
        references: Resolves references.
    """

    value: object
    place: str
    references: "References"

    def members(self) -> Iterator[tuple[str, "Node"]]:
        """List the members of an object.

        Yields:
            The name and the value of each member.

        Raises:
            OpenApiError: The value is not an object.
        """
        table = as_table(self.value)
        if table is None:
            raise OpenApiError(f"{self.place}: expected an object, got {_kind(self.value)}")
        for name in table:
            yield name, self._below(name, table[name])

    def items(self) -> Sequence["Node"]:
        """List the items of a list.

        Returns:
            The items.

        Raises:
            OpenApiError: The value is not a list.
        """
        items = as_list(self.value)
        if items is None:
            raise OpenApiError(f"{self.place}: expected a list, got {_kind(self.value)}")
        return [self._below(str(number), item) for number, item in enumerate(items)]

    def member(self, name: str) -> "Node | None":
        """Return a member of an object.

        Args:
            name: The name.

        Returns:
            The value; ``None`` if the object has no such member.

        Raises:
            OpenApiError: The value is not an object.
        """
        table = as_table(self.value)
        if table is None:
            raise OpenApiError(f"{self.place}: expected an object, got {_kind(self.value)}")
        return self._below(name, table[name]) if name in table else None

    def text(self, name: str) -> str:
        """Return a member that is text.

        Args:
            name: The name.

        Returns:
            The text; empty if there is none.

        Raises:
            OpenApiError: The value is not an object.
        """
        found = self.member(name)
        return found.value if found is not None and isinstance(found.value, str) else ""

    def resolved(self) -> "Node":
        """Follow the reference that this value is, if it is one.

        Returns:
            The value that is no reference.

        Raises:
            OpenApiError: The reference leads nowhere, to another document, or back to itself.
        """
        node, seen = self, set[str]()
        while reference := node.text("$ref") if as_table(node.value) is not None else "":
            if reference in seen:
                raise OpenApiError(
                    f"{self.place}: expected a value, got a reference that leads back to itself:"
                    f" {quote(reference)}"
                )
            seen.add(reference)
            node = self.references.find(reference, node.place)
        return node

    def _below(self, name: str, value: object) -> "Node":
        """Return a value below this one."""
        step = name.replace("~", "~0").replace("/", "~1")
        return replace(self, value=value, place=f"{self.place}/{step}")


class References:
    """Resolves the references within one document, and no others.

    Args:
        contents: The whole document.
    """

    def __init__(self, contents: object) -> None:
        whole = Specification.OPAQUE.create_resource(contents)
        self._resolver = Registry[Any]().with_resource("", whole).resolver()

    def find(self, reference: str, place: str) -> Node:
        """Return the value that a reference names.

        Args:
            reference: The reference.
            place: The place where it stands, for the error.

        Returns:
            The value.

        Raises:
            OpenApiError: The reference leads nowhere, or to another document.
        """
        if not reference.startswith("#"):
            raise OpenApiError(
                f"{place}: {quote(reference)} leads to another document: expected references within"
                " the document (#/…). Bundle all documents into one first"
            )
        try:
            found = self._resolver.lookup(reference)
        except (Unresolvable, ValueError, TypeError) as error:
            # The library raises the last two for a step into a list by name, or into a number.
            raise OpenApiError(
                f"{place}: {quote(reference)} leads nowhere: expected a place in the document, such"
                " as #/components/schemas/User"
            ) from error
        return Node(found.contents, reference, self)


class OpenApiDocument(Struct, frozen=True):
    """An OpenAPI document.

    Attributes:
        root: The whole document.
        version: The version of OpenAPI, such as ``3.0.3``.
        title: The name of the service, and the version of its document.
        refs_have_siblings: Whether members beside ``$ref`` count, as since version 3.1.
    """

    root: Node
    version: str
    title: str
    refs_have_siblings: bool


def read_document(path: Path) -> OpenApiDocument:
    """Read a document.

    Args:
        path: A local file, in JSON or YAML.

    Returns:
        The document.

    Raises:
        OpenApiError: The file cannot be read, is too large, or is no document of OpenAPI 3.0 or
            3.1.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise OpenApiError(f"{path} cannot be read: {error.strerror}; {RIGHT}") from error
    if len(content) > MAX_BYTES:
        raise OpenApiError(f"{path} is too large: expected at most {MAX_BYTES:,} bytes")
    return document_of(content, str(path))


def document_of(content: bytes, name: str) -> OpenApiDocument:
    """Read a document from its bytes.

    Args:
        content: JSON or YAML, in UTF-8.
        name: The name of the file, for errors.

    Returns:
        The document.

    Raises:
        OpenApiError: It is no document of OpenAPI 3.0 or 3.1.
    """
    contents = _parsed(content, name)
    table = as_table(contents)
    if table is None:
        raise OpenApiError(f"{name}: {RIGHT}, got {_kind(contents)}")
    if "swagger" in table:
        raise OpenApiError(
            f"{name}: {RIGHT}, got Swagger {quote(str(table['swagger']))}. Convert it to OpenAPI"
            " 3.0 first"
        )
    version = str(table.get("openapi", ""))
    if not _VERSION.fullmatch(version):
        got = f"version {quote(version)}" if version else "an object without the member openapi"
        raise OpenApiError(f"{name}: {RIGHT}, got {got}")
    root = Node(contents, "#", References(contents))
    info = root.member("info")
    titles = () if info is None else (info.text("title"), info.text("version"))
    title = " ".join(text for text in titles if text) or name
    return OpenApiDocument(root, version, title, refs_have_siblings=not version.startswith("3.0"))


def _parsed(content: bytes, name: str) -> object:
    """Read JSON or YAML."""
    if content.lstrip()[:1] in {b"{", b"["}:
        try:
            return cast("object", orjson.loads(content))
        except orjson.JSONDecodeError as error:
            if name.lower().endswith(".json"):
                place = f"{name}:{error.lineno}:{error.colno}"
                raise OpenApiError(
                    f"{place}: neither JSON nor YAML: {error.msg}; {RIGHT}"
                ) from error
    try:
        return yaml_data(content)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = name if mark is None else f"{name}:{mark.line + 1}:{mark.column + 1}"
        what = error.problem or "it cannot be read"
        raise OpenApiError(f"{place}: neither JSON nor YAML: {what}; {RIGHT}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OpenApiError(f"{name}: neither JSON nor YAML in UTF-8; {RIGHT}") from error
    except RecursionError as error:
        raise OpenApiError(f"{name}: nested too deep; {RIGHT}") from error


def _kind(value: object) -> str:
    """Return the kind of a value, without the value."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "text"
        case bool():
            return "a truth value"
        case _:
            return "a number"
