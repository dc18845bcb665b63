"""A service that can send fewer fields is asked for no more than is wanted."""

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
    """Give all ways in which the gateway works."""
    way: Ways = request.param
    return way


@pytest.fixture
def profile(services: FakeServices) -> SelectingProfile:
    """Give a profile service that sends what it is asked for, and knows two users."""
    services.profile, services.activity = SelectingProfile(""), SelectingActivity("")
    services.know(1, 2)
    return services.profile


@pytest.fixture
def activity(services: FakeServices, profile: SelectingProfile) -> SelectingActivity:
    """Give such an activity service."""
    del profile
    assert isinstance(services.activity, SelectingActivity)
    return services.activity


@pytest.fixture
async def gateway(
    open_gateway: OpenGateway, profile: SelectingProfile, ways: Ways
) -> AsyncGenerator[GatewayClient]:
    """Give the gateway over them."""
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
async def test_what_the_selection_needs_is_asked_and_the_key(
    gateway: GatewayClient, profile: SelectingProfile, fields: str, names: list[str]
) -> None:
    reply = await gateway.query(f"{{ {USERS} {{ {fields} }} }}")

    assert not reply.errors
    assert profile.asked == [names]
    assert profile.batches == [[A, B]]


async def test_the_answer_is_that_of_a_whole_record(gateway: GatewayClient) -> None:
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


async def test_a_service_by_the_contract_can_be_asked_for_fewer_fields_too(
    gateway: GatewayClient, activity: SelectingActivity
) -> None:
    reply = await gateway.query(f"{{ {USERS} {{ loginCount }} }}")

    assert [user["loginCount"] for user in reply.data["users"]] == [1, 2]
    assert activity.asked == [["userId", "loginCount"]]


async def test_fields_of_an_operation_are_asked_for_together(
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


async def test_a_field_that_is_skipped_is_not_asked_for(
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


async def test_explain_shows_the_fields_that_are_asked(gateway: GatewayClient) -> None:
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
    """Send requests one after the other while no service answers, and then let all answer."""
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
    """Requests that come together."""

    @pytest.fixture
    def ways(self) -> Ways:
        """Share calls."""
        return ALSO_BY_FILE[0]

    async def test_whoever_needs_no_more_than_is_in_flight_waits_for_it(
        self,
        gateway: GatewayClient,
        services: FakeServices,
        profile: SelectingProfile,
        clock: ManualClock,
    ) -> None:
        users = await held(services, gateway, clock, "username email", "email", "id")

        assert [list(user) for user in users] == [["username", "email"], ["email"], ["id"]]
        assert profile.asked == [["id", "login", "mail"]]

    async def test_whoever_needs_more_than_is_in_flight_makes_a_call_of_its_own(
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

    async def test_what_comes_in_the_same_turn_is_asked_for_together(
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
    """Give the gateway with a cache before each of them."""
    del profile, ways
    cache = {"cache": CacheSettings(enabled=True), "contract": "stale_ok"}
    settings = settings_of({"profile": {**PROFILE, **cache}, "activity": {**ACTIVITY, **cache}})
    async with open_gateway(settings) as opened:
        yield opened


async def test_what_is_kept_answers_for_the_fields_that_it_has(
    keeping: GatewayClient, profile: SelectingProfile
) -> None:
    for fields in ("username email", "email", "id", "username"):
        reply = await keeping.query(f'{{ user(id: "{A}") {{ {fields} }} }}')
        assert not reply.errors

    assert profile.asked == [["id", "login", "mail"]]


async def test_what_is_kept_without_a_field_is_no_answer_and_takes_it_on(
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


async def test_an_old_answer_without_a_field_helps_nobody_who_needs_it(
    keeping: GatewayClient, profile: SelectingProfile, clock: ManualClock
) -> None:
    await keeping.query(f'{{ user(id: "{A}") {{ username }} }}')
    clock.advance(60)
    profile.behaviour = failing(503)

    old = await keeping.query(f'{{ user(id: "{A}") {{ username }} }}')
    lacking = await keeping.query(f'{{ user(id: "{A}") {{ username email }} }}')

    assert old.data == {"user": {"username": "user1"}}
    assert set(lacking.codes.values()) == {"SOURCE_UNAVAILABLE"}


async def test_who_is_unknown_is_unknown_in_all_fields(
    keeping: GatewayClient, profile: SelectingProfile
) -> None:
    for fields in ("username", "email"):
        reply = await keeping.query(f'{{ user(id: "{user_id(9)}") {{ {fields} }} }}')
        assert reply.data == {"user": None}

    assert profile.asked == [["id", "login"]]


async def test_the_fields_have_a_place_in_a_body(
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


async def test_the_key_of_another_source_stays_with_what_was_joined_in_the_cache(
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
