"""One record from several endpoints of a service: only the needed endpoints are called."""

from collections.abc import AsyncGenerator, Mapping

import httpx
import pytest

from app.settings.resilience import CacheSettings
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, account_row, failing, invoice, user_id
from tests.partial import (
    BALANCE,
    PROFILE,
    SUBSCRIPTION,
    DividedBilling,
    SelectingProfile,
    divided,
    settings_with,
)
from tests.readiness import source_states
from tests.ways import ALSO_BY_FILE, BOTH, Ways

A, B = user_id(1), user_id(2)
USERS = f'users(ids: ["{A}", "{B}"])'


@pytest.fixture(params=ALSO_BY_FILE, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Return all ways in which the gateway works."""
    way: Ways = request.param
    return way


@pytest.fixture
def billing(services: FakeServices) -> DividedBilling:
    """Return a billing service of two endpoints that knows two users."""
    services.billing = DividedBilling("")
    services.know(1, 2)
    return services.billing


@pytest.fixture
async def gateway(
    open_gateway: OpenGateway, billing: DividedBilling, ways: Ways
) -> AsyncGenerator[GatewayClient]:
    """Return the gateway over it."""
    del billing, ways
    async with open_gateway(divided(trace="always")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ("plan", ["/subscriptions"]),
        ("billingStatus", ["/subscriptions"]),
        ("renewsAt plan billingStatus id", ["/subscriptions"]),
        ("balance { amount }", ["/balances"]),
        ("balance { amount currency } plan", ["/subscriptions", "/balances"]),
        ("username", []),
        ("id", []),
    ],
)
async def test_only_the_endpoints_with_selected_fields_are_called(
    gateway: GatewayClient, billing: DividedBilling, fields: str, paths: list[str]
) -> None:
    reply = await gateway.query(f"{{ {USERS} {{ {fields} }} }}")

    assert not reply.errors
    assert billing.asked == {path: [[A, B]] for path in paths}


async def test_the_results_of_the_endpoints_are_merged_into_one_user(
    gateway: GatewayClient, billing: DividedBilling
) -> None:
    reply = await gateway.query(
        f"{{ {USERS} {{ username plan billingStatus renewsAt balance {{ amount currency }} }} }}"
    )

    assert reply.data["users"][1] == {
        "username": "user2",
        "plan": "pro",
        "billingStatus": "ACTIVE",
        "renewsAt": "2026-12-01T00:00:00Z",
        "balance": {"amount": 200, "currency": "EUR"},
    }
    assert sorted(billing.asked) == ["/balances", "/subscriptions"]


async def test_a_failed_endpoint_fails_only_its_fields_and_errors_name_the_source(
    gateway: GatewayClient, billing: DividedBilling
) -> None:
    billing.failing["/balances"] = failing(503)

    reply = await gateway.query(f'{{ user(id: "{A}") {{ plan balance {{ amount }} }} }}')

    assert reply.data == {"user": {"plan": "pro", "balance": None}}
    [error] = reply.errors
    assert error["path"] == ["user", "balance"]
    assert error["message"] == "The billing source is unavailable."
    assert error["extensions"] == {"code": "SOURCE_UNAVAILABLE", "source": "billing"}
    failed = [one for one in gateway.events("source.fetch") if one["outcome"] != "ok"]
    assert [(one["source"], one["path"]) for one in failed] == [("billing.balance", "/balances")]
    told = reply.body["extensions"]["sources"]
    assert {name: one["status"] for name, one in told.items()} == {
        "billing.subscription": "ok",
        "billing.balance": "failed",
    }


async def test_an_endpoint_that_does_not_know_a_user_gives_null_fields(
    gateway: GatewayClient, billing: DividedBilling
) -> None:
    billing.unknown["/balances"] = {A}

    reply = await gateway.query(f"{{ {USERS} {{ plan balance {{ amount }} }} }}")

    assert not reply.errors
    assert reply.data["users"] == [
        {"plan": "pro", "balance": None},
        {"plan": "pro", "balance": {"amount": 200}},
    ]


async def test_a_user_that_no_called_endpoint_knows_is_unknown(
    gateway: GatewayClient, billing: DividedBilling
) -> None:
    billing.unknown = {"/balances": {A, B}, "/subscriptions": {B}}

    one = await gateway.query(f"{{ {USERS} {{ balance {{ amount }} }} }}")
    both = await gateway.query(f"{{ {USERS} {{ plan balance {{ amount }} }} }}")

    assert one.data["users"] == [None, None]
    assert both.data["users"] == [{"plan": "pro", "balance": None}, None]


async def test_a_list_checks_the_existence_of_users_at_the_first_endpoint(
    gateway: GatewayClient, billing: DividedBilling
) -> None:
    billing.invoices = {A: [invoice(1)]}
    billing.unknown["/subscriptions"] = {B}

    reply = await gateway.query(
        f"{{ {USERS} {{ username invoices {{ edges {{ node {{ number }} }} }} }} }}"
    )

    assert not reply.errors
    assert [user["invoices"] for user in reply.data["users"]] == [
        {"edges": [{"node": {"number": "2026-0001"}}]},
        None,
    ]
    assert billing.asked == {"/subscriptions": [[A, B]]}


async def test_fields_of_an_operation_share_the_calls_of_an_endpoint(
    gateway: GatewayClient, billing: DividedBilling
) -> None:
    reply = await gateway.query(
        f'{{ a: user(id: "{A}") {{ plan }} b: user(id: "{B}") {{ plan balance {{ amount }} }} }}'
    )

    assert not reply.errors
    assert billing.asked == {"/subscriptions": [[A, B]], "/balances": [[B]]}


async def test_endpoints_share_the_circuit_breaker_of_their_service(
    open_gateway: OpenGateway, billing: DividedBilling
) -> None:
    billing.failing["/balances"] = failing(503)
    endpoints = {"subscription": SUBSCRIPTION, "balance": BALANCE}
    breaker = {"min_calls": 2}
    wanted = settings_with({"billing": {"endpoints": endpoints, "breaker": breaker}})

    async with open_gateway(wanted) as gateway:
        for _ in range(2):
            await gateway.query(f'{{ user(id: "{A}") {{ balance {{ amount }} }} }}')
        reply = await gateway.query(f'{{ user(id: "{A}") {{ username plan }} }}')
        told = source_states(gateway.app)["billing"]

    assert reply.codes == {"user.plan": "SOURCE_CIRCUIT_OPEN"}
    assert reply.errors[0]["extensions"]["source"] == "billing"
    assert "/subscriptions" not in billing.asked
    assert (told["circuit"], told["lastStatus"]) == ("open", 503)


async def test_endpoints_share_one_client(
    gateway: GatewayClient, billing: DividedBilling, services: FakeServices
) -> None:
    await gateway.query(f'{{ user(id: "{A}") {{ plan balance {{ amount }} }} }}')

    assert len(services.opened) == 3
    assert len(billing.requests) == 2


async def test_a_failed_endpoint_of_a_required_source_makes_the_user_null(
    open_gateway: OpenGateway, billing: DividedBilling
) -> None:
    billing.failing["/balances"] = failing(503)
    endpoints = {"subscription": SUBSCRIPTION, "balance": BALANCE}
    wanted = settings_with({"billing": {"endpoints": endpoints, "contract": "required"}})

    async with open_gateway(wanted) as gateway:
        spared = await gateway.query(f'{{ user(id: "{A}") {{ username plan }} }}')
        reply = await gateway.query(f'{{ user(id: "{A}") {{ plan balance {{ amount }} }} }}')

    assert spared.data == {"user": {"username": "user1", "plan": "pro"}}
    assert reply.data == {"user": None}
    assert reply.codes == {"user": "SOURCE_UNAVAILABLE"}


async def test_each_endpoint_has_its_own_cache_entries(
    open_gateway: OpenGateway, billing: DividedBilling, clock: ManualClock
) -> None:
    del clock
    endpoints = {"subscription": SUBSCRIPTION, "balance": BALANCE}
    cache = CacheSettings(enabled=True)
    wanted = settings_with({"billing": {"endpoints": endpoints, "cache": cache}})

    async with open_gateway(wanted) as gateway:
        await gateway.query(f'{{ user(id: "{A}") {{ plan }} }}')
        reply = await gateway.query(f'{{ user(id: "{A}") {{ plan balance {{ amount }} }} }}')

    assert reply.data == {"user": {"plan": "pro", "balance": {"amount": 100}}}
    assert billing.asked == {"/subscriptions": [[A]], "/balances": [[A]]}


@pytest.mark.parametrize(
    "ways", BOTH, ids=str
)  # a settings file refuses fields that no endpoint has
async def test_the_first_endpoint_decides_the_existence_of_users(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    paths: list[str] = []

    async def note(request: httpx.Request) -> None:
        paths.append(str(request.url.copy_with(query=None)))

    services.before = note
    names = ("username", "displayName", "email", "createdAt")
    profile: Mapping[str, object] = {
        "one": {
            "request": {"form": "repeat", "path": "/users", "parameter": "id"},
            "fields": {name: name for name in names},
        },
        "two": {
            "request": {"form": "repeat", "path": "/pictures", "parameter": "id"},
            "fields": {"avatarUrl": "url"},
        },
    }

    async with open_gateway(settings_with({"profile": {"endpoints": profile}})) as gateway:
        reply = await gateway.query(f'{{ user(id: "{A}") {{ id }} }}')
        # A field that no endpoint has is null, and belongs to the first endpoint.
        locale = await gateway.query(f'{{ user(id: "{A}") {{ username locale }} }}')

    assert reply.data == {"user": {"id": A}}
    assert locale.data == {"user": {"username": "user1", "locale": None}}
    assert paths == ["http://profile/users"] * 2


async def test_a_malformed_row_fails_only_the_fields_of_its_endpoint(
    gateway: GatewayClient, billing: DividedBilling
) -> None:
    billing.rows[A] = account_row(1, balance={"amount": 1.5, "currency": "EUR"})

    reply = await gateway.query(f"{{ {USERS} {{ plan balance {{ amount }} }} }}")

    assert reply.codes == {"users.0.balance": "SOURCE_MALFORMED"}
    assert [user["plan"] for user in reply.data["users"]] == ["pro", "pro"]


async def test_endpoints_can_have_their_keys_from_another_source(
    open_gateway: OpenGateway, services: FakeServices, billing: DividedBilling, ways: Ways
) -> None:
    del ways
    key = "00000000-0000-4000-8000-00000000000a"
    profile = services.profile = SelectingProfile("", customers={A: key})
    services.know(1, 2)
    billing.rows = {key: account_row(1, userId=key)}
    billing.invoices = {key: [invoice(1)]}
    endpoints = {"subscription": SUBSCRIPTION, "balance": BALANCE}
    key_from = {"source": "profile", "expression": "customer.id"}
    wanted = settings_with(
        {"profile": PROFILE, "billing": {"endpoints": endpoints, "key_from": key_from}}
    )

    async with open_gateway(wanted) as gateway:
        balance = await gateway.query(f"{{ {USERS} {{ balance {{ amount }} }} }}")
        both = await gateway.query(
            f"{{ {USERS} {{ username plan invoices {{ edges {{ node {{ id }} }} }} }} }}"
        )

    assert not balance.errors
    assert not both.errors
    assert balance.data["users"] == [{"balance": {"amount": 100}}, None]
    assert both.data["users"] == [
        {"username": "user1", "plan": "pro", "invoices": {"edges": [{"node": {"id": "inv-1"}}]}},
        {"username": "user2", "plan": None, "invoices": None},
    ]
    assert profile.asked == [["id", "customer"], ["id", "customer", "login"]]
    assert profile.batches == [[A, B]] * 2
    assert billing.asked == {"/balances": [[key]], "/subscriptions": [[key]]}
