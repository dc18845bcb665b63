"""A user's invoices over HTTP, by the GraphQL Cursor Connections specification."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from tests.conftest import GatewayClient, GatewayReply, OpenGateway
from tests.fakes import (
    FakeServices,
    Row,
    account_row,
    failing,
    invoice,
    profile_row,
    settings_for_fakes,
    user_id,
)

CONNECTION = """
    edges { cursor node { id number status issuedAt total { amount currency } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
"""

QUERY = f"""
query($id: ID!, $first: Int, $after: String) {{
  user(id: $id) {{ invoices(first: $first, after: $after) {{ {CONNECTION} }} }}
}}
"""


def bill(services: FakeServices, user: int, numbers: Sequence[int]) -> None:
    """Add a user with some invoices to all sources."""
    services.know(user)
    services.billing.invoices[user_id(user)] = [invoice(n) for n in numbers]


def pages(services: FakeServices) -> list[httpx.Request]:
    """List the calls for pages of invoices."""
    return [one for one in services.billing.requests if one.url.path == "/invoices"]


def ids(reply: GatewayReply, field: str = "user") -> list[str]:
    """List the ids of the invoices in a response."""
    return [edge["node"]["id"] for edge in reply.data[field]["invoices"]["edges"]]


async def test_a_page_has_edges_with_nodes_and_cursors_and_page_info(
    gateway: GatewayClient, services: FakeServices
) -> None:
    bill(services, 1, [3, 2, 1])

    reply = await gateway.query(QUERY, id=user_id(1), first=2)

    assert not reply.errors
    connection = reply.data["user"]["invoices"]
    assert [edge["node"] for edge in connection["edges"]] == [
        {
            "id": f"inv-{n}",
            "number": f"2026-000{n}",
            "status": "paid",
            "issuedAt": "2026-01-31T00:00:00Z",
            "total": {"amount": n, "currency": "EUR"},
        }
        for n in (3, 2)
    ]
    start, end = (edge["cursor"] for edge in connection["edges"])
    assert start != end
    assert connection["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": start,
        "endCursor": end,
    }


async def test_a_page_without_arguments_has_the_newest_twenty_invoices(
    gateway: GatewayClient, services: FakeServices
) -> None:
    bill(services, 1, range(30, 0, -1))

    reply = await gateway.query(
        f'{{ user(id: "{user_id(1)}") {{ invoices {{ edges {{ node {{ id }} }} }} }} }}'
    )

    assert ids(reply) == [f"inv-{n}" for n in range(30, 10, -1)]


async def test_null_arguments_are_the_same_as_missing_arguments(
    gateway: GatewayClient, services: FakeServices
) -> None:
    bill(services, 1, range(30, 0, -1))

    reply = await gateway.query(QUERY, id=user_id(1), first=None, after=None)

    assert not reply.errors
    assert len(ids(reply)) == 20


@pytest.mark.parametrize("first", [1, 7, 100])
async def test_a_client_reads_all_pages_by_cursors_with_one_call_for_each_page(
    gateway: GatewayClient, services: FakeServices, first: int
) -> None:
    bill(services, 1, range(20, 0, -1))

    found: list[str] = []
    after: str | None = None
    for page in range(1, 22):
        reply = await gateway.query(QUERY, id=user_id(1), first=first, after=after)
        info = reply.data["user"]["invoices"]["pageInfo"]
        assert info["hasPreviousPage"] is (page > 1)
        assert len(pages(services)) == page
        found += ids(reply)
        after = info["endCursor"]
        if not info["hasNextPage"]:
            break

    assert found == [f"inv-{n}" for n in range(20, 0, -1)]


async def test_a_page_may_start_after_any_edge(
    gateway: GatewayClient, services: FakeServices
) -> None:
    bill(services, 1, range(10, 0, -1))
    reply = await gateway.query(QUERY, id=user_id(1), first=5)
    second = reply.data["user"]["invoices"]["edges"][1]["cursor"]

    further = await gateway.query(QUERY, id=user_id(1), first=3, after=second)

    assert ids(further) == ["inv-8", "inv-7", "inv-6"]


async def test_the_page_after_the_last_invoice_is_empty(
    gateway: GatewayClient, services: FakeServices
) -> None:
    bill(services, 1, [1])
    reply = await gateway.query(QUERY, id=user_id(1))
    last = reply.data["user"]["invoices"]["pageInfo"]["endCursor"]

    behind = await gateway.query(QUERY, id=user_id(1), after=last)

    assert behind.data["user"]["invoices"] == {
        "edges": [],
        "pageInfo": {
            "hasNextPage": False,
            "hasPreviousPage": True,
            "startCursor": None,
            "endCursor": None,
        },
    }


async def test_a_user_with_an_account_but_no_invoices_has_an_empty_page(
    gateway: GatewayClient, services: FakeServices
) -> None:
    bill(services, 1, [])

    reply = await gateway.query(QUERY, id=user_id(1))

    assert reply.data["user"]["invoices"]["edges"] == []
    assert not reply.errors


@pytest.mark.parametrize("first", [0, -1, 101, 2**31 - 1])
async def test_a_page_size_outside_1_to_100_is_refused_without_a_call(
    gateway: GatewayClient, services: FakeServices, first: int
) -> None:
    bill(services, 1, [1])

    reply = await gateway.query(
        "query($id: ID!, $first: Int) {"
        " user(id: $id) { username invoices(first: $first) { edges { cursor } } } }",
        id=user_id(1),
        first=first,
    )

    assert reply.data == {"user": {"username": "user1", "invoices": None}}
    assert reply.codes == {"user.invoices": "BAD_USER_INPUT"}
    assert reply.errors[0]["message"] == f"first takes 1 to 100, got {first}"
    assert not pages(services)


@pytest.mark.parametrize("after", ["", "x", "1", "😀", "W10", "x" * 60_000])
async def test_an_invalid_cursor_is_refused_without_a_call(
    gateway: GatewayClient, services: FakeServices, after: str
) -> None:
    bill(services, 1, [1])

    reply = await gateway.query(QUERY, id=user_id(1), after=after)

    assert reply.data == {"user": {"invoices": None}}
    assert reply.codes == {"user.invoices": "BAD_USER_INPUT"}
    assert len(reply.response.content) < 1000
    assert not pages(services)


async def test_a_cursor_of_another_user_is_refused_without_a_call(
    gateway: GatewayClient, services: FakeServices
) -> None:
    bill(services, 1, [2, 1])
    bill(services, 2, [4, 3])
    reply = await gateway.query(QUERY, id=user_id(1), first=1)
    cursor = reply.data["user"]["invoices"]["pageInfo"]["endCursor"]
    services.billing.requests.clear()

    other = await gateway.query(QUERY, id=user_id(2), after=cursor)

    assert other.codes == {"user.invoices": "BAD_USER_INPUT"}
    assert other.errors[0]["message"] == "after is a cursor of another user's list"
    assert not pages(services)


async def test_a_cursor_of_a_deleted_invoice_is_an_error(
    gateway: GatewayClient, services: FakeServices
) -> None:
    bill(services, 1, [3, 2, 1])
    reply = await gateway.query(QUERY, id=user_id(1), first=3)
    cursor = reply.data["user"]["invoices"]["edges"][1]["cursor"]
    bill(services, 1, [3, 1])

    gone = await gateway.query(QUERY, id=user_id(1), after=cursor)

    assert gone.codes == {"user.invoices": "BAD_USER_INPUT"}
    assert "is gone" in gone.errors[0]["message"]


MANY = "query($ids: [ID!]!) { users(ids: $ids) { invoices(first: 2) { edges { node { id } } } } }"


async def test_pages_of_several_users_are_one_call_for_accounts_and_one_for_each_page(
    gateway: GatewayClient, services: FakeServices
) -> None:
    for user in (1, 2, 3):
        bill(services, user, [10 * user + 2, 10 * user + 1, 10 * user])

    reply = await gateway.query(MANY, ids=[user_id(n) for n in (3, 1, 2)])

    assert reply.data["users"] == [
        {"invoices": {"edges": [{"node": {"id": f"inv-{10 * n + k}"}} for k in (2, 1)]}}
        for n in (3, 1, 2)
    ]
    assert services.billing.batches == [[user_id(3), user_id(1), user_id(2)]]
    assert [call.url.params["userId"] for call in pages(services)] == [
        user_id(n) for n in (3, 1, 2)
    ]
    assert services.calls == {"profile": 0, "billing": 4, "activity": 0}


async def test_at_most_max_concurrent_pages_are_fetched_at_the_same_time(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    for user in range(1, 10):
        bill(services, user, [user])
    running = most = 0

    async def count(request: httpx.Request) -> None:
        nonlocal running, most
        page = request.url.path == "/invoices"
        running += page
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= page

    services.before = count
    settings = settings_for_fakes()
    billing = settings.sources["billing"].model_copy(update={"max_concurrent_pages": 3})
    sources = {**settings.sources, "billing": billing}
    async with open_gateway(settings.model_copy(update={"sources": sources})) as gateway:
        reply = await gateway.query(MANY, ids=[user_id(n) for n in range(1, 10)])

    assert not reply.errors
    assert len(pages(services)) == 9
    assert most == 3


async def test_an_outage_of_billing_is_one_error_for_each_user_without_page_calls(
    gateway: GatewayClient, services: FakeServices
) -> None:
    for user in (1, 2):
        bill(services, user, [1])
    services.billing.behaviour = failing(503)

    reply = await gateway.query(
        "query($ids: [ID!]!) { users(ids: $ids) { username invoices { edges { cursor } } } }",
        ids=[user_id(1), user_id(2)],
    )

    assert reply.data["users"] == [{"username": f"user{n}", "invoices": None} for n in (1, 2)]
    assert [(error["path"], error["extensions"]) for error in reply.errors] == [
        (["users", n, "invoices"], {"code": "SOURCE_UNAVAILABLE", "source": "billing"})
        for n in (0, 1)
    ]
    assert not pages(services)
    assert services.calls["billing"] == 1


async def test_a_failed_list_does_not_affect_the_account(
    gateway: GatewayClient, services: FakeServices
) -> None:
    bill(services, 1, [1])
    broken: Row = {**invoice(1), "total": None}
    services.billing.invoices[user_id(1)] = [broken]

    reply = await gateway.query(
        f'{{ user(id: "{user_id(1)}") {{ plan invoices {{ edges {{ cursor }} }} }} }}'
    )

    assert reply.data == {"user": {"plan": "pro", "invoices": None}}
    assert reply.codes == {"user.invoices": "SOURCE_MALFORMED"}
    assert reply.errors[0]["extensions"]["source"] == "billing"


async def test_a_user_without_an_account_has_null_without_a_call_for_a_page(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.profile.rows[user_id(1)] = profile_row(1)

    reply = await gateway.query(
        f'{{ user(id: "{user_id(1)}") {{ username invoices {{ edges {{ cursor }} }} }} }}'
    )

    assert reply.body == {"data": {"user": {"username": "user1", "invoices": None}}}
    assert not pages(services)


async def test_a_list_that_is_not_found_is_an_error(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.billing.rows[user_id(1)] = account_row(1)

    reply = await gateway.query(QUERY, id=user_id(1))

    assert reply.data == {"user": {"invoices": None}}
    assert reply.codes == {"user.invoices": "SOURCE_REJECTED"}
    assert len(pages(services)) == 1


async def test_two_aliases_with_equal_arguments_share_one_call(
    gateway: GatewayClient, services: FakeServices
) -> None:
    bill(services, 1, [3, 2, 1])

    reply = await gateway.query(
        f'{{ user(id: "{user_id(1)}") {{'
        " a: invoices(first: 2) { edges { node { id } } }"
        " b: invoices(first: 2, after: null) { edges { node { number } } }"
        " c: invoices(first: 1) { edges { node { id } } } } }"
    )

    assert reply.data["user"] == {
        "a": {"edges": [{"node": {"id": "inv-3"}}, {"node": {"id": "inv-2"}}]},
        "b": {"edges": [{"node": {"number": "2026-0003"}}, {"node": {"number": "2026-0002"}}]},
        "c": {"edges": [{"node": {"id": "inv-3"}}]},
    }
    assert [call.url.params["limit"] for call in pages(services)] == ["2", "1"]
