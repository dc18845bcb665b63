"""A service that can send fewer fields is asked only for the needed fields."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import orjson
import pytest

from app.settings.resilience import CacheSettings
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, failing, saying, user_id
from tests.partial import ACTIVITY, PROFILE, SelectingActivity, SelectingProfile, selecting
from tests.partial import settings_with as settings_of
from tests.ways import ALSO_BY_FILE, Ways

A, B = user_id(1), user_id(2)
USERS = f'users(ids: ["{A}", "{B}"])'


@pytest.fixture(params=ALSO_BY_FILE, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Return all ways in which the gateway works."""
    way: Ways = request.param
    return way


@pytest.fixture
def profile(services: FakeServices) -> SelectingProfile:
    """Return a profile service that sends only the requested fields and knows two users."""
    services.profile, services.activity = SelectingProfile(""), SelectingActivity("")
    services.know(1, 2)
    return services.profile


@pytest.fixture
def activity(services: FakeServices, profile: SelectingProfile) -> SelectingActivity:
    """Return such an activity service."""
    del profile
    assert isinstance(services.activity, SelectingActivity)
    return services.activity


@pytest.fixture
async def gateway(
    open_gateway: OpenGateway, profile: SelectingProfile, ways: Ways
) -> AsyncGenerator[GatewayClient]:
    """Return the gateway over them."""
    del profile, ways
    async with open_gateway(selecting(explain=True)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ("username", ["id", "login"]),
        ("id", ["id"]),
        ("email username", ["id", "login", "mail"]),
        ("displayName", ["id", "login", "name"]),
        ("createdAt avatarUrl: username", ["id", "login", "created"]),
    ],
)
async def test_only_the_fields_of_the_selection_and_the_key_are_requested(
    gateway: GatewayClient, profile: SelectingProfile, fields: str, names: list[str]
) -> None:
    reply = await gateway.query(f"{{ {USERS} {{ {fields} }} }}")

    assert not reply.errors
    assert profile.asked == [names]
    assert profile.batches == [[A, B]]


async def test_the_response_is_the_same_as_with_whole_records(gateway: GatewayClient) -> None:
    reply = await gateway.query(
        f"{{ {USERS} {{ username displayName lastSeenAt events(first: 1) {{ id type }} }} }}"
    )

    assert not reply.errors
    assert reply.data["users"][0] == {
        "username": "user1",
        "displayName": "User 1",
        "lastSeenAt": "2026-05-31T23:59:59Z",
        "events": [{"id": "e3", "type": "login"}],
    }


async def test_a_service_with_the_default_contract_can_select_fields_too(
    gateway: GatewayClient, activity: SelectingActivity
) -> None:
    reply = await gateway.query(f"{{ {USERS} {{ loginCount }} }}")

    assert [user["loginCount"] for user in reply.data["users"]] == [1, 2]
    assert activity.asked == [["userId", "loginCount"]]


async def test_the_fields_of_an_operation_are_requested_in_one_call(
    gateway: GatewayClient, profile: SelectingProfile
) -> None:
    reply = await gateway.query(
        f'{{ a: user(id: "{A}") {{ username }} b: user(id: "{B}") {{ email }}'
        f' c: user(id: "{A}") {{ locale }} }}'
    )

    assert reply.data == {
        "a": {"username": "user1"},
        "b": {"email": "user2@example.com"},
        "c": {"locale": "de-AT"},
    }
    assert profile.batches == [[A, B]]
    assert profile.asked == [["id", "login", "mail", "lang"]]


async def test_a_skipped_field_is_not_requested(
    gateway: GatewayClient, profile: SelectingProfile
) -> None:
    query = "query($id: ID!, $no: Boolean!) { user(id: $id) { username email @include(if: $no) } }"
    for with_mail in (False, True, False):
        await gateway.query(query, id=A, no=with_mail)

    assert profile.asked == [["id", "login"], ["id", "login", "mail"], ["id", "login"]]


async def test_a_field_that_the_service_does_not_send_is_null(
    gateway: GatewayClient, profile: SelectingProfile
) -> None:
    profile.behaviour = saying(orjson.dumps({"people": [{"id": A, "lang": "de"}]}))

    reply = await gateway.query(f'{{ user(id: "{A}") {{ locale avatarUrl }} }}')
    other = await gateway.query(f'{{ user(id: "{A}") {{ locale email }} }}')

    assert reply.data == {"user": {"locale": "de", "avatarUrl": None}}
    assert other.data == {"user": {"locale": "de", "email": None}}
    assert not reply.errors
    assert not other.errors


async def test_explain_shows_the_requested_fields(gateway: GatewayClient) -> None:
    query = f'{{ {USERS} {{ username }} user(id: "{A}") {{ email plan }} }}'
    response = await gateway.client.post(
        "/graphql", json={"query": query}, headers={"X-Gateway-Explain": "1"}
    )

    explained = response.json()["extensions"]["explain"]["sources"]
    assert {one["name"]: one["selects"] for one in explained} == {
        "profile": ["id", "login", "mail"],
        "billing": None,
    }


async def held(
    services: FakeServices, gateway: GatewayClient, clock: ManualClock, *selections: str
) -> list[Any]:
    """Send requests one after the other while all services wait, and then let them respond."""
    gate = asyncio.Event()

    async def wait(_: httpx.Request) -> None:
        await gate.wait()

    services.before = wait
    sent: list[asyncio.Task[Any]] = []
    for selection in selections:
        query = gateway.query(f'{{ user(id: "{A}") {{ {selection} }} }}')
        sent.append(asyncio.create_task(query))
        await clock.settle()
    gate.set()
    return [(await one).data["user"] for one in sent]


class TestShared:
    """Requests at the same time."""

    @pytest.fixture
    def ways(self) -> Ways:
        """Share calls."""
        return ALSO_BY_FILE[0]

    async def test_a_request_joins_a_call_in_flight_that_has_all_its_fields(
        self,
        gateway: GatewayClient,
        services: FakeServices,
        profile: SelectingProfile,
        clock: ManualClock,
    ) -> None:
        users = await held(services, gateway, clock, "username email", "email", "id")

        assert [list(user) for user in users] == [["username", "email"], ["email"], ["id"]]
        assert profile.asked == [["id", "login", "mail"]]

    async def test_a_request_that_needs_more_fields_makes_a_call_of_its_own(
        self,
        gateway: GatewayClient,
        services: FakeServices,
        profile: SelectingProfile,
        clock: ManualClock,
    ) -> None:
        users = await held(services, gateway, clock, "username", "email", "username email")

        assert users[1:] == [
            {"email": "user1@example.com"},
            {"username": "user1", "email": "user1@example.com"},
        ]
        assert profile.asked == [["id", "login"], ["id", "mail"], ["id", "login", "mail"]]
        assert profile.batches == [[A]] * 3

    async def test_requests_of_the_same_turn_share_a_call_with_the_fields_of_both(
        self, gateway: GatewayClient, profile: SelectingProfile
    ) -> None:
        one, other = await asyncio.gather(
            gateway.query(f'{{ user(id: "{A}") {{ username }} }}'),
            gateway.query(f'{{ user(id: "{A}") {{ email }} }}'),
        )

        assert one.data == {"user": {"username": "user1"}}
        assert other.data == {"user": {"email": "user1@example.com"}}
        assert profile.asked == [["id", "login", "mail"]]
        assert profile.batches == [[A]]


@pytest.fixture
async def keeping(
    open_gateway: OpenGateway, profile: SelectingProfile, ways: Ways
) -> AsyncGenerator[GatewayClient]:
    """Return the gateway with a cache for each of them."""
    del profile, ways
    cache = {"cache": CacheSettings(enabled=True), "contract": "stale_ok"}
    settings = settings_of({"profile": {**PROFILE, **cache}, "activity": {**ACTIVITY, **cache}})
    async with open_gateway(settings) as opened:
        yield opened


async def test_an_entry_serves_the_fields_that_it_has(
    keeping: GatewayClient, profile: SelectingProfile
) -> None:
    for fields in ("username email", "email", "id", "username"):
        reply = await keeping.query(f'{{ user(id: "{A}") {{ {fields} }} }}')
        assert not reply.errors

    assert profile.asked == [["id", "login", "mail"]]


async def test_a_missing_field_is_fetched_and_merged_into_the_entry(
    keeping: GatewayClient, profile: SelectingProfile, clock: ManualClock
) -> None:
    await keeping.query(f'{{ user(id: "{A}") {{ username }} }}')
    clock.advance(6)
    await keeping.query(f'{{ user(id: "{A}") {{ email }} }}')
    both = await keeping.query(f'{{ user(id: "{A}") {{ username email }} }}')
    assert both.data == {"user": {"username": "user1", "email": "user1@example.com"}}
    assert profile.asked == [["id", "login"], ["id", "mail"]]

    clock.advance(6)  # both are as old as the older
    await keeping.query(f'{{ user(id: "{A}") {{ email }} }}')
    assert profile.asked[2:] == [["id", "mail"]]


async def test_a_stale_entry_does_not_cover_a_field_that_it_lacks(
    keeping: GatewayClient, profile: SelectingProfile, clock: ManualClock
) -> None:
    await keeping.query(f'{{ user(id: "{A}") {{ username }} }}')
    clock.advance(60)
    profile.behaviour = failing(503)

    old = await keeping.query(f'{{ user(id: "{A}") {{ username }} }}')
    lacking = await keeping.query(f'{{ user(id: "{A}") {{ username email }} }}')

    assert old.data == {"user": {"username": "user1"}}
    assert set(lacking.codes.values()) == {"SOURCE_UNAVAILABLE"}


async def test_the_entry_of_an_unknown_user_serves_all_fields(
    keeping: GatewayClient, profile: SelectingProfile
) -> None:
    for fields in ("username", "email"):
        reply = await keeping.query(f'{{ user(id: "{user_id(9)}") {{ {fields} }} }}')
        assert reply.data == {"user": None}

    assert profile.asked == [["id", "login"]]


async def test_the_names_of_the_fields_can_be_sent_in_a_body(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    seen: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(orjson.loads(request.content))
        row = {"id": A, "properties": {"first": "Ada", "last": "L"}}
        return httpx.Response(200, content=orjson.dumps({"results": [row]}))

    template = '{"properties": "{fields}", "inputs": [{"id": "{key}"}]}'
    select = {"names": {"displayName": ["first", "last"], "id": []}}
    profile = {
        "request": {"form": "body", "path": "/read", "template": template, "select": select},
        "answer": {"rows": ["results"], "key": ["id"]},
        "fields": {
            "displayName": "join(' ', [properties.first, properties.last])",
            "username": "properties.login",
            "email": "properties.mail",
            "createdAt": "properties.created",
        },
    }
    services.by_name["profile"].answer = answer  # type: ignore[method-assign] # of another shape

    async with open_gateway(settings_of({"profile": profile})) as gateway:
        reply = await gateway.query(f'{{ user(id: "{A}") {{ displayName }} }}')

    assert reply.data == {"user": {"displayName": "Ada L"}}
    assert seen == [{"properties": ["first", "last"], "inputs": [{"id": A}]}]


async def test_a_merged_entry_keeps_the_key_of_another_source(
    open_gateway: OpenGateway, services: FakeServices, profile: SelectingProfile, ways: Ways
) -> None:
    del ways
    profile.customers = {A: B}
    key_from = {"source": "profile", "expression": "customer.id"}
    cached = {**PROFILE, "cache": CacheSettings(enabled=True)}
    services.activity = FakeServices().activity
    services.know(1, 2)
    settings = settings_of({"profile": cached, "billing": {"key_from": key_from}})

    async with open_gateway(settings) as gateway:
        for fields in ("username", "email", "username email plan"):
            reply = await gateway.query(f'{{ user(id: "{A}") {{ {fields} }} }}')
            assert not reply.errors

    assert reply.data["user"]["plan"] == "pro"
    assert services.billing.batches == [[B]]
    assert profile.asked == [["id", "customer", "login"], ["id", "customer", "mail"]]
