"""The shop of examples/shop: localstripe, json-server, and the demo's profile and billing."""

from collections import Counter
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from app.demo.people import user_id
from app.demo.services import demo_services
from tests.conftest import GatewayClient
from tests.demo_data import demo_data
from tests.examples import stripe
from tests.examples.conftest import OpenPage
from tests.examples.page import ExampleFolder
from tests.examples.serving import serving
from tests.examples.stripe import stripe_server
from tests.examples.tracker import json_server
from tests.examples.users import Json, with_times

FOLDER = ExampleFolder("shop")
COUNT = 20
WITHOUT_STRIPE, UNKNOWN_TO_SHOP, WITH_A_NEW_WORD = 4, 9, 12
"""Users with missing values; a ticket of the user after the last has an unknown word."""

IDS = [user_id(number + 1) for number in range(COUNT)]
STATES = {"open": "OPEN", "packed": "OPEN", "sent": "SENT", "lost": "OTHER"}
TIERS = {"new": "STANDARD", "Platinum": "GOLD", "diamond": "STANDARD"}
URGENCIES = {"low": "LOW", "URGENT": "HIGH", None: None}
SUBSCRIPTIONS = {"active": "ACTIVE", "trialing": "ACTIVE", "incomplete": "OTHER"}

LINES = "lines { quantity product { sku name page } price { amount currency } }"
DEFAULT = "id username plan balance { amount currency }"
SHOP = f"tier basket {{ {LINES} changedAt }} orderCount orders {{ id placedAt state {LINES} }}"
STRIPE = (
    "credit { amount currency }"
    " subscriptions { id state renewsAt plan { id price { amount currency } every } }"
)
TICKETS = """
query($id: ID!, $first: Int, $after: String) {
  user(id: $id) {
    tickets(first: $first, after: $after) {
      edges { node { id subject urgency agent { name } } } pageInfo { hasNextPage endCursor }
    }
  }
}
"""


def line(number: int) -> Json:
    """Write a line of a basket or an order."""
    product = {"sku": number, "name": f"Tea №{number}"}
    page = {"page": f"https://shop.example.com/{number}"} if number % 2 else {}
    return {"count": 1 + number % 3, "product": {**product, **page}, "cents": 350 * number,
            "currency": "eur"}  # fmt: skip


def customer(number: int, key: str | None) -> Json:
    """Write a customer in the form of the shop's file; every fourth has no basket."""
    basket = {"lines": [line(one) for one in range(number % 3)], "changed": "2026-05-01T10:00:00Z"}
    return {
        "id": IDS[number],
        "tier": [*TIERS][number % 3],
        **({"basket": basket} if number % 4 else {}),
        **({} if key is None else {"stripe": key}),
    }


def orders_of(number: int) -> Sequence[Json]:
    """Write the orders of a user; some have none."""
    return [
        {
            "id": number * 10 + place,
            "userId": IDS[number],
            "placed": f"2026-0{place + 1}-02T08:00:00+02:00",
            "state": state,
            "lines": [line(number), line(place)],
        }
        for place, state in enumerate([*STATES][: number % 5])
    ]


def tickets_of(number: int) -> Sequence[Json]:
    """Write the tickets of a user: the second user has many, and another has an unknown word."""
    count = 23 if number == 1 else number % 2
    words = ["soon"] if number == WITH_A_NEW_WORD + 1 else [*URGENCIES]
    return [
        {
            "id": number * 100 + place,
            "userId": IDS[number],
            "subject": f"Where is it? ({place})",
            "urgency": words[place % len(words)],
            **({"answered": {"by": {"full_name": "Ida"}}} if place % 2 else {}),
        }
        for place in range(count)
    ]


def amount(minor: int, currency: str) -> Json:
    """Write money in the form for clients."""
    return {"amount": minor, "currency": currency.upper()}


def lines(rows: Sequence[Json]) -> Sequence[Json]:
    """Return the expected lines in a response."""
    return [
        {
            "quantity": row["count"],
            "product": {
                "sku": str(row["product"]["sku"]),
                "name": row["product"]["name"],
                "page": row["product"].get("page"),
            },
            "price": amount(row["cents"], row["currency"]),
        }
        for row in rows
    ]


@dataclass(frozen=True)
class Shop:
    """The services, and the expected values of each user.

    Attributes:
        clients: A client of each service: ``shop``, ``stripe``, ``profile`` and ``billing``.
    """

    clients: Mapping[str, httpx.Client | httpx.AsyncClient]

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of the gateway."""
        served = {"customers": "shop", "orders": "shop"}
        names = ("profile", "billing", "customers", "orders", "stripe")
        return {
            **{
                f"GATEWAY_SOURCES__{name.upper()}__BASE_URL": str(
                    self.clients[served.get(name, name)].base_url
                ).rstrip("/")
                for name in names
            },
            "STRIPE_KEY": stripe.KEY,
        }

    async def get(self, service: str, path: str, **parameters: str) -> list[Json]:
        """Read rows of a service."""
        client = self.clients[service]
        if isinstance(client, httpx.AsyncClient):
            reply = await client.get(path, params=parameters)
        else:
            reply = client.get(path, params=parameters)
        rows: list[Json] = reply.raise_for_status().json()
        return rows

    async def user(self, user: str) -> Json:
        """Return the expected values of a user, from the responses of all services."""
        [profile] = await self.get("profile", "/users", id=user)
        accounts = await self.get("billing", "/accounts", userId=user) or [{}]
        customers = await self.get("shop", "/customers", id=user) or [{}]
        orders = await self.get("shop", "/orders", userId=user, _sort="placed", _order="desc")
        basket = customers[0].get("basket")
        return {
            "id": user,
            "username": profile["username"],
            "plan": accounts[0].get("plan"),
            "balance": accounts[0].get("balance"),
            "tier": TIERS.get(customers[0].get("tier", "")),
            "basket": basket
            and {
                "lines": lines(basket["lines"]),
                "changedAt": datetime.fromisoformat(basket["changed"]),
            },
            "orderCount": len(orders),
            "orders": [
                {
                    "id": str(one["id"]),
                    "placedAt": datetime.fromisoformat(one["placed"]),
                    "state": STATES[one["state"]],
                    "lines": lines(one["lines"]),
                }
                for one in orders
            ],
            **await self.payments(customers[0].get("stripe")),
        }

    async def payments(self, key: str | None) -> Json:
        """Return the expected values of a customer of Stripe."""
        if key is None:
            return {"credit": None, "subscriptions": None}
        client = self.clients["stripe"]
        assert isinstance(client, httpx.Client)
        found = client.get(f"/v1/customers/{key}").raise_for_status().json()
        return {
            "credit": amount(found["account_balance"], found["currency"] or "usd"),
            "subscriptions": [
                {
                    "id": one["id"],
                    "state": SUBSCRIPTIONS[one["status"]],
                    "renewsAt": datetime.fromtimestamp(one["current_period_end"], UTC),
                    "plan": {
                        "id": one["plan"]["id"],
                        "price": amount(one["plan"]["amount"], one["plan"]["currency"]),
                        "every": one["plan"]["interval"],
                    },
                }
                for one in found["subscriptions"]["data"]
            ],
        }


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Generator[Mapping[str, httpx.Client]]:
    """Run Stripe with 20 customers, and the shop that knows them."""
    folder: Path = tmp_path_factory.mktemp("shop")
    with stripe_server(folder) as payments:
        keys = [
            None if number == WITHOUT_STRIPE else stripe.create(payments, number)
            for number in range(COUNT)
        ]
        known = [number for number in range(COUNT) if number != UNKNOWN_TO_SHOP]
        lists = {
            "customers": [customer(number, keys[number]) for number in known],
            "orders": [one for number in known for one in orders_of(number)],
            "tickets": [one for number in known for one in tickets_of(number)],
        }
        with json_server(folder, **lists) as shop:
            yield {"shop": shop, "stripe": payments}


@pytest.fixture
async def shop(clients: Mapping[str, httpx.Client]) -> AsyncGenerator[Shop]:
    """Run all services."""
    async with AsyncExitStack() as stack:
        made = stack.enter_context(demo_services(demo_data()))
        served = {"profile": made.profile, "billing": made.billing}
        others = {
            name: await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=await stack.enter_async_context(serving(name, one)), trust_env=False
                )
            )
            for name, one in served.items()
        }
        yield Shop({**clients, **others})


def calls(gateway: GatewayClient) -> Mapping[str, int]:
    """Count the calls to each source."""
    return Counter(str(event["source"]) for event in gateway.events("source.fetch"))


async def test_each_user_has_the_values_of_the_services(shop: Shop, open_page: OpenPage) -> None:
    query = f"query($ids: [ID!]!) {{ users(ids: $ids) {{ {DEFAULT} {SHOP} {STRIPE} }} }}"
    async with open_page(FOLDER, shop.variables) as gateway:
        reply = await gateway.query(query, ids=IDS)

    assert not reply.errors
    assert with_times(reply.data["users"]) == [await shop.user(user) for user in IDS]
    once = dict.fromkeys(("profile", "billing", "customers", "orders"), 1)
    assert calls(gateway) == {**once, "stripe": COUNT - 2}


@pytest.mark.parametrize("first", [4, 10])
async def test_each_ticket_of_all_pages_has_the_values_of_the_shop(
    shop: Shop, open_page: OpenPage, first: int
) -> None:
    found: list[object] = []
    async with open_page(FOLDER, shop.variables) as gateway:
        after, more = None, True
        while more:
            reply = await gateway.query(TICKETS, id=IDS[1], first=first, after=after)
            assert not reply.errors
            page = reply.data["user"]["tickets"]
            found += [edge["node"] for edge in page["edges"]]
            after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]

    rows = await shop.get("shop", "/tickets", userId=IDS[1], _sort="id", _order="desc")
    assert len(rows) == 23
    assert found == [
        {
            "id": str(row["id"]),
            "subject": row["subject"],
            "urgency": URGENCIES[row["urgency"]],
            "agent": {"name": row["answered"]["by"]["full_name"]} if "answered" in row else None,
        }
        for row in rows
    ]


async def test_an_unknown_enum_value_is_an_error_of_its_list_only(
    shop: Shop, open_page: OpenPage
) -> None:
    query = (
        "query($ids: [ID!]!) { users(ids: $ids) { tier tickets { edges { node { urgency } } } } }"
    )
    ids = [IDS[number] for number in (WITH_A_NEW_WORD + 1, 3)]
    async with open_page(FOLDER, shop.variables) as gateway:
        reply = await gateway.query(query, ids=ids)

    assert reply.codes == {"users.0.tickets": "SOURCE_MALFORMED"}
    assert reply.data["users"] == [
        {"tier": "GOLD", "tickets": None},
        {"tier": "STANDARD", "tickets": {"edges": [{"node": {"urgency": "LOW"}}]}},
    ]


async def test_hidden_fields_and_their_source_are_not_in_the_schema(
    shop: Shop, open_page: OpenPage
) -> None:
    async with open_page(FOLDER, shop.variables) as gateway:
        reply = await gateway.query(f'{{ user(id: "{IDS[0]}") {{ lastSeenAt }} }}')

    [error] = reply.errors
    assert error["message"] == "Cannot query field 'lastSeenAt' on type 'User'."


async def test_the_query_of_the_page_gets_the_response_of_the_page(
    shop: Shop, open_page: OpenPage
) -> None:
    async with open_page(FOLDER, shop.variables) as gateway:
        reply = await gateway.query(FOLDER.query)

    assert reply.body == FOLDER.answer
