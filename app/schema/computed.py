"""Whether the value of a function fits the type of its field. Pure.

Rows are checked by their records. The values of an extension's functions are checked here, by the
same rules: nothing is converted, but for an integer in the place of a ``Float``.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from math import isfinite
from types import FunctionType
from typing import cast

from graphql import ListTypeNode, NonNullTypeNode, TypeNode, print_ast
from msgspec import Struct

from app.schema.definitions import SCALARS, EnumDefinition, ObjectDefinition, type_name
from app.sources.base import MAX_INT, MAX_SAFE_INTEGER
from app.sources.field_types import check_url

ValueCheck = Callable[[object], object]
"""Returns a value as the schema needs it. Raises ``ValueError`` if it does not fit."""


class ValueTypes(Struct, frozen=True):
    """The types of a schema, of which values are checked.

    Attributes:
        objects: The objects by name.
        enums: The enums by name.
    """

    objects: Mapping[str, ObjectDefinition]
    enums: Mapping[str, EnumDefinition]

    def check(self, kind: TypeNode) -> ValueCheck:
        """Make the check for a type.

        Args:
            kind: The type. Its name is a scalar, or one of these types.

        Returns:
            The check.
        """
        if isinstance(kind, NonNullTypeNode):
            inner = self._not_null(kind.type)
            return lambda value: _unfit(value, kind) if value is None else inner(value)
        inner = self._not_null(kind)
        return lambda value: None if value is None else inner(value)

    def _not_null(self, kind: TypeNode) -> ValueCheck:
        """Make the check of a value that is not ``None``."""
        if isinstance(kind, ListTypeNode):
            item = self.check(kind.type)
            return lambda value: (
                [item(one) for one in cast("Sequence[object]", value)]
                if isinstance(value, list | tuple)
                else _unfit(value, kind)
            )
        name = type_name(kind)
        if name in SCALARS:
            fits = _SCALARS[name]
            return lambda value: _unfit(value, kind) if (one := fits(value)) is None else one
        if name in self.enums:
            words, others = self.enums[name].words, self.enums[name].unknown is not None
            return lambda value: (
                value
                if isinstance(value, str) and (others or value.lower() in words)
                else _unfit(value, kind)
            )
        return self._object(self.objects[name])

    def _object(self, definition: ObjectDefinition) -> ValueCheck:
        """Make the check of an object. A fast path reads rows into others than the record."""
        parts = [(one.attribute, self.check(one.kind)) for one in definition.fields]

        def check(value: object) -> object:
            for attribute, part in parts:
                if not hasattr(value, attribute):
                    raise ValueError(
                        f"{type(value).__name__} has no {attribute}: expected {definition.name}"
                    )
                part(getattr(value, attribute))
            return value

        return check


def _unfit(value: object, kind: TypeNode) -> object:
    """Refuse a value. It may be personal, so only its type is named."""
    found = "nothing" if value is None else type(value).__name__
    raise ValueError(f"the value is {found}: expected {print_ast(kind)}")


def _text(value: object) -> str | None:
    """Return text that JSON can write."""
    if not isinstance(value, str):
        return None
    value.encode()  # raises ValueError for a part of a character
    return value


def _integer(value: object, *, lowest: int, highest: int) -> int | None:
    """Return an integer within limits."""
    return value if type(value) is int and lowest <= value <= highest else None


def _float(value: object) -> float | None:
    """Return a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if isfinite(value) else None


def _time(value: object) -> datetime | None:
    """Return a time with an offset, which RFC 3339 writes in minutes."""
    if not isinstance(value, datetime) or (offset := value.utcoffset()) is None:
        return None
    if offset % timedelta(minutes=1):
        return None
    return value


def _day(value: object) -> date | None:
    """Return a day without a time."""
    return value if isinstance(value, date) and not isinstance(value, datetime) else None


def _url(value: object) -> str | None:
    """Return an address of the web."""
    return check_url(value) if isinstance(value, str) else None


_SCALARS: Mapping[str, Callable[[object], object]] = {
    "String": _text,
    "ID": _text,
    "Int": lambda value: _integer(value, lowest=-MAX_INT - 1, highest=MAX_INT),
    "SafeInt": lambda value: _integer(value, lowest=-MAX_SAFE_INTEGER, highest=MAX_SAFE_INTEGER),
    "Float": _float,
    "Boolean": lambda value: value if isinstance(value, bool) else None,
    "DateTime": _time,
    "Date": _day,
    "URL": _url,
}
"""The value of each scalar; ``None`` or ``ValueError`` if it does not fit."""


def page_function_mistake(function: object) -> str | None:
    """Find whether a function can be called for the pages of a list.

    Args:
        function: The function.

    Returns:
        What is wrong; ``None`` if nothing is.
    """
    if isinstance(function, FunctionType) and not iscoroutinefunction(function):
        return "has pages that are not async: expected async def, because pages are waited for."
    if not callable(function):
        return "has pages that are no function."
    try:
        signature(function).bind("query", "call")
    except TypeError:
        return "has pages that do not take 2 values: expected a parameter for each of query, call."
    except ValueError:
        return None  # a function of C, which says nothing of its parameters
    return None


def arity_mistake(function: object, inputs: Sequence[str]) -> str | None:
    """Find whether a function can be called with values.

    Args:
        function: The function.
        inputs: The names of the values, in their order.

    Returns:
        What is wrong; ``None`` if nothing is.
    """
    if not callable(function):
        return "has a compute that is no function."
    if iscoroutinefunction(function):
        return "has a compute that is async: expected a plain function, because it must not wait."
    if isgeneratorfunction(function) or isasyncgenfunction(function):
        return (
            "has a compute that is a generator: expected a plain function that returns the value."
        )
    try:
        signature(function).bind(*inputs)
    except TypeError:
        match inputs:
            case ():
                what = "takes values, and reads none: expected the names of them in reads"
            case (name,):
                what = f"does not take 1 value: expected a parameter for {name}"
            case _:
                names = ", ".join(inputs)
                what = (
                    f"does not take {len(inputs)} values: expected a parameter for each of {names}"
                )
        return f"has a compute that {what}."
    except ValueError:
        return None  # a function of C, which says nothing of its parameters
    return None
