"""The custom scalars of the schema."""

from datetime import date, datetime
from typing import NewType

from strawberry import scalar
from strawberry.types.scalar import ScalarDefinition

from app.sources.base import MAX_SAFE_INTEGER

SafeInt = NewType("SafeInt", int)
"""An integer between -(2^53 - 1) and 2^53 - 1, which every JSON reader keeps exact."""


Url = NewType("Url", str)
"""An absolute address of the web."""


def write_time(value: datetime) -> str:
    """Serialize a time.

    Args:
        value: A time with an offset.

    Returns:
        The time as RFC 3339, with ``Z`` for UTC.
    """
    return value.isoformat().replace("+00:00", "Z")


def write_safe_int(value: int) -> int:
    """Serialize an integer that every JSON reader keeps exact.

    Args:
        value: The integer.

    Returns:
        The same integer.

    Raises:
        ValueError: The integer is beyond 2^53 - 1. Records refuse such values, so this is a bug.
    """
    if abs(value) > MAX_SAFE_INTEGER:
        raise ValueError("an integer beyond 2^53 - 1 came through its record")
    return value


DATE_TIME: ScalarDefinition = scalar(
    name="DateTime",
    description="A moment with its offset, as RFC 3339 writes it: `2026-06-01T09:30:00Z`.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
    serialize=write_time,
    parse_value=datetime.fromisoformat,
)

SAFE_INT: ScalarDefinition = scalar(
    name="SafeInt",
    description="An integer between -(2^53 - 1) and 2^53 - 1, which every JSON reader keeps exact.",
    serialize=write_safe_int,
    parse_value=int,
)

DATE: ScalarDefinition = scalar(
    name="Date",
    description="A day without a time, as RFC 3339 writes it: `2026-06-01`.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
    serialize=date.isoformat,
    parse_value=date.fromisoformat,
)

URL: ScalarDefinition = scalar(
    name="URL",
    description="An absolute address that begins with `http:` or `https:`, as RFC 3986 writes it.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3986",
    serialize=str,
    parse_value=str,
)
