"""The objects and words inside a user's fields. Each is made from a source's record, explicitly."""

from datetime import datetime
from enum import Enum

import strawberry

from app.graphql.fields import Shown, shows
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
class Money(Shown[MoneyRecord]):
    """An amount of money."""

    amount: SafeInt = shows(
        MoneyRecord,
        "amount",
        "In the minor unit of the currency: cents for EUR, yen for JPY.",
    )
    currency: str = shows(MoneyRecord, "currency", "ISO 4217 code, such as `EUR`.")


@strawberry.type(description="Something that a user did.")
class Event(Shown[EventRecord]):
    """Something that a user did."""

    id: strawberry.ID = shows(EventRecord, "id", "Identifies the event.")
    type: str = shows(EventRecord, "type", "What was done, such as `login`.")
    occurred_at: datetime = shows(EventRecord, "occurred_at", "When it was done.")


@strawberry.type(description="A bill that was sent to a user.")
class Invoice(Shown[InvoiceRecord]):
    """A bill that was sent to a user."""

    id: strawberry.ID = shows(InvoiceRecord, "id", "Identifies the invoice.")
    number: str = shows(InvoiceRecord, "number", "The number printed on it.")
    status: str = shows(InvoiceRecord, "status", "Its state in billing's words, such as `paid`.")
    issued_at: datetime = shows(InvoiceRecord, "issued_at", "When it was issued.")
    total: Money = shows(InvoiceRecord, "total", "What it asks for.", of=Money.of)
