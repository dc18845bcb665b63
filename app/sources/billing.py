"""The billing source: what a user pays, and the list of their invoices."""

from pydantic import AwareDatetime, Field

from app.sources.base import MAX_SAFE_INTEGER, PageSpec, Record, SourceSpec


class MoneyRecord(Record):
    """An amount of money, as billing writes it."""

    amount: int = Field(
        ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER, description="In the currency's minor unit."
    )
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.")


class AccountRecord(Record):
    """A row of ``GET /accounts``."""

    user_id: str = Field(description="The user.")
    plan: str = Field(description="Name of the plan.")
    status: str = Field(description="State of the subscription, in the source's own words.")
    balance: MoneyRecord = Field(description="What is owed (positive) or in credit (negative).")
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
    name="billing", item=InvoiceRecord, path="/invoices", parameter="userId", key="id"
)
