"""The records of the default sources.

The profile source knows who a user is. The billing source knows what a user pays, and lists the
invoices. The activity source knows what a user does.
"""

from pydantic import AwareDatetime, Field

from app.sources.base import MAX_INT, MAX_SAFE_INTEGER, PageSpec, Record, SourceSpec


class ProfileRecord(Record):
    """A row of ``GET /users``."""

    id: str = Field(description="The user.")
    username: str | None = Field(default=None, description="Name that the user signs in with.")
    display_name: str | None = Field(default=None, description="Name that others see.")
    email: str | None = Field(default=None, description="Mail address.")
    avatar_url: str | None = Field(default=None, description="Address of a picture.")
    locale: str | None = Field(default=None, description="Language and region, BCP 47.")
    created_at: AwareDatetime | None = Field(
        default=None, description="When the user signed up, RFC 3339."
    )


PROFILE = SourceSpec(name="profile", record=ProfileRecord, path="/users", parameter="id", key="id")


class MoneyRecord(Record):
    """An amount of money in a row of billing."""

    amount: int = Field(
        ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER, description="In the currency's minor unit."
    )
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.")


class AccountRecord(Record):
    """A row of ``GET /accounts``."""

    user_id: str = Field(description="The user.")
    plan: str | None = Field(default=None, description="Name of the plan.")
    status: str | None = Field(
        default=None, description="State of the subscription, in the source's own words."
    )
    balance: MoneyRecord | None = Field(
        default=None, description="What is owed (positive) or in credit (negative)."
    )
    renews_at: AwareDatetime | None = Field(
        default=None, description="When the plan renews, RFC 3339."
    )


class InvoiceRecord(Record):
    """An item of ``GET /invoices``."""

    id: str = Field(max_length=2_048, description="The invoice.")
    number: str = Field(description="Number printed on it.")
    status: str = Field(description="State of the invoice, in the source's own words.")
    issued_at: AwareDatetime = Field(description="When it was issued, RFC 3339.")
    total: MoneyRecord = Field(description="What it asks for.")


BILLING = SourceSpec(
    name="billing", record=AccountRecord, path="/accounts", parameter="userId", key="user_id"
)

INVOICES = PageSpec(
    name="billing",
    list="invoices",
    record=InvoiceRecord,
    path="/invoices",
    parameter="userId",
    key="id",
)


class EventRecord(Record):
    """An event: something that a user did."""

    id: str = Field(description="The event.")
    type: str = Field(description="What was done, in the source's own words.")
    occurred_at: AwareDatetime = Field(description="When, RFC 3339.")


class ActivityRecord(Record):
    """A row of ``GET /summaries``."""

    user_id: str = Field(description="The user.")
    last_seen_at: AwareDatetime | None = Field(
        default=None, description="When last seen, RFC 3339."
    )
    login_count: int | None = Field(
        default=None, ge=0, le=MAX_INT, description="How often the user has signed in."
    )
    events: tuple[EventRecord, ...] | None = Field(
        default=None, description="The latest events, newest first."
    )


ACTIVITY = SourceSpec(
    name="activity", record=ActivityRecord, path="/summaries", parameter="userId", key="user_id"
)
