"""The objects and words inside a user's fields."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.schema.values import BillingStatus, Event, Invoice, Money
from app.sources.records import EventRecord, InvoiceRecord, MoneyRecord
from tests.conftest import GatewayClient
from tests.fakes import FakeServices, account_row, event, invoice, user_id

WORDS = {
    "active": BillingStatus.ACTIVE,
    "trialing": BillingStatus.TRIALING,
    "past_due": BillingStatus.PAST_DUE,
    "cancelled": BillingStatus.CANCELLED,
    "canceled": BillingStatus.CANCELLED,
    "unknown": BillingStatus.UNKNOWN,
}


@pytest.mark.parametrize(("word", "status"), WORDS.items())
def test_every_word_of_billing_has_its_public_word(word: str, status: BillingStatus) -> None:
    assert BillingStatus.of(word) is status
    assert BillingStatus.of(word.upper()) is status


@given(word=st.text())
def test_any_new_word_is_unknown_and_breaks_nothing(word: str) -> None:
    expected = WORDS.get(word.lower(), BillingStatus.UNKNOWN)

    assert BillingStatus.of(word) is expected


@pytest.mark.parametrize(
    ("word", "public"),
    [
        ("active", "ACTIVE"),
        ("trialing", "TRIALING"),
        ("past_due", "PAST_DUE"),
        ("canceled", "CANCELLED"),
        ("cancelled", "CANCELLED"),
        ("paused", "UNKNOWN"),
        ("", "UNKNOWN"),
    ],
)
async def test_clients_see_the_public_word(
    gateway: GatewayClient, services: FakeServices, word: str, public: str
) -> None:
    services.billing.rows[user_id(1)] = account_row(1, status=word)

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ billingStatus }} }}')

    assert reply.body == {"data": {"user": {"billingStatus": public}}}


def test_money_is_the_record_s_amount_and_currency() -> None:
    money = Money.of(MoneyRecord.model_validate_json('{"amount": -5, "currency": "EUR"}'))

    assert (money.amount, money.currency) == (-5, "EUR")


def test_an_event_is_the_record_s_id_type_and_time() -> None:
    record = EventRecord.model_validate_json(json.dumps(event(3)))

    made = Event.of(record)

    assert (made.id, made.type, made.occurred_at) == ("e3", "login", record.occurred_at)


def test_an_invoice_is_all_that_the_record_has() -> None:
    record = InvoiceRecord.model_validate_json(json.dumps(invoice(7)))

    made = Invoice.of(record)

    assert (made.id, made.number, made.status) == ("inv-7", "2026-0007", "paid")
    assert made.issued_at == record.issued_at
    assert (made.total.amount, made.total.currency) == (7, "EUR")
