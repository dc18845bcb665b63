"""The size, the number and the depth of variables' values."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson

from app.errors import LimitError
from app.shapes.limits import LimitsSettings

_ENCODER_DEPTH = 250
"""How deep values may be for orjson to write them."""


def check_variables(values: Mapping[str, Any], limits: LimitsSettings) -> None:
    """Check what a client has given as variables.

    Everyday values are written once as JSON, which takes a microsecond, and no more is done.

    Args:
        values: Values by name, as JSON had them.
        limits: How long, how many and how deep they may be.

    Raises:
        LimitError: They are too long, too many or too deep.
    """
    if not values or not (
        limits.variables_bytes or limits.variables_values or limits.variables_depth
    ):
        return
    try:
        text = orjson.dumps(values)
    except (TypeError, ValueError):  # too deep for it, or a number that only Python can hold
        _check_depth(values, limits.variables_depth or _ENCODER_DEPTH)
        text = _written(values)
    if 0 < limits.variables_bytes < len(text):
        found = f"the variables have {len(text):,} bytes"
        raise LimitError("variables_bytes", limits.variables_bytes, found)
    within = text.count(b"[") + text.count(b"{")
    # Before each value stands a comma or the bracket that it is the first in.
    if text.count(b",") + within > limits.variables_values > 0:
        _check_number(values, limits.variables_values)
    if within > limits.variables_depth > 0:
        _check_depth(values, limits.variables_depth)


def _check_number(values: Mapping[str, Any], allowed: int) -> None:
    """Check how many values there are, and count no more than are allowed.

    A list of short values takes graphql-core far longer to coerce than its bytes take to read.
    """
    number = 0
    rest: list[Iterable[object]] = [values.values()]
    while rest:
        for one in rest.pop():
            number += 1
            if number > allowed:
                raise LimitError("variables_values", allowed, "the variables have more values")
            if (items := _items(one)) is not None:
                rest.append(items)


def _check_depth(values: Mapping[str, Any], allowed: int) -> None:
    """Check how deep the lists and objects in values are; the object of all of them is not one."""
    depth = 0
    level: Iterable[object] = values.values()
    while within := [items for one in level if (items := _items(one)) is not None]:
        depth += 1
        if depth > allowed:
            found = "the variables have more lists and objects in each other"
            raise LimitError("variables_depth", allowed, found)
        level = [one for items in within for one in items]


def _items(value: object) -> Iterable[object] | None:
    """List what is in a list or an object; ``None`` where it is neither."""
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else None


def _written(values: Mapping[str, Any]) -> bytes:
    """Write values that are too much for JSON."""
    try:
        return str(values).encode("utf-8", "replace")
    except ValueError as error:  # Python itself writes no numbers that long
        digits = sys.get_int_max_str_digits()
        found = "the variables have a number of more digits"
        raise LimitError("variables_digits", digits, found) from error
