"""Places in a row, and the expressions that read them. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from app.expressions.expression import ExpressionError, checked_expression
from app.importing.document import Node
from app.importing.names import CONTAINERS, LISTS, squashed
from app.importing.schemas import Schemas, Shape

Place: TypeAlias = tuple[str | int, ...]
"""Names of members and positions in lists, from the outside to the inside."""

MAX_DEPTH = 3
"""How deep containers within containers are searched."""

MAX_SPOTS = 50
"""The most objects of a row that are searched."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_BESIDE_LIST = 6
"""The most members of an object that is a page of a list, rather than an object with a list."""


class Spot(Struct, frozen=True):
    """An object in a row.

    Attributes:
        place: Its place in the row.
        shape: Its shape.
        within: The squashed names of the containers around it.
    """

    place: Place
    shape: Shape
    within: tuple[str, ...] = ()

    def named(self) -> Mapping[str, str]:
        """Return the names of its members by their squashed names; the first of each."""
        found: dict[str, str] = {}
        for name in self.shape.properties:
            found.setdefault(squashed(name), name)
        return found


def written(place: Place) -> str:
    """Write the expression that reads a place.

    Args:
        place: The place, not empty.

    Returns:
        JMESPath, such as ``items[0].name``.
    """
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if _PLAIN.fullmatch(step) else json.dumps(step, ensure_ascii=False)
            text += f".{name}" if text else name
    return text


def usable(expression: str) -> bool:
    """Return whether the settings accept an expression.

    Args:
        expression: JMESPath. A name in it comes from a document, and may be very long.

    Returns:
        Whether it compiles.
    """
    try:
        checked_expression(expression)
    except ExpressionError:
        return False
    return True


def spots_of(row: Shape, schemas: Schemas) -> Sequence[Spot]:
    """List the objects of a row in which a field may be.

    Args:
        row: The row.
        schemas: Reads the schemas.

    Returns:
        The row itself, then the objects in its containers, the outer ones first; each schema once.
    """
    found = [Spot((), row)]
    seen = {id(row)}
    for spot in found:  # grows while it is read
        if len(spot.within) == MAX_DEPTH:
            continue
        for name, place, shape in _containers(spot, schemas):
            if id(shape) not in seen and len(found) < MAX_SPOTS:
                seen.add(id(shape))
                found.append(Spot((*spot.place, *place), shape, (*spot.within, squashed(name))))
    return found


def _containers(spot: Spot, schemas: Schemas) -> Iterator[tuple[str, Place, Shape]]:
    """List the containers in an object: those by name, and one that is the only object there."""
    objects = [
        (name, (name, *inner[0]), inner[1])
        for name, node in spot.shape.properties.items()
        if (inner := object_in(node, schemas)) is not None
    ]
    for name, place, shape in objects:
        if len(objects) == 1 or squashed(name) in CONTAINERS:
            yield name, place, shape


def object_in(node: Node, schemas: Schemas) -> tuple[Place, Shape] | None:
    """Find the object that a value is, or the first one of the list that it is.

    Args:
        node: The schema of the value.
        schemas: Reads the schemas.

    Returns:
        The place of the object in the value, and its shape; ``None`` if there is none, or if the
        value may be text or a number: it usually is that, and an object where one asks for it.
    """
    shape = schemas.shape(node)
    if shape.may_be("string", "integer", "number", "boolean"):
        return None
    if shape.properties:
        listed = _page(shape, schemas)
        return listed if listed is not None else ((), shape)
    if shape.item is not None:
        item = schemas.shape(shape.item)
        if item.properties and not item.may_be("string", "integer", "number", "boolean"):
            return (0,), item
    return None


def _page(shape: Shape, schemas: Schemas) -> tuple[Place, Shape] | None:
    """Find the first object in a page of a list, such as ``{"data": […], "has_more": false}``."""
    if len(shape.properties) > _MOST_BESIDE_LIST:
        return None
    for name, node in shape.properties.items():
        inner = schemas.shape(node)
        if squashed(name) in LISTS and inner.item is not None:
            item = schemas.shape(inner.item)
            if item.properties:
                return (name, 0), item
    return None
