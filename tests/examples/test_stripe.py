"""Stripe, as docs/sources/stripe.md has it, against localstripe."""

from collections import Counter
from collections.abc import Generator

import pytest

from tests.examples.conftest import OpenPage
from tests.examples.page import ExamplePage
from tests.examples.stripe import PLANS, Books, create, stripe_server
from tests.examples.users import BILLING, users_of

PAGE = ExamplePage("stripe")


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Generator[Books]:
    """Give the books of 20 customers."""
    with stripe_server(tmp_path_factory.mktemp("stripe")) as client:
        customers = tuple(create(client, number) for number in range(20))
        yield Books(client, customers)


async def test_each_field_of_each_customer_is_what_the_server_says(
    books: Books, open_page: OpenPage
) -> None:
    async with open_page(PAGE, books.variables) as gateway:
        users = await users_of(gateway, BILLING, books.customers)

    expected = [books.account(customer) for customer in books.customers]
    assert users == expected
    assert {account["billingStatus"] for account in expected} == {"ACTIVE", "UNKNOWN", None}
    assert {account["plan"] for account in expected} == {*PLANS, None}


@pytest.mark.parametrize(
    ("fields", "endpoints"),
    [
        ("plan billingStatus renewsAt", {"billing.subscription"}),
        ("balance { amount }", {"billing.customer"}),
        (BILLING, {"billing.subscription", "billing.customer"}),
    ],
)
async def test_only_the_endpoints_are_called_that_have_what_is_asked_for(
    books: Books, open_page: OpenPage, fields: str, endpoints: set[str]
) -> None:
    async with open_page(PAGE, books.variables) as gateway:
        await users_of(gateway, fields, books.customers[:3])

    calls = Counter(event["source"] for event in gateway.events("source.fetch"))
    assert calls == dict.fromkeys(endpoints, 3)


async def test_a_customer_that_the_server_does_not_have_is_null(
    books: Books, open_page: OpenPage
) -> None:
    async with open_page(PAGE, books.variables) as gateway:
        users = await users_of(gateway, "plan", ["cus_unknown", books.customers[1]])

    assert users == [None, {"plan": "pro"}]


async def test_with_a_key_that_is_none_billing_fails_and_says_so(
    books: Books, open_page: OpenPage
) -> None:
    variables = {**books.variables, "STRIPE_KEY": "pk_test_0123456789"}
    async with open_page(PAGE, variables) as gateway:
        reply = await gateway.query(f'{{ user(id: "{books.customers[0]}") {{ plan }} }}')

    assert reply.codes == {"user.plan": "SOURCE_REJECTED"}
