"""The objects and words inside a user's fields. Each is made from a source's record, explicitly."""

from datetime import datetime
from enum import Enum
from typing import Self

import strawberry

from app.graphql.scalars import SafeInt
from app.sources.activity import EventRecord
from app.sources.billing import InvoiceRecord, MoneyRecord


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

    @classmethod
    def of(cls, word: str) -> "BillingStatus":
        """Find the public word for the source's.

        Args:
            word: The source's word; either spelling of ``cancelled`` is right.

        Returns:
            The public word, ``UNKNOWN`` for one that we do not know.
        """
        known = {status.value: status for status in cls} | {"canceled": cls.CANCELLED}
        return known.get(word.lower(), cls.UNKNOWN)


@strawberry.type(description="An amount of money.")
class Money:
    """An amount of money."""

    amount: SafeInt = strawberry.field(
        description="In the minor unit of the currency: cents for EUR, yen for JPY."
    )
    currency: str = strawberry.field(description="ISO 4217 code, such as `EUR`.")

    @classmethod
    def of(cls, record: MoneyRecord) -> Self:
        """Make it from billing's record."""
        return cls(amount=SafeInt(record.amount), currency=record.currency)


@strawberry.type(description="Something that a user did.")
class Event:
    """Something that a user did."""

    id: strawberry.ID = strawberry.field(description="Identifies the event.")
    type: str = strawberry.field(description="What was done, such as `login`.")
    occurred_at: datetime = strawberry.field(description="When it was done.")

    @classmethod
    def of(cls, record: EventRecord) -> Self:
        """Make it from activity's record."""
        return cls(id=strawberry.ID(record.id), type=record.type, occurred_at=record.occurred_at)


@strawberry.type(description="A bill that was sent to a user.")
class Invoice:
    """A bill that was sent to a user."""

    id: strawberry.ID = strawberry.field(description="Identifies the invoice.")
    number: str = strawberry.field(description="The number printed on it.")
    status: str = strawberry.field(description="Its state in billing's words, such as `paid`.")
    issued_at: datetime = strawberry.field(description="When it was issued.")
    total: Money = strawberry.field(description="What it asks for.")

    @classmethod
    def of(cls, record: InvoiceRecord) -> Self:
        """Make it from billing's record."""
        return cls(
            id=strawberry.ID(record.id),
            number=record.number,
            status=record.status,
            issued_at=record.issued_at,
            total=Money.of(record.total),
        )
