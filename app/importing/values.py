"""Values that stand in a request in place of those that only an operator knows. Pure."""

import json

from pydantic import JsonValue

from app.importing.schemas import Shape

_LONG = 200
"""An example that is as long is not used."""


def value_of(shape: Shape, name: str) -> tuple[JsonValue, bool]:
    """Return a value that a request may have.

    Args:
        shape: What the value may be.
        name: What it is the value of.

    Returns:
        The value, and whether the document says that it is the one.
    """
    for example in shape.examples:
        if isinstance(example, int | float) or (isinstance(example, str) and len(example) < _LONG):
            return example, True
    if shape.words:
        return shape.words[0], len(shape.words) == 1
    if shape.may_be("boolean"):
        return False, False
    if shape.may_be("integer", "number") and not shape.may_be("string"):
        return 0, False
    if shape.may_be("array") and not shape.may_be("string"):
        return [], False
    return placeholder(name), False


def placeholder(name: str) -> str:
    """Write what stands for a value that an operator has to fill in.

    Args:
        name: What it is the value of.

    Returns:
        The name in capitals, with ``_`` for all that is no letter and no digit.
    """
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in name).upper()


def as_text(value: JsonValue) -> str:
    """Write a value as it stands in a path, a query or a header.

    Args:
        value: The value.

    Returns:
        The text.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)
