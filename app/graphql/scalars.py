"""The scalars of the schema beside GraphQL's own."""

from datetime import datetime
from typing import NewType

from strawberry import scalar
from strawberry.types.scalar import ScalarDefinition

from app.sources.base import MAX_SAFE_INTEGER

SafeInt = NewType("SafeInt", int)
"""An integer that every client keeps exact."""


def write_time(value: datetime) -> str:
    """Write a time.

    Args:
        value: A time with an offset.

    Returns:
        RFC 3339, with ``Z`` for UTC.
    """
    return value.isoformat().replace("+00:00", "Z")


def write_safe_int(value: int) -> int:
    """Write an integer that is exact in every JSON reader.

    Args:
        value: The integer.

    Returns:
        The same integer.

    Raises:
        ValueError: It is too large for that; the records do not let one through.
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
