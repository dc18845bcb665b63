"""Ids that differ only in case: one user if case has no meaning, and two users if it has."""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence

import httpx
import pytest

from app.settings.models import Settings
from app.settings.resilience import CacheSettings
from tests.callers import by_headers, headers_of
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    Behaviour,
    FakeServices,
    Row,
    account_row,
    activity_row,
    invoice,
    json_response,
    profile_row,
    settings_for_fakes,
)
from tests.ways import BOTH, Ways

LOWER = "0f8fad5b-d9cb-469f-a165-70867728950e"
UPPER = LOWER.upper()
OTHER = "0f8fad5b-d9cb-469f-a165-70867728950f"

FIELDS = "username plan loginCount"
QUERY = f"query($ids: [ID!]!) {{ users(ids: $ids) {{ id {FIELDS} }} }}"
ALONE = f"query($id: ID!) {{ user(id: $id) {{ id {FIELDS} }} }}"
ANYBODY = re.compile("[^/]{1,40}")


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


def finding(rows: Mapping[str, Row], name: str) -> Behaviour:
    """Make a service that finds rows whatever the case of their keys."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = {one.lower() for one in request.url.params.get_list(name)}
        return json_response([row for key, row in rows.items() if key in asked])

    return answer


def know(services: FakeServices, *users: str) -> None:
    """Add users to all three services; they find them in either case and write one case."""
    makers = (
        (services.profile, profile_row, "id"),
        (services.billing, account_row, "userId"),
        (services.activity, activity_row, "userId"),
    )
    for service, make, name in makers:
        rows = {user.lower(): make(number, **{name: user}) for number, user in enumerate(users)}

        service.behaviour = finding(rows, name)


@pytest.fixture
async def gateway(open_gateway: OpenGateway) -> AsyncGenerator[GatewayClient]:
    """Return the gateway over the fakes."""
    async with open_gateway(settings_for_fakes()) as opened:
        yield opened


@pytest.mark.parametrize(("asked", "written"), [(UPPER, LOWER), (LOWER, UPPER)])
async def test_a_uuid_that_is_returned_in_another_case_is_the_same_user(
    gateway: GatewayClient, services: FakeServices, asked: str, written: str
) -> None:
    know(services, written, OTHER)
    right = {"id": asked, "username": "user0", "plan": "pro", "loginCount": 0}

    alone = await gateway.query(ALONE, id=asked)
    beside = await gateway.query(QUERY, ids=[OTHER, asked])

    assert alone.body == {"data": {"user": right}}
    assert beside.data["users"][1] == right
    assert not beside.errors
    assert not gateway.events("source.odd_rows")
    assert not gateway.events("source.question_ignored")


async def test_a_user_requested_in_both_cases_is_returned_in_both(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, LOWER)

    reply = await gateway.query(QUERY, ids=[UPPER, LOWER])

    assert [user["id"] for user in reply.data["users"]] == [UPPER, LOWER]
    assert [user["username"] for user in reply.data["users"]] == ["user0", "user0"]
    assert not reply.errors
    assert services.profile.batches == [[UPPER, LOWER]]


async def test_an_unknown_user_is_unknown_in_either_case(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, OTHER)

    reply = await gateway.query(QUERY, ids=[UPPER, OTHER, LOWER])

    assert [user and user["username"] for user in reply.data["users"]] == [None, "user0", None]
    assert not reply.errors


async def test_the_cursor_of_a_list_is_valid_in_either_case(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.profile.rows = {LOWER: profile_row(1, id=LOWER), UPPER: profile_row(1, id=LOWER)}
    services.billing.rows = {one: account_row(1, userId=LOWER) for one in (LOWER, UPPER)}
    services.billing.invoices = {key: [invoice(2), invoice(1)] for key in (LOWER, UPPER)}
    query = """query($id: ID!, $after: String) {
        user(id: $id) { invoices(first: 1, after: $after) {
            edges { node { id } } pageInfo { endCursor }
        } }
    }"""

    first = await gateway.query(query, id=UPPER)
    cursor = first.data["user"]["invoices"]["pageInfo"]["endCursor"]
    second = await gateway.query(query, id=LOWER, after=cursor)

    assert second.data["user"]["invoices"]["edges"] == [{"node": {"id": "inv-1"}}]


async def test_a_cached_record_in_either_case_is_never_given_to_another_user(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    know(services, LOWER, OTHER)
    settings = settings_for_fakes()
    sources = {
        name: one.model_copy(update={"cache": CacheSettings(enabled=True)})
        for name, one in settings.sources.items()
    }
    settings = settings.model_copy(update={"sources": sources})

    async with open_gateway(settings) as gateway:
        for ids in ([UPPER, OTHER], [LOWER], [OTHER.upper(), UPPER], [LOWER, OTHER]):
            reply = await gateway.query(QUERY, ids=ids)
            names = {"user0" if one.lower() == LOWER else "user1" for one in ids}
            assert {user["username"] for user in reply.data["users"]} == names


@pytest.mark.parametrize(("subject", "asked"), [(UPPER, LOWER), (LOWER, UPPER)])
async def test_a_caller_sees_its_own_fields_in_either_case(
    open_gateway: OpenGateway, services: FakeServices, subject: str, asked: str
) -> None:
    know(services, LOWER, OTHER)
    query = "query($ids: [ID!]!) { me { email } users(ids: $ids) { email } }"

    async with open_gateway(settings_for_fakes(), by_headers) as gateway:
        reply = await gateway.query_as(headers_of(subject), query, ids=[OTHER, asked])
        ann = await gateway.query_as(headers_of(OTHER), query, ids=[asked])

    assert reply.data["me"] == reply.data["users"][1] == {"email": "user0@example.com"}
    assert reply.codes == {"users.0.email": "FORBIDDEN"}
    assert ann.codes == {"users.0.email": "FORBIDDEN"}


async def test_a_caller_is_not_the_user_whose_id_differs_in_case(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    know(services, "ann")
    query = "query($ids: [ID!]!) { users(ids: $ids) { email } }"

    async with open_gateway(taking(re.compile("[a-zA-Z]+")), by_headers) as gateway:
        apart = await gateway.query_as(headers_of("ANN"), query, ids=["ann"])
    async with open_gateway(taking(re.compile("(?i)[a-z]+")), by_headers) as gateway:
        same = await gateway.query_as(headers_of("ANN"), query, ids=["ann"])

    assert apart.codes == {"users.0.email": "FORBIDDEN"}
    assert same.data["users"] == [{"email": "user0@example.com"}]


def taking(pattern: re.Pattern[str]) -> Settings:
    """Make settings that accept other ids."""
    return settings_for_fakes(user_id_pattern=pattern)


async def names_of(gateway: GatewayClient, ids: Sequence[str]) -> list[str | None]:
    """Ask for users, and return their names."""
    reply = await gateway.query(QUERY, ids=list(ids))
    assert not reply.errors
    return [None if user is None else user["username"] for user in reply.data["users"]]


async def test_ids_in_both_cases_are_one_user_if_the_pattern_ignores_case(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    know(services, "ann", "bob")

    async with open_gateway(taking(re.compile("(?i)[a-z]+"))) as gateway:
        assert await names_of(gateway, ["ANN", "bob", "Ann", "ann"]) == [
            "user0",
            "user1",
            "user0",
            "user0",
        ]
        assert not gateway.events("source.odd_rows")


async def test_ids_in_both_cases_are_two_users_if_the_pattern_respects_case(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    know(services, "ann", "bob")

    async with open_gateway(taking(re.compile("[a-zA-Z]+"))) as gateway:
        assert await names_of(gateway, ["bob", "ann"]) == ["user1", "user0"]
        reply = await gateway.query(QUERY, ids=["bob", "ANN"])
        alone = await gateway.query(QUERY, ids=["ANN"])

    known, other = reply.data["users"]
    assert known["username"] == "user1"
    # The services return ann for ANN, so that ANN is neither found nor unknown.
    assert other == alone.data["users"][0] == {"id": "ANN", **dict.fromkeys(FIELDS.split())}
    assert set(reply.codes.values()) == set(alone.codes.values()) == {"SOURCE_MALFORMED"}


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("stra\u00dfe", "strasse"),
        ("STRASSE", "stra\u00dfe"),
        ("kim", "\u212aim"),
        ("sam", "\u017fam"),
    ],
)
@pytest.mark.parametrize("pattern", [ANYBODY, re.compile("(?i)[^/]{1,40}")])
async def test_ids_that_are_equal_only_by_unicode_rules_are_different_users(
    open_gateway: OpenGateway,
    services: FakeServices,
    pattern: re.Pattern[str],
    asked: str,
    written: str,
) -> None:
    services.profile.rows = {asked: profile_row(1, id=written), "bob": profile_row(2, id="bob")}
    query = "query($ids: [ID!]!) { users(ids: $ids) { username } }"

    async with open_gateway(taking(pattern)) as gateway:
        alone = await gateway.query(query, ids=[asked])
        beside = await gateway.query(query, ids=["bob", asked])

    for user in (alone.data["users"][0], beside.data["users"][1]):
        assert user is None or user["username"] is None
    assert beside.data["users"][0] == {"username": "user2"}
