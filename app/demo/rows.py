"""The rows that the three services answer: the sources' contract (DESIGN, section 5), as written.

These models write; the gateway's records read. They are two things on purpose: a service and its
caller agree on a contract, not on code.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Row(BaseModel):
    """A frozen value whose JSON names are in camel case."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class UserRow(Row):
    """Who a user is, as the profile service says it. Absent values are written as null."""

    id: str = Field(description="The user's id.")
    username: str = Field(description="Unique, lower case, ASCII.")
    display_name: str = Field(description="The name as its bearer writes it, in any script.")
    email: str = Field(description="An address at a reserved example domain (RFC 2606).")
    avatar_url: str | None = Field(description="Where the picture is, if there is one.")
    locale: str | None = Field(description="A BCP 47 language tag, if one was chosen.")
    created_at: datetime = Field(description="When the user signed up, in UTC.")


class Money(Row):
    """An amount of money."""

    amount: int = Field(description="In the currency's minor unit: cents, fils, or whole yen.")
    currency: str = Field(description="An ISO 4217 code.")


class AccountRow(Row):
    """What a user pays, as the billing service says it. Absent values are left out."""

    user_id: str = Field(description="The user's id.")
    plan: str = Field(description="free, starter, pro or enterprise.")
    status: str = Field(description="In lower case; the service may have words of its own.")
    balance: Money = Field(description="What the user owes; below zero is credit.")
    renews_at: datetime | None = Field(description="When the plan renews, if it does, in UTC.")


class InvoiceRow(Row):
    """One invoice of an account."""

    id: str = Field(description="The invoice's id.")
    number: str = Field(description="What people call it; unique.")
    status: str = Field(description="paid, open, void or uncollectible.")
    issued_at: datetime = Field(description="When it was issued, in UTC.")
    total: Money = Field(description="What it asks for.")


class EventRow(Row):
    """One thing that a user did."""

    id: str = Field(description="The event's id.")
    type: str = Field(description="What was done, such as signed_in.")
    occurred_at: datetime = Field(description="When, in UTC.")


class SummaryRow(Row):
    """What a user does, as the activity service says it. Absent values are written as null."""

    user_id: str = Field(description="The user's id.")
    last_seen_at: datetime | None = Field(description="The newest event's time, in UTC.")
    login_count: int = Field(description="How often the user signed in, ever.")
    events: tuple[EventRow, ...] = Field(description="The newest twenty at most, newest first.")
