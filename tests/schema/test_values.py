"""The public words of billing statuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.schema.default import BILLING_STATUS
from tests.conftest import GatewayClient
from tests.fakes import FakeServices, account_row, user_id

STATUS_OF = BILLING_STATUS.name_for

WORDS = {
    "active": "ACTIVE",
    "trialing": "TRIALING",
    "past_due": "PAST_DUE",
    "cancelled": "CANCELLED",
    "canceled": "CANCELLED",
    "unknown": "UNKNOWN",
}


@pytest.mark.parametrize(("word", "status"), WORDS.items())
def test_every_status_of_billing_has_its_public_value(word: str, status: str) -> None:
    assert STATUS_OF(word) == status
    assert STATUS_OF(word.upper()) == status


@given(word=st.text())
def test_any_new_status_of_billing_is_unknown(word: str) -> None:
    expected = WORDS.get(word.lower(), "UNKNOWN")

    assert STATUS_OF(word) == expected


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
async def test_clients_get_the_public_status(
    gateway: GatewayClient, services: FakeServices, word: str, public: str
) -> None:
    services.billing.rows[user_id(1)] = account_row(1, status=word)

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ billingStatus }} }}')

    assert reply.body == {"data": {"user": {"billingStatus": public}}}
