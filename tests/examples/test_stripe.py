"""Stripe with the configuration of docs/sources/stripe.md, against localstripe."""

from collections import Counter
from collections.abc import Generator

import pytest

from tests.examples.conftest import OpenPage
from tests.examples.page import ExamplePage
from tests.examples.stripe import PLANS, StripeFake, bill, create, stripe_server
from tests.examples.users import BILLING, users_of, with_times

PAGE = ExamplePage("stripe")


@pytest.fixture(scope="module")
def stripe_fake(tmp_path_factory: pytest.TempPathFactory) -> Generator[StripeFake]:
    """Give a Stripe with 20 customers."""
    with stripe_server(tmp_path_factory.mktemp("stripe")) as client:
        customers = tuple(create(client, number) for number in range(20))
        for number in range(23):
            bill(client, customers[1], number)
        yield StripeFake(client, customers)


async def test_each_customer_has_the_values_of_the_server(
    stripe_fake: StripeFake, open_page: OpenPage
) -> None:
    async with open_page(PAGE, stripe_fake.variables) as gateway:
        users = await users_of(gateway, BILLING, stripe_fake.customers)

    expected = [stripe_fake.account(customer) for customer in stripe_fake.customers]
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
async def test_only_endpoints_of_selected_fields_are_called(
    stripe_fake: StripeFake, open_page: OpenPage, fields: str, endpoints: set[str]
) -> None:
    async with open_page(PAGE, stripe_fake.variables) as gateway:
        await users_of(gateway, fields, stripe_fake.customers[:3])

    calls = Counter(event["source"] for event in gateway.events("source.fetch"))
    assert calls == dict.fromkeys(endpoints, 3)


async def test_an_unknown_customer_is_null(stripe_fake: StripeFake, open_page: OpenPage) -> None:
    async with open_page(PAGE, stripe_fake.variables) as gateway:
        users = await users_of(gateway, "plan", ["cus_unknown", stripe_fake.customers[1]])

    assert users == [None, {"plan": "pro"}]


NODE = "id number status issuedAt total { amount currency }"
INVOICES = f"""
query($id: ID!, $first: Int, $after: String) {{
  user(id: $id) {{
    invoices(first: $first, after: $after) {{
      edges {{ node {{ {NODE} }} }} pageInfo {{ hasNextPage endCursor }}
    }}
  }}
}}
"""


@pytest.mark.parametrize("first", [5, 20, 100])
async def test_each_invoice_of_all_pages_has_the_values_of_the_server(
    stripe_fake: StripeFake, open_page: OpenPage, first: int
) -> None:
    customer = stripe_fake.customers[1]
    nodes: list[object] = []
    pages = 0
    async with open_page(PAGE, stripe_fake.variables) as gateway:
        after: str | None = None
        while pages == 0 or after is not None:
            reply = await gateway.query(INVOICES, id=customer, first=first, after=after)
            assert not reply.errors
            page = reply.data["user"]["invoices"]
            nodes += [edge["node"] for edge in page["edges"]]
            after = page["pageInfo"]["endCursor"] if page["pageInfo"]["hasNextPage"] else None
            pages += 1

    expected = stripe_fake.invoices(customer)
    assert with_times(nodes) == expected
    assert {invoice["status"] for invoice in expected} == {"draft", "paid"}
    paths = Counter(event["path"] for event in gateway.events("source.fetch"))
    assert paths == {"/v1/customers/{key}": pages, "/v1/invoices": pages}
    assert pages == -(-len(expected) // first)


async def test_a_customer_without_a_subscription_has_a_list_of_invoices(
    stripe_fake: StripeFake, open_page: OpenPage
) -> None:
    query = f'{{ user(id: "%s") {{ plan invoices {{ edges {{ node {{ {NODE} }} }} }} }} }}'
    async with open_page(PAGE, stripe_fake.variables) as gateway:
        known = await gateway.query(query % stripe_fake.customers[0])
        unknown = await gateway.query(query % "cus_unknown")

    assert known.body == {"data": {"user": {"plan": None, "invoices": {"edges": []}}}}
    assert unknown.body == {"data": {"user": None}}


async def test_an_unknown_path_is_an_error_and_not_an_empty_list(
    stripe_fake: StripeFake, open_page: OpenPage
) -> None:
    variables = {
        **stripe_fake.variables,
        "GATEWAY_SOURCES__BILLING__LISTS__INVOICES__PATH": "/invoices",
    }
    async with open_page(PAGE, variables) as gateway:
        reply = await gateway.query(INVOICES, id=stripe_fake.customers[1])

    assert reply.codes == {"user.invoices": "SOURCE_REJECTED"}


async def test_an_invalid_api_key_is_a_failure_of_billing(
    stripe_fake: StripeFake, open_page: OpenPage
) -> None:
    variables = {**stripe_fake.variables, "STRIPE_KEY": "pk_test_0123456789"}
    async with open_page(PAGE, variables) as gateway:
        reply = await gateway.query(f'{{ user(id: "{stripe_fake.customers[0]}") {{ plan }} }}')

    assert reply.codes == {"user.plan": "SOURCE_REJECTED"}
