"""Stricter parsing of JSON than pydantic's strict mode. Pure.

Strict mode still converts some values: the text ``"0"`` to a time in 1970, ``true`` to the ``1`` of
a ``Literal``. A record must not do that, so its schema is changed for these types:

    datetime        only text as in RFC 3339 (``app/expressions/times.py``)
    date            only text such as ``2026-06-01``
    Literal, Enum   only a value of the expected type: ``true`` and ``1.0`` are not ``1``
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
"""The times of RFC 3339 that pydantic reads like ``from_rfc3339``, but much faster."""

_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

_CHANGED: Mapping[str, object] = {"without_made_up_values": True}
"""Marks a schema that is changed already, such as that of a record within a record."""

_NO_SCHEMAS = frozenset({"metadata", "serialization", "config", "default", "expected", "members"})
"""Members of a schema that are not schemas of values."""


def without_made_up_values(schema: CoreSchema, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Change the schema of a record so that it converts no JSON value to another.

    Args:
        schema: The schema.
        handler: Resolves references to other schemas.

    Returns:
        A changed copy. It accepts the same Python values as before.
    """

    def changed(part: object) -> object:
        if isinstance(part, list):
            return [changed(item) for item in cast("list[object]", part)]
        if isinstance(part, tuple):  # a choice of a union, with its label
            return tuple(changed(item) for item in cast("tuple[object, ...]", part))
        if not isinstance(part, dict):
            return part
        node = cast("dict[str, object]", part)
        if node.get("metadata") == _CHANGED:
            return node
        replacement = None
        if isinstance(node.get("type"), str):  # not a mapping from names to schemas
            replacement = _replacement(cast("CoreSchema", node), handler)
        return replacement or {
            name: value if name in _NO_SCHEMAS else changed(value) for name, value in node.items()
        }

    return cast("CoreSchema", changed(schema))


def _replacement(schema: CoreSchema, handler: GetCoreSchemaHandler) -> CoreSchema | None:
    """Return the replacement of a schema; ``None`` if it needs none."""
    # A reference may lead to an enumeration.
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
        expected = [member.value for member in members]
    else:
        return None
    # Text equals no value of another type. Without a check it can still discriminate a union.
    only_text = all(isinstance(value, str) for value in expected)
    return None if only_text else _exactly(schema, expected)


def _time(schema: core_schema.DatetimeSchema) -> CoreSchema:
    """Return the schema of a time in JSON."""
    # In the second step of a chain, text counts as a Python value, which strict mode refuses.
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
    """Return the schema of a date in JSON."""
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
    """Return a schema that refuses values of another type, even if they equal an expected value."""

    def check(value: object) -> object:
        if any(type(right) is type(value) and right == value for right in expected):
            return value
        raise PydanticCustomError("other_value", "Input should be one of the expected values")

    checked = core_schema.no_info_before_validator_function(check, schema)
    return core_schema.json_or_python_schema(checked, schema, metadata={**_CHANGED})
