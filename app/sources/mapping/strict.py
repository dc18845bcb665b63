"""Closing the gaps that pydantic's strict mode leaves open in JSON. Pure.

Strict mode still takes some values for others: the text ``"0"`` for a moment in 1970, ``true`` for
the ``1`` of a ``Literal``. A record must not make values up, so its schema is changed where it has
one of these types:

    datetime        text as in RFC 3339 and no other (``app/expressions/times.py``)
    date            text such as ``2026-06-01`` and no other
    Literal, Enum   a value of the same type as the expected one: ``true`` and ``1.0`` are no ``1``
"""

from collections.abc import Mapping
from enum import Enum
from typing import cast

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from app.expressions.money import InexactError
from app.expressions.times import from_rfc3339

_PLAIN_TIME = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"([Zz]|[+-][0-9]{2}:?[0-9]{2})?$"
)
"""The times of RFC 3339 that pydantic reads as ``from_rfc3339`` does, in a fraction of its time."""

_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

_CHANGED: Mapping[str, object] = {"without_made_up_values": True}
"""The metadata of a schema that has been changed already: that of a record within a record."""

_NO_SCHEMAS = frozenset({"metadata", "serialization", "config", "default", "expected", "members"})
"""Members of a schema that hold no schemas of values."""


def without_made_up_values(schema: CoreSchema, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Change the schema of a record so that it takes no JSON value for another.

    Args:
        schema: The schema.
        handler: Finds schemas that the schema only refers to.

    Returns:
        A changed copy. It takes the same as before from Python values.
    """

    def changed(part: object) -> object:
        if isinstance(part, list):
            return [changed(one) for one in cast("list[object]", part)]
        if isinstance(part, tuple):  # a choice of a union, with its label
            return tuple(changed(one) for one in cast("tuple[object, ...]", part))
        if not isinstance(part, dict):
            return part
        node = cast("dict[str, object]", part)
        if node.get("metadata") == _CHANGED:
            return node
        replacement = None
        if isinstance(node.get("type"), str):  # other than a collection of schemas by name
            replacement = _replacement(cast("CoreSchema", node), handler)
        return replacement or {
            name: value if name in _NO_SCHEMAS else changed(value) for name, value in node.items()
        }

    return cast("CoreSchema", changed(schema))


def _replacement(schema: CoreSchema, handler: GetCoreSchemaHandler) -> CoreSchema | None:
    """Make the schema that takes the place of another; ``None`` where that can stay."""
    # What is referred to may be an enumeration.
    target = handler.resolve_ref_schema(schema) if schema["type"] == "definition-ref" else schema
    expected: list[object]
    kind: str = target["type"]
    if kind == "datetime":
        time = _time(cast("core_schema.DatetimeSchema", target))
        return core_schema.json_or_python_schema(time, schema, metadata={**_CHANGED})
    if kind == "date":
        date = _date(cast("core_schema.DateSchema", target))
        return core_schema.json_or_python_schema(date, schema, metadata={**_CHANGED})
    if kind == "literal":
        expected = cast("core_schema.LiteralSchema", target)["expected"]
    elif kind == "enum":
        members = cast("list[Enum]", cast("core_schema.EnumSchema", target)["members"])
        expected = [one.value for one in members]
    else:
        return None
    # Text is equal to no other type. Without a check, it can still tell the types of a union apart.
    return None if all(isinstance(one, str) for one in expected) else _exactly(schema, expected)


def _time(schema: core_schema.DatetimeSchema) -> CoreSchema:
    """Make the schema of a time in JSON."""
    # Text comes from Python in the second step of a chain, where strict mode takes none.
    lax: core_schema.DatetimeSchema = {**schema, "strict": False}
    plain = core_schema.chain_schema([core_schema.str_schema(pattern=_PLAIN_TIME), lax])
    rest = core_schema.no_info_before_validator_function(_read_time, schema)
    return core_schema.union_schema(
        [plain, rest],
        mode="left_to_right",
        custom_error_type="time_rfc3339",
        custom_error_message="Input should be a time as in RFC 3339"
        + (", with an offset" if schema.get("tz_constraint") == "aware" else ""),
    )


def _date(schema: core_schema.DateSchema) -> CoreSchema:
    """Make the schema of a date in JSON."""
    lax: core_schema.DateSchema = {**schema, "strict": False}
    return core_schema.custom_error_schema(
        core_schema.chain_schema([core_schema.str_schema(pattern=_DATE), lax]),
        custom_error_type="date_rfc3339",
        custom_error_message="Input should be a date as in RFC 3339",
    )


def _read_time(value: object) -> object:
    """Read a time from text."""
    if not isinstance(value, str):
        return value
    try:
        return from_rfc3339(value)
    except InexactError as error:
        raise ValueError(str(error)) from error


def _exactly(schema: CoreSchema, expected: list[object]) -> CoreSchema:
    """Make a schema refuse values that are equal to an expected one and of another type."""

    def check(value: object) -> object:
        if any(type(one) is type(value) and one == value for one in expected):
            return value
        raise PydanticCustomError("other_value", "Input should be one of the expected values")

    checked = core_schema.no_info_before_validator_function(check, schema)
    return core_schema.json_or_python_schema(checked, schema, metadata={**_CHANGED})
