"""The custom scalars, and the objects and enums inside a user's fields, made from records."""

from collections.abc import Mapping
from datetime import datetime
from typing import NewType

import strawberry
from strawberry import scalar
from strawberry.types.scalar import ScalarDefinition

from app.schema.fields import Projected, Vocabulary, projects
from app.sources.base import MAX_SAFE_INTEGER
from app.sources.records import EventRecord, InvoiceRecord, MoneyRecord

SafeInt = NewType("SafeInt", int)
"""An integer between -(2^53 - 1) and 2^53 - 1, which every JSON reader keeps exact."""


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


@strawberry.enum(description="State of a user's subscription.")
class BillingStatus(Vocabulary):
    """State of a subscription. A new state of the source is ``UNKNOWN``, so no client breaks."""

    ACTIVE = strawberry.enum_value("active", description="Paid for.")
    TRIALING = strawberry.enum_value("trialing", description="In a trial.")
    PAST_DUE = strawberry.enum_value("past_due", description="A payment is late.")
    CANCELLED = strawberry.enum_value("cancelled", description="Ended, or about to.")
    UNKNOWN = strawberry.enum_value(
        "unknown", description="A state that this version of the schema has no word for."
    )

    @classmethod
    def words(cls) -> "Mapping[str, BillingStatus]":
        """Return the known words, as ``Vocabulary.words`` says."""
        return {**{status.name.lower(): status for status in cls}, "canceled": cls.CANCELLED}

    @classmethod
    def of(cls, word: str) -> "BillingStatus":
        """Return the public state for a state of the source.

        Args:
            word: The source's word, in any case. ``canceled`` is ``cancelled``.

        Returns:
            The public state; ``UNKNOWN`` for an unknown word.
        """
        return _STATUSES.get(word) or _STATUSES.get(word.lower(), BillingStatus.UNKNOWN)


_STATUSES = BillingStatus.words()
"""Public states by the words of sources. Other spellings are not cached: their number and length
have no limit."""


@strawberry.type(description="An amount of money.")
class Money(Projected[MoneyRecord]):
    """An amount of money."""

    amount: SafeInt = projects(
        MoneyRecord,
        "amount",
        "In the minor unit of the currency: cents for EUR, yen for JPY.",
    )
    currency: str = projects(MoneyRecord, "currency", "ISO 4217 code, such as `EUR`.")


@strawberry.type(description="Something that a user did.")
class Event(Projected[EventRecord]):
    """Something that a user did."""

    id: strawberry.ID = projects(EventRecord, "id", "Identifies the event.")
    type: str = projects(EventRecord, "type", "What was done, such as `login`.")
    occurred_at: datetime = projects(EventRecord, "occurred_at", "When it was done.")


@strawberry.type(description="A bill that was sent to a user.")
class Invoice(Projected[InvoiceRecord]):
    """A bill that was sent to a user."""

    id: strawberry.ID = projects(InvoiceRecord, "id", "Identifies the invoice.")
    number: str = projects(InvoiceRecord, "number", "The number printed on it.")
    status: str = projects(InvoiceRecord, "status", "Its state in billing's words, such as `paid`.")
    issued_at: datetime = projects(InvoiceRecord, "issued_at", "When it was issued.")
    total: Money = projects(InvoiceRecord, "total", "What it asks for.", of=Money.of)
