"""The schemas of a document, each as one flat ``Shape``: what it consists of, put together.

A schema may be a reference, consist of others (``allOf``), or be one of several (``anyOf``,
``oneOf``). A shape has the properties of all of them: a guess needs to know what may be there.
Each schema is visited once for a shape, so a schema that consists of itself ends, and a shape
takes no longer than the schemas that it consists of.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from app.importing.document import Node
from app.settings.nested import as_list

JsonType: TypeAlias = Literal["string", "integer", "number", "boolean", "object", "array"]
"""A type of JSON, without null. ``integer`` is a number of its own, as in JSON Schema."""

_TYPES: Mapping[str, JsonType] = {name: name for name in get_args(JsonType)}

MAX_WORDS = 12
"""The most values of an enumeration that a description has."""


class Shape(Struct, frozen=True):
    """What a schema says of its values.

    Attributes:
        types: The types of JSON that a value may have, without null; empty if any.
        nullable: Whether it may be null.
        format: Its format, such as ``date-time``; empty if there is none.
        words: The texts that it may be, if it is one of a few.
        description: What it means; may be empty.
        examples: Values that the document names, the default before examples.
        properties: The schemas of the members of an object, by name.
        required: The members that are always there.
        item: The schema of the items of a list.
        entry: The schema of the members of an object whose names are not fixed.
        maximum: The largest number that it may be.
        max_items: The most items of a list.
    """

    types: frozenset[JsonType]
    nullable: bool
    format: str
    words: tuple[str, ...]
    description: str
    examples: tuple[object, ...]
    properties: Mapping[str, Node]
    required: frozenset[str]
    item: Node | None
    entry: Node | None
    maximum: int | None
    max_items: int | None

    def may_be(self, *types: JsonType) -> bool:
        """Return whether a value may have one of some types.

        Args:
            types: The types.

        Returns:
            Whether the schema names one of them. One that names no types names none.
        """
        return not self.types.isdisjoint(types)


class _Part(Struct, frozen=True):
    """One of the schemas that a shape consists of.

    Attributes:
        node: The schema.
        choice: The alternative that it is a part of; 0 if it always applies.
    """

    node: Node
    choice: int


class Schemas:
    """Reads the schemas of a document, each once.

    Args:
        refs_have_siblings: Whether members beside ``$ref`` count.
    """

    def __init__(self, *, refs_have_siblings: bool) -> None:
        self._refs_have_siblings = refs_have_siblings
        self._known: dict[int, Shape] = {}

    def shape(self, node: Node) -> Shape:
        """Return what a schema says of its values.

        Args:
            node: The schema.

        Returns:
            Its shape.

        Raises:
            OpenApiError: It is no schema, or a reference in it cannot be followed.
        """
        known = self._known.get(id(node.value))
        if known is None:
            known = self._known[id(node.value)] = _together([*self._parts(node)])
        return known

    def _parts(self, schema: Node) -> Iterator[_Part]:
        """List the schemas that one consists of, the outer ones first."""
        waiting = deque([_Part(schema, 0)])
        seen: set[int] = set()
        choices = count(1)
        while waiting:
            part = waiting.popleft()
            node = part.node
            if isinstance(node.value, bool) or id(node.value) in seen:
                continue
            seen.add(id(node.value))
            if node.text("$ref"):
                waiting.append(_Part(node.resolved(), part.choice))
                if not self._refs_have_siblings:
                    continue
            yield part
            for keyword in ("allOf", "anyOf", "oneOf"):
                found = node.member(keyword)
                for one in () if found is None else found.items():
                    choice = part.choice if keyword == "allOf" else part.choice or next(choices)
                    waiting.append(_Part(one, choice))


def _together(parts: Sequence[_Part]) -> Shape:
    """Put the schemas that a shape consists of together."""
    properties: dict[str, Node] = {}
    for part in parts:
        members = part.node.member("properties")
        for name, schema in () if members is None else members.members():
            properties.setdefault(name, schema)
    nodes = [part.node for part in parts]
    item, entry = _first(nodes, "items"), _first(nodes, "additionalProperties")
    words = _words(nodes)
    return Shape(
        types=_types(parts) or _types_of_content(properties, item, words),
        nullable=any(map(_may_be_null, nodes)),
        format=_first_text(nodes, "format"),
        words=words,
        description=_first_text(nodes, "description"),
        examples=tuple(_examples(nodes)),
        properties=properties,
        required=_required(parts),
        item=item,
        entry=entry,
        maximum=_first_integer(nodes, "maximum"),
        max_items=_first_integer(nodes, "maxItems"),
    )


def _required(parts: Sequence[_Part]) -> frozenset[str]:
    """Return the members that are always there: in each alternative that is an object."""
    named: dict[int, set[str]] = {}
    for part in parts:
        names = as_list(_value(part.node, "required")) or ()
        if part.node.member("properties") is not None or names:
            named.setdefault(part.choice, set()).update(
                name for name in names if isinstance(name, str)
            )
    always = named.pop(0, set[str]())
    first, *others = named.values() or [set[str]()]
    return frozenset(always | first.intersection(*others))


def _value(node: Node, name: str) -> object:
    """Return the value of a member; ``None`` if there is none."""
    found = node.member(name)
    return None if found is None else found.value


def _types(parts: Sequence[_Part]) -> frozenset[JsonType]:
    """Return the types that a value may have: those of all parts, or of one that is enough."""
    fixed = [types for part in parts if not part.choice and (types := _own_types(part.node))]
    if fixed:
        return fixed[0].intersection(*fixed) or fixed[0]
    return frozenset[JsonType]().union(*(_own_types(part.node) for part in parts))


def _own_types(node: Node) -> frozenset[JsonType]:
    """Return the types that a schema names itself, without null."""
    value = _value(node, "type")
    names = as_list(value) or [value]
    return frozenset(_TYPES[name] for name in names if isinstance(name, str) and name in _TYPES)


def _types_of_content(
    properties: Mapping[str, Node], item: Node | None, words: Sequence[str]
) -> frozenset[JsonType]:
    """Return the types of a schema that names none, by what else it says."""
    found: list[JsonType] = []
    if properties:
        found.append("object")
    if item is not None:
        found.append("array")
    if words:
        found.append("string")
    return frozenset(found)


def _may_be_null(node: Node) -> bool:
    """Return whether a schema allows null: as in version 3.0, or as in 3.1."""
    kind = _value(node, "type")
    fixed = as_list(_value(node, "enum")) or ()
    return (
        _value(node, "nullable") is True
        or kind == "null"
        or "null" in (as_list(kind) or ())
        or any(value is None for value in fixed)
    )


def _words(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Return the texts that a value may be."""
    fixed = (
        value
        for node in nodes
        for value in (*(as_list(_value(node, "enum")) or ()), _value(node, "const"))
    )
    return tuple(dict.fromkeys(value for value in fixed if isinstance(value, str)))


def _examples(nodes: Sequence[Node]) -> Iterator[object]:
    """List examples of values, the more binding ones first."""
    for name in ("const", "default", "example"):
        for node in nodes:
            value = _value(node, name)
            if value is not None:
                yield value
    for node in nodes:
        yield from as_list(_value(node, "examples")) or ()


def _first(nodes: Sequence[Node], name: str) -> Node | None:
    """Return the first schema that is a member of one of some schemas."""
    found = (node.member(name) for node in nodes)
    return next((one for one in found if one is not None and not isinstance(one.value, bool)), None)


def _first_text(nodes: Sequence[Node], name: str) -> str:
    """Return the first text that is a member of one of some schemas."""
    return next((text for node in nodes if (text := node.text(name))), "")


def _first_integer(nodes: Sequence[Node], name: str) -> int | None:
    """Return the first integer that is a member of one of some schemas."""
    values = (_value(node, name) for node in nodes)
    return next((value for value in values if type(value) is int), None)


def type_text(shape: Shape) -> str:
    """Describe the type of a value.

    Args:
        shape: The shape of the value.

    Returns:
        Such as ``string (date-time) or null``.
    """
    types = " or ".join(sorted(shape.types)) or "anything"
    detail = f" ({shape.format})" if shape.format else ""
    null = " or null" if shape.nullable else ""
    words = ", ".join(islice(shape.words, MAX_WORDS)) if len(shape.words) > 1 else ""
    more = ", …" if len(shape.words) > MAX_WORDS else ""
    return f"{types}{detail}{null}" + (f": {words}{more}" if words else "")
