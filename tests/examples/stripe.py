"""A fake of Stripe, localstripe, with customers."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from tests.examples import stripe_program
from tests.examples.serving import address_of, free_port, installed, program
from tests.examples.users import Json

KEY = "sk_test_0123456789"
PLANS = ("basic", "pro")
STATUSES = {"active": "ACTIVE", "incomplete": "UNKNOWN", None: None}


@dataclass(frozen=True)
class StripeFake:
    """A Stripe with customers, and the expected values of each.

    Attributes:
        client: A client of it.
        customers: Its customers.
    """

    client: httpx.Client
    customers: tuple[str, ...]

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of the gateway."""
        return {"GATEWAY_SOURCES__BILLING__BASE_URL": address_of(self.client), "STRIPE_KEY": KEY}

    def account(self, customer: str) -> Json:
        """Return the expected values of a customer, from one response of the server."""
        found: Json = self.client.get(f"/v1/customers/{customer}").raise_for_status().json()
        subscriptions: list[Json] = found["subscriptions"]["data"]
        first: Json = subscriptions[0] if subscriptions else {}
        ends = first.get("current_period_end")
        return {
            "plan": first.get("plan", {}).get("id"),
            "billingStatus": STATUSES[first.get("status")],
            "balance": {
                "amount": found["account_balance"],
                "currency": found["currency"].upper(),
            },
            "renewsAt": None if ends is None else datetime.fromtimestamp(ends, UTC),
        }

    def invoices(self, customer: str) -> list[Json]:
        """Return the expected invoices of a customer, newest first."""
        found = self.client.get("/v1/invoices", params={"customer": customer, "limit": 1_000})
        rows: list[Json] = found.raise_for_status().json()["data"]
        return [
            {
                "id": row["id"],
                "number": row["id"],
                "status": row["status"],
                "issuedAt": datetime.fromtimestamp(row["created"], UTC),
                "total": {"amount": row["total"], "currency": row["currency"].upper()},
            }
            for row in rows
        ]


@contextmanager
def stripe_server(folder: Path) -> Generator[httpx.Client]:
    """Run a Stripe with two plans and without customers; give a client of it."""
    installed("localstripe")
    port = free_port()
    command = [sys.executable, "-u", stripe_program.__file__, str(port)]
    with (
        program(command, ready="Running on", folder=folder),
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}", auth=(KEY, ""), trust_env=False
        ) as client,
    ):
        for plan in PLANS:
            fields = {"id": plan, "amount": "1900", "currency": "eur", "interval": "month"}
            client.post("/v1/plans", data={**fields, "product[name]": plan}).raise_for_status()
        yield client


def create(client: httpx.Client, number: int, **more: str) -> str:
    """Create a customer: with credit or debt, and every third without a subscription."""
    card = client.get("/v1/payment_methods/pm_card_visa").raise_for_status().json()["id"]
    data: Json = {
        "name": f"Ünal {number}",
        "balance": str(number * 1_234 - 10_000),
        "payment_method": card,
        "invoice_settings[default_payment_method]": card,
        **more,
    }
    answer: Json = client.post("/v1/customers", data=data).raise_for_status().json()
    customer: str = answer["id"]
    if number % 3:
        plan = PLANS[number % 2]
        terms = {"trial_period_days": "14"} if number % 3 == 2 else {}
        client.post(
            "/v1/subscriptions", data={"customer": customer, "items[0][plan]": plan, **terms}
        ).raise_for_status()
    return customer


def bill(client: httpx.Client, customer: str, number: int) -> None:
    """Create an invoice of a customer; every second one is paid, the others are drafts."""
    item = {"customer": customer, "amount": str(20_000 + number), "currency": "eur"}
    client.post("/v1/invoiceitems", data=item).raise_for_status()
    made = client.post("/v1/invoices", data={"customer": customer}).raise_for_status().json()
    if number % 2:
        client.post(f"/v1/invoices/{made['id']}/pay").raise_for_status()
