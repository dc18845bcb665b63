"""The scalars, and the objects inside a user's fields: each made of a source's record.

The scalars of the schema beside GraphQL's own.

The objects and words inside a user's fields. Each is made from a source's record, explicitly.
"""

from datetime import datetime
from enum import Enum
from typing import NewType

import strawberry
from strawberry import scalar
from strawberry.types.scalar import ScalarDefinition

from app.schema.fields import Projected, projects
from app.sources.base import MAX_SAFE_INTEGER
from app.sources.records import EventRecord, InvoiceRecord, MoneyRecord

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


@strawberry.enum(description="State of a user's subscription.")
class BillingStatus(Enum):
    """State of a subscription; a word that is new to us is ``UNKNOWN`` and breaks no client."""

    ACTIVE = strawberry.enum_value("active", description="Paid for.")
    TRIALING = strawberry.enum_value("trialing", description="In a trial.")
    PAST_DUE = strawberry.enum_value("past_due", description="A payment is late.")
    CANCELLED = strawberry.enum_value("cancelled", description="Ended, or about to.")
    UNKNOWN = strawberry.enum_value(
        "unknown", description="A state that this version of the schema has no word for."
    )

    @staticmethod
    def of(word: str) -> "BillingStatus":
        """Find the public word for the source's.

        Args:
            word: The source's word; either spelling of ``cancelled`` is right.

        Returns:
            The public word, ``UNKNOWN`` for one that we do not know.
        """
        return _WORDS.get(word) or _WORDS.get(word.lower(), BillingStatus.UNKNOWN)


_WORDS = {status.value: status for status in BillingStatus} | {"canceled": BillingStatus.CANCELLED}
"""Public words by those of sources. They are not remembered in other spellings: there is no end of
these, and a word may be long."""


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
