"""The root fields, above all those that a federation router uses."""

from typing import Any

import pytest
from graphql import build_schema

from app.settings.limits import LimitsSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, activity_row, failing, settings_for_fakes, user_id

ENTITIES = """
query($representations: [_Any!]!) {
  _entities(representations: $representations) {
    __typename
    ... on User { id username plan loginCount }
  }
}
"""


def representation(number: int, **more: object) -> dict[str, object]:
    """Make the representation of a user as a router sends it."""
    return {"__typename": "User", "id": user_id(number), **more}


async def test_a_hundred_representations_are_one_call_per_needed_source(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(*range(1, 101))

    reply = await gateway.query(
        ENTITIES, representations=[representation(n) for n in range(1, 101)]
    )

    assert not reply.errors
    assert reply.data["_entities"] == [
        {
            "__typename": "User",
            "id": user_id(n),
            "username": f"user{n}",
            "plan": "pro",
            "loginCount": n,
        }
        for n in range(1, 101)
    ]
    assert services.calls == {"profile": 1, "billing": 1, "activity": 1}


async def test_only_the_sources_that_the_entities_selection_needs_are_called(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    query = (
        "query($r: [_Any!]!) { _entities(representations: $r)"
        " { ... on _Entity { ...Paid } ... @include(if: false) { ... on User { username } } } }"
        " fragment Paid on User { plan }"
    )

    reply = await gateway.query(query, r=[representation(1)])

    assert reply.body == {"data": {"_entities": [{"plan": "pro"}]}}
    assert services.calls == {"profile": 0, "billing": 1, "activity": 0}


WRONG: list[Any] = [
    {},
    {"__typename": "Nope", "id": user_id(1)},
    {"__typename": 7, "id": user_id(1)},
    {"id": user_id(1)},
    {"__typename": "User"},
    {"__typename": "User", "id": None},
    {"__typename": "User", "id": [user_id(1)]},
    {"__typename": "User", "id": "no id"},
    {"__typename": "_Entity", "id": user_id(1)},
    "User",
    7,
    [user_id(1)],
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
async def test_an_invalid_representation_is_an_error_at_its_index_only(
    gateway: GatewayClient, services: FakeServices, wrong: object
) -> None:
    services.know(1, 2)

    reply = await gateway.query(
        ENTITIES, representations=[representation(1), wrong, representation(2)]
    )

    first, second, third = reply.data["_entities"]
    assert (first["username"], second, third["username"]) == ("user1", None, "user2")
    assert reply.codes == {"_entities.1": "BAD_USER_INPUT"}
    assert not gateway.events("graphql.bug")


async def test_fields_of_a_representation_beyond_its_key_are_ignored(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    reply = await gateway.query(
        ENTITIES, representations=[representation(1, plan="forged", info={"context": None})]
    )

    assert reply.data["_entities"][0]["plan"] == "pro"


async def test_an_unknown_entity_is_null_and_a_failed_source_fails_only_its_fields(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.activity.rows[user_id(1)] = activity_row(1)
    services.billing.behaviour = failing(503)

    reply = await gateway.query(
        "query($r: [_Any!]!) { a: _entities(representations: $r)"
        " { ... on User { username loginCount } }"
        " b: _entities(representations: $r) { ... on User { plan } } }",
        r=[representation(1), representation(2)],
    )

    assert reply.data["a"] == [{"username": None, "loginCount": 1}, None]
    assert reply.codes == {"b.0.plan": "SOURCE_UNAVAILABLE", "b.1.plan": "SOURCE_UNAVAILABLE"}


async def test_no_representations_give_no_entities_and_no_calls(
    gateway: GatewayClient, services: FakeServices
) -> None:
    given = await gateway.query(ENTITIES, representations=[])
    written = await gateway.query("{ _entities(representations: []) { __typename } }")

    assert given.body == written.body == {"data": {"_entities": []}}
    assert services.calls == {"profile": 0, "billing": 0, "activity": 0}


@pytest.mark.parametrize("asked", [101, 1_000])
async def test_many_representations_are_split_into_as_few_calls_as_possible(
    gateway: GatewayClient, services: FakeServices, asked: int
) -> None:
    services.know(*range(1, asked + 1))

    reply = await gateway.query(
        ENTITIES, representations=[representation(n) for n in range(1, asked + 1)]
    )

    assert not reply.errors
    assert [one["username"] for one in reply.data["_entities"]] == [
        f"user{n}" for n in range(1, asked + 1)
    ]
    sizes = [100] * (asked // 100) + ([asked % 100] if asked % 100 else [])
    for service in services.by_name.values():
        assert [len(batch) for batch in service.batches] == sizes
        assert len({key for batch in service.batches for key in batch}) == asked


async def test_representations_of_the_same_user_are_one_key(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1, 2, 3)
    numbers = [1 + n % 3 for n in range(1_000)]

    reply = await gateway.query(ENTITIES, representations=[representation(n) for n in numbers])

    assert [one["loginCount"] for one in reply.data["_entities"]] == numbers
    assert [sorted(batch) for batch in services.activity.batches] == [
        [user_id(1), user_id(2), user_id(3)]
    ]


async def test_invalid_representations_among_a_thousand_fail_alone(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(*range(1_000))
    sent: list[object] = [representation(n) for n in range(1_000)]
    places = range(0, 1_000, 100)
    for place, wrong in zip(places, WRONG, strict=False):
        sent[place] = wrong

    reply = await gateway.query(ENTITIES, representations=sent)

    found = reply.data["_entities"]
    assert [n for n, one in enumerate(found) if one is None] == list(places)
    assert all(one["username"] == f"user{n}" for n, one in enumerate(found) if one is not None)
    assert reply.codes == {f"_entities.{place}": "BAD_USER_INPUT" for place in places}


async def test_a_query_for_a_thousand_representations_has_the_limit_on_cost(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(*range(1_000))
    query = "query($r: [_Any!]!) { _entities(representations: $r) { ... on User { %s } } }"
    named = [representation(n) for n in range(1_000)]

    async with open_gateway(settings_for_fakes()) as gateway:
        plain = await gateway.query(query % "id username plan balance { amount }", r=named)
        costly = await gateway.query(query % "events { id }", r=named)
    async with open_gateway(settings_for_fakes(limits=LimitsSettings(cost=21_000))) as gateway:
        paid = await gateway.query(query % "events { id }", r=named)

    assert not plain.errors
    assert [one["message"] for one in costly.errors] == [
        "the request costs 21,000: at most 5,000 are allowed (cost)"
    ]
    assert [len(one["events"]) for one in paid.data["_entities"]] == [3] * 1_000


async def test_more_representations_than_the_limit_are_an_error_without_calls(
    gateway: GatewayClient, services: FakeServices
) -> None:
    reply = await gateway.query(ENTITIES, representations=[representation(1)] * 1_001)

    assert reply.codes == {"_entities": "BAD_USER_INPUT"}
    assert reply.errors[0]["message"] == (
        "_entities takes at most 1,000 representations, got 1,001"
    )
    assert services.calls == {"profile": 0, "billing": 0, "activity": 0}


async def test_a_null_representation_is_an_error_of_the_request(
    gateway: GatewayClient, services: FakeServices
) -> None:
    reply = await gateway.query(ENTITIES, representations=[representation(1), None])

    # `[_Any!]!` is the type in the federation specification; a null in it is a request error.
    assert "data" not in reply.body
    assert [one["extensions"]["code"] for one in reply.errors] == ["BAD_USER_INPUT"]
    assert "at [1]" in reply.errors[0]["message"]
    assert services.calls == {"profile": 0, "billing": 0, "activity": 0}


async def test_a_representation_can_be_written_into_the_document(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1, 2)
    query = (
        "query($id: ID!, $one: _Any!) { list: _entities(representations: "
        '[{__typename: "User", id: $id}, $one]) { ... on User { username } }'
        ' single: _entities(representations: {__typename: "User", id: $id})'
        " { ... on User { username } } }"
    )

    reply = await gateway.query(query, id=user_id(1), one=representation(2))

    assert reply.body == {
        "data": {
            "list": [{"username": "user1"}, {"username": "user2"}],
            "single": [{"username": "user1"}],
        }
    }


async def test_entities_without_fields_only_check_whether_the_users_exist(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    reply = await gateway.query(
        "query($r: [_Any!]!) { _entities(representations: $r) { __typename } }",
        r=[representation(1), representation(2)],
    )

    assert reply.body == {"data": {"_entities": [{"__typename": "User"}, None]}}
    assert services.calls == {"profile": 1, "billing": 0, "activity": 0}


async def test_a_router_reads_the_schema_and_its_key(open_gateway: OpenGateway) -> None:
    async with open_gateway(settings_for_fakes(introspection=True)) as gateway:
        reply = await gateway.query("{ _service { sdl } }")

    sdl = reply.data["_service"]["sdl"]
    assert 'type User implements Node @key(fields: "id")' in sdl
    assert "https://specs.apollo.dev/federation/v2.9" in sdl
    assert build_schema(sdl, assume_valid_sdl=True).get_type("User") is not None


async def test_users_and_entities_and_a_single_user_share_one_call(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1, 2, 3)

    reply = await gateway.query(
        "query($r: [_Any!]!, $ids: [ID!]!, $id: ID!) {"
        " _entities(representations: $r) { ... on User { username } }"
        " users(ids: $ids) { username } user(id: $id) { username } }",
        r=[representation(1)],
        ids=[user_id(2), user_id(1)],
        id=user_id(3),
    )

    assert not reply.errors
    assert [sorted(batch) for batch in services.profile.batches] == [
        [user_id(1), user_id(2), user_id(3)]
    ]
