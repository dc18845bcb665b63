"""A row that cannot be read fails only the fields of its user at its source."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import httpx
import pytest

from app.settings.models import Settings
from app.settings.resilience import BreakerSettings
from app.settings.source import SourceSettings
from tests.conftest import GatewayClient, GatewayReply, OpenGateway
from tests.fakes import FakeServices, Row, account_row, profile_row, settings_for_fakes, user_id
from tests.key_from import linked
from tests.sources.odd import ODD, STRANGE, with_member
from tests.ways import ALSO_BY_FILE, Ways

VICTIM = user_id(7)
ALL_USERS = [user_id(number) for number in range(50)]
VICTIMS = dict(zip(ALL_USERS[5:], ODD.values(), strict=False))
"""An odd value for each of many users."""

HALF = ODD["the first half of a pair"]

QUERY = "query($ids: [ID!]!) { users(ids: $ids) { username displayName } }"
ALONE = "query($id: ID!) { user(id: $id) { username displayName } }"


@pytest.fixture(params=ALSO_BY_FILE, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


def with_odd_values(
    row_of: Callable[[int], Row],
    parameter: str,
    name: str,
    odd: Mapping[str, bytes],
    around: str = "%s",
) -> Callable[[httpx.Request], httpx.Response]:
    """Make a service that knows all users and has an odd member in the rows of some.

    Args:
        row_of: Makes a row.
        parameter: The parameter that names users.
        name: The name of the member.
        odd: JSON texts of its value, by user.
        around: The response, with ``%s`` for its rows.
    """
    before, _, after = around.partition("%s")

    def behave(request: httpx.Request) -> httpx.Response:
        rows: list[bytes] = []
        for key in request.url.params.get_list(parameter):
            row = dict(row_of(int(key[-4:])))
            if key in odd:
                row.pop(name, None)
                rows.append(with_member(json.dumps(row).encode(), name, odd[key]))
            else:
                rows.append(json.dumps(row).encode())
        body = before.encode() + b"[" + b",".join(rows) + b"]" + after.encode()
        return httpx.Response(200, content=body, headers={"content-type": "application/json"})

    return behave


def checked(reply: GatewayReply) -> GatewayReply:
    """Check that a response is JSON in UTF-8, without half of a surrogate pair."""
    str(json.loads(reply.response.content.decode("utf-8"))).encode("utf-8")
    return reply


def names_of(reply: GatewayReply) -> Mapping[str, object]:
    """Return the usernames of a response for all users."""
    users = reply.data["users"]
    return {key: user["username"] for key, user in zip(ALL_USERS, users, strict=True)}


RIGHT: Mapping[str, object] = {key: f"user{int(key[-4:])}" for key in ALL_USERS}


def with_breakers(**changes: Any) -> Settings:  # noqa: ANN401 # any setting of profile
    """Make settings with circuit breakers that open after few failures."""
    settings = settings_for_fakes()
    sources: dict[str, Any] = {
        name: one.model_copy(update={"breaker": BreakerSettings(min_calls=5)})
        for name, one in settings.sources.items()
    }
    changed = {**sources["profile"].model_dump(), **changes}
    sources["profile"] = SourceSettings.model_validate(changed)
    return settings.model_copy(update={"sources": sources})


@pytest.fixture
async def gateway(open_gateway: OpenGateway) -> AsyncGenerator[GatewayClient]:
    """Return the gateway with circuit breakers that open after few failures."""
    async with open_gateway(with_breakers()) as opened:
        yield opened


EACH: Mapping[str, Any] = {"form": "repeat", "path": "/users", "parameter": "id"}
SELECT: Mapping[str, Any] = {**EACH, "select": {"parameter": "only"}}
EXPRESSIONS = {
    "username": "username",
    "displayName": "displayName",
    "email": "email",
    "createdAt": "iso_time(createdAt)",
}
ENDPOINTS: Mapping[str, Any] = {
    "names": {"request": EACH, "fields": {"username": "username", "displayName": "displayName"}},
    "rest": {
        "request": {**EACH, "path": "/rest"},
        "fields": {name: name for name in ("email", "avatarUrl", "locale", "createdAt")},
    },
}
READINGS: Mapping[str, Mapping[str, Any]] = {
    "the default contract": {},
    "rows elsewhere": {"answer": {"rows": ["data"]}},
    "expressions": {"fields": EXPRESSIONS},
    "a key elsewhere": {"answer": {"key": ["id"], "fold_case": True}},
    "fewer fields": {"request": SELECT},
    "fewer fields by expressions": {"request": SELECT, "fields": EXPRESSIONS},
    "two endpoints": {"endpoints": ENDPOINTS},
}
"""The settings of profile for every way of reading rows."""


@pytest.mark.parametrize("used", [True, False], ids=["read", "not read"])
@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
async def test_unreadable_values_fail_only_their_fields_and_cost_no_extra_call(
    open_gateway: OpenGateway,
    services: FakeServices,
    reading: Mapping[str, Any],
    *,
    used: bool,
) -> None:
    name = "displayName" if used else "biography"
    around = '{"data": %s}' if reading.get("answer", {}).get("rows") else "%s"
    services.profile.behaviour = with_odd_values(profile_row, "id", name, VICTIMS, around)

    async with open_gateway(with_breakers(**reading)) as gateway:
        reply = checked(await gateway.query(QUERY, ids=ALL_USERS))

    failed = [f"users.{ALL_USERS.index(key)}.displayName" for key in VICTIMS]
    assert names_of(reply) == RIGHT
    assert reply.codes == (dict.fromkeys(failed, "SOURCE_MALFORMED") if used else {})
    assert services.calls["profile"] == 1


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
async def test_an_unreadable_row_is_not_retried_and_opens_no_circuit(
    gateway: GatewayClient, services: FakeServices, value: bytes
) -> None:
    services.profile.behaviour = with_odd_values(profile_row, "id", "displayName", {VICTIM: value})

    for _ in range(10):
        reply = checked(await gateway.query(ALONE, id=VICTIM))
        assert set(reply.codes.values()) == {"SOURCE_MALFORMED"}
    assert services.calls["profile"] == 10

    reply = await gateway.query(ALONE, id=user_id(8))
    assert reply.data["user"]["username"] == "user8"
    assert not gateway.events("source.circuit")


@pytest.mark.parametrize("value", STRANGE.values(), ids=STRANGE)
async def test_strange_but_valid_text_is_returned_unchanged(
    gateway: GatewayClient, services: FakeServices, value: bytes
) -> None:
    services.profile.behaviour = with_odd_values(profile_row, "id", "displayName", {VICTIM: value})

    reply = checked(await gateway.query(ALONE, id=VICTIM))

    assert reply.data["user"]["displayName"] == json.loads(value)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2024-02-29 12:00:00.1234567+01:00", "2024-02-29T12:00:00.123457+01:00"),
        ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z"),
        ("20260601", None),
        ("0", None),
        ("1717200000", None),
        ("2024-02-29T12:00Z", None),
        ("2024-02-29T12:00:60Z", None),
    ],
)
@pytest.mark.parametrize("beside", [[], [user_id(8)]], ids=["alone", "beside a good one"])
async def test_a_leap_second_is_a_time_and_an_incomplete_time_is_malformed(
    gateway: GatewayClient, services: FakeServices, text: str, time: str | None, beside: list[str]
) -> None:
    services.profile.behaviour = with_odd_values(
        profile_row, "id", "createdAt", {VICTIM: json.dumps(text).encode()}
    )

    query = "query($ids: [ID!]!) { users(ids: $ids) { createdAt } }"
    reply = await gateway.query(query, ids=[*beside, VICTIM])

    assert [user["createdAt"] for user in reply.data["users"]] == [
        *["2024-02-29T12:00:00Z" for _ in beside],
        time,
    ]
    assert list(reply.codes.values()) == ([] if time else ["SOURCE_MALFORMED"])


async def test_a_row_with_an_unreadable_key_fails_all_users_without_a_row(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.profile.behaviour = with_odd_values(profile_row, "id", "id", {VICTIM: HALF})

    reply = checked(await gateway.query(QUERY, ids=ALL_USERS))

    assert names_of(reply) == {**RIGHT, VICTIM: None}
    assert set(reply.codes.values()) == {"SOURCE_MALFORMED"}


async def test_an_unreadable_key_of_another_source_fails_that_source_for_its_user(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    def row_of(number: int) -> Row:
        return profile_row(number, keys={"billing": f"customer-{number:04}"})

    odd = {VICTIM: b'{"billing": ' + HALF + b"}"}
    services.profile.behaviour = with_odd_values(row_of, "id", "keys", odd)
    services.billing.rows = {
        f"customer-{number:04}": account_row(number, userId=f"customer-{number:04}")
        for number in range(50)
    }

    async with open_gateway(linked(with_breakers(), {"billing": "profile"})) as gateway:
        query = "query($ids: [ID!]!) { users(ids: $ids) { username plan } }"
        reply = checked(await gateway.query(query, ids=ALL_USERS))

    assert names_of(reply) == RIGHT
    assert reply.codes == {"users.7.plan": "SOURCE_MALFORMED"}
    assert [user["plan"] for user in reply.data["users"]].count("pro") == 49


@pytest.mark.parametrize("odd", [HALF, ODD["beyond the largest float"], b"null", b'" "'])
async def test_an_unreadable_last_row_of_a_page_fails_the_users_without_a_row(
    open_gateway: OpenGateway, services: FakeServices, odd: bytes
) -> None:
    answer = {
        "rows": ["data"],
        "more": {
            "has_more": ["more"],
            "row_cursor": ["id"],
            "cursor_parameter": "after",
        },
    }
    last = ALL_USERS[-1]
    services.profile.behaviour = with_odd_values(
        profile_row, "id", "id", {last: odd}, '{"data": %s, "more": true}'
    )

    async with open_gateway(with_breakers(answer=answer)) as gateway:
        reply = checked(await gateway.query(QUERY, ids=ALL_USERS))

    assert names_of(reply) == {**RIGHT, last: None}
    assert services.calls["profile"] == 1
