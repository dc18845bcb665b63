"""What the fields of records hold, by their types. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from types import NoneType
from typing import get_args, get_origin

from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo


class Kind(StrEnum):
    """What a field of a record holds. The value says it in words."""

    TEXT = "text"
    NUMBER = "a whole number"
    TIME = "a time"
    MONEY = "an amount of money, with its currency"
    LIST = "a list of objects"
    OTHER = "another value"

    def pattern(self, name: str) -> str:
        """Write an example of an expression for a field.

        Args:
            name: The name of the field.

        Returns:
            An expression that reads a property of that name.
        """
        return _PATTERNS.get(self, "{name}").format(name=name)

    def pattern_of_rows(self, name: str) -> str:
        """Write an example of an expression for a field that is read from several rows.

        Args:
            name: The name of the field.

        Returns:
            An expression that counts rows, or reads a property of the first one.
        """
        return "length([?…])" if self is Kind.NUMBER else self.pattern(f"[0].{name}")


_PATTERNS: Mapping[Kind, str] = {
    Kind.TIME: "iso_time({name})",
    Kind.MONEY: "money_minor({name}, currency)",
    Kind.LIST: "{name}[].{{…}}",
}

_MONEY = frozenset({"amount", "currency"})


def kind_of(info: FieldInfo) -> Kind:
    """Return what a field holds.

    Args:
        info: The field.

    Returns:
        The kind; ``OTHER`` for a type that no property is matched with.
    """
    annotation = _without_null(info)
    if annotation is str:
        return Kind.TEXT
    if annotation is int:
        return Kind.NUMBER
    if annotation is AwareDatetime:
        return Kind.TIME
    if item_of(info) is not None:
        return Kind.LIST
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Kind.MONEY if annotation.model_fields.keys() == _MONEY else Kind.OTHER
    return Kind.OTHER


def item_of(info: FieldInfo) -> type[BaseModel] | None:
    """Return the model of the items of a list.

    Args:
        info: The field.

    Returns:
        The model; ``None`` if the field holds no list of objects.
    """
    annotation = _without_null(info)
    items = get_args(annotation)[:1] if get_origin(annotation) is tuple else ()
    models = [one for one in items if isinstance(one, type) and issubclass(one, BaseModel)]
    return models[0] if models else None


def _without_null(info: FieldInfo) -> object:
    """Return the type of a field, without null."""
    args = get_args(info.annotation)
    kinds = [one for one in args if one is not NoneType]
    return kinds[0] if NoneType in args and len(kinds) == 1 else info.annotation
