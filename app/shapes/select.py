"""How a service is told which fields are wanted of each row, as data.

parameter = "fields"                                        ?fields=id,name
parameter = "$select"                                       ?$select=id,name
parameter = "fields", wrap = "items({fields})"              ?fields=items(id,name)
none, with `"properties": "{fields}"` in the body's template  {"properties": ["id", "name"]}
"""

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from app.shapes.answer import FieldName
from app.shapes.base import Shape
from app.shapes.parts import Between, ParameterName

FIELDS = "{fields}"
"""Where the names of fields go."""


def _check_wrap(text: str) -> str:
    """Accept a text with a place for names.

    Args:
        text: The text.

    Returns:
        The same.

    Raises:
        ValueError: It has none, or several.
    """
    if text.count(FIELDS) != 1:
        raise ValueError(f"expected {FIELDS} in it, once")
    return text


def _check_name(name: str) -> str:
    """Accept what a service may call a field; braces stand for places.

    Args:
        name: The name.

    Returns:
        The same.

    Raises:
        ValueError: It has characters that no name has.
    """
    if not name.isprintable() or not {" ", "{", "}"}.isdisjoint(name):
        raise ValueError("expected no spaces and no braces in the name of a field")
    return name


RawName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=200), AfterValidator(_check_name)
]
"""What a service calls a field."""


class SelectSettings(Shape):
    """How a service is asked for some fields alone."""

    parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter for the names of the fields that are wanted, of services that"
        " can send fewer. In a body they may stand in `template` instead, in place of"
        ' `"{fields}"`.',
        examples=["fields", "attributes", "$select"],
    )
    separator: Between = Field(default=",", description="What stands between two names.")
    wrap: Annotated[str, Field(max_length=1_024), AfterValidator(_check_wrap)] = Field(
        default=FIELDS,
        description="What stands around all names, in place of `{fields}`.",
        examples=["items({fields})"],
    )
    always: tuple[RawName, ...] = Field(
        default=(),
        description="Names that are always asked for, beside the key.",
        examples=[["updated_at"]],
    )
    names: Mapping[FieldName, tuple[RawName, ...]] = Field(
        default={},
        description="The names that a field of the record needs. By default those that its"
        " expression begins with, or what the record calls it.",
        examples=[{"display_name": ["first_name", "last_name"]}],
    )
