"""``node`` and ``nodes`` return the same users as ``user`` and ``users``."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.errors import ConfigurationError
from app.execution.schema import schema_for
from app.settings.field_schema import settings_in
from app.settings.limits import LimitsSettings
from app.settings.models import Settings
from app.settings.server import TrustedSettings
from tests.callers import by_headers, headers_of
from tests.conftest import OpenGateway
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id
from tests.ways import EVERY, Ways

NODE = "query($id: ID!) { node(id: $id) { id __typename ... on User { username plan } } }"
NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on User { plan } ... on Node { id } } }"


@pytest.fixture(params=EVERY, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in every way."""
    ways: Ways = request.param
    return ways


def with_schema(**changes: Any) -> Settings:  # noqa: ANN401 # any setting of the schema
    """Change the schema as a whole."""
    return Settings.model_validate({**settings_in(settings_for_fakes()), "schema": changes})


async def test_a_user_is_found_as_a_node(open_gateway: OpenGateway, services: FakeServices) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes()) as gateway:
        found = await gateway.query(NODE, id=user_id(1))
        unknown = await gateway.query(NODE, id=user_id(2))

    expected = {"id": user_id(1), "__typename": "User", "username": "user1", "plan": "pro"}
    assert found.body == {"data": {"node": expected}}
    assert unknown.body == {"data": {"node": None}}
    assert services.billing.batches == [[user_id(1)], [user_id(2)]]


async def test_several_nodes_are_returned_in_order_by_one_call(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    ids = [user_id(2), user_id(9), user_id(1), user_id(2)]

    async with open_gateway(settings_for_fakes()) as gateway:
        reply = await gateway.query(NODES, ids=ids)

    one, two = ({"plan": "pro", "id": user_id(number)} for number in (1, 2))
    assert reply.body == {"data": {"nodes": [two, None, one, two]}}
    assert services.billing.batches == [[user_id(2), user_id(9), user_id(1)]]
    assert not services.profile.batches


async def test_the_id_of_a_node_alone_only_checks_whether_the_user_exists(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes()) as gateway:
        reply = await gateway.query(f'{{ node(id: "{user_id(1)}") {{ id }} }}')

    assert reply.data == {"node": {"id": user_id(1)}}
    assert services.calls == {"profile": 1, "billing": 0, "activity": 0}


async def test_a_failed_source_fails_only_its_fields_of_a_node(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)

    async with open_gateway(settings_for_fakes()) as gateway:
        reply = await gateway.query(NODE, id=user_id(1))

    assert reply.data["node"]["username"] == "user1"
    assert reply.codes == {"node.plan": "SOURCE_UNAVAILABLE"}


async def test_nodes_have_the_policies_of_users(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    caller = headers_of(user_id(1))

    async with open_gateway(settings_for_fakes(), by_headers) as gateway:
        reply = await gateway.query_as(caller, NODES, ids=[user_id(1), user_id(2)])

    assert [one["plan"] for one in reply.data["nodes"]] == ["pro", None]
    assert reply.codes == {"nodes.1.plan": "FORBIDDEN"}
    assert services.billing.batches == [[user_id(1)]]


async def test_ids_of_nodes_are_checked_before_any_call(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    async with open_gateway(settings_for_fakes()) as gateway:
        wrong = await gateway.query(NODE, id="wrong")
        many = await gateway.query(NODES, ids=[user_id(1)] * 101)

    assert wrong.codes == {"node": "BAD_USER_INPUT"}
    assert many.errors[0]["message"] == "nodes takes at most 100 ids, got 101"
    assert not any(services.calls.values())


async def test_nodes_have_the_cost_and_the_explanation_of_users(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes(explain=True, limits=LimitsSettings(report="asked"))
    several = "query($ids: [ID!]!) { %s(ids: $ids) { ... on User { balance { amount } } } }"
    one = "query($id: ID!) { %s(id: $id) { ... on User { events(first: 3) { id } } } }"
    cases: list[tuple[str, tuple[str, str], Mapping[str, object]]] = [
        (several, ("nodes", "users"), {"ids": [user_id(1)] * 7}),
        (one, ("node", "user"), {"id": user_id(1)}),
    ]

    async with open_gateway(settings) as gateway:
        for text, roots, variables in cases:
            costs: list[object] = []
            calls: list[object] = []
            for root in roots:
                query = text.replace("%s", root)
                reply = await gateway.query_as({"X-Gateway-Cost": "1"}, query, **variables)
                costs.append(reply.body["extensions"]["cost"])
                explained = await gateway.query_as({"X-Gateway-Explain": "1"}, query, **variables)
                explanation: Mapping[str, Any] = explained.body["extensions"]["explain"]
                calls.append((explanation["cost"], explanation["compiled"], explanation["sources"]))
            assert costs[0] == costs[1]
            assert calls[0] == calls[1]


async def test_a_trusted_document_may_query_a_node(
    open_gateway: OpenGateway, services: FakeServices, tmp_path: Path
) -> None:
    services.know(1)
    (tmp_path / "node.graphql").write_text(NODE, encoding="utf-8")
    settings = settings_for_fakes(trusted=TrustedSettings(path=tmp_path, mode="only"))
    digest = hashlib.sha256(NODE.encode()).hexdigest()

    async with open_gateway(settings) as gateway:
        body = {"documentId": f"sha256:{digest}", "variables": {"id": user_id(1)}}
        response = await gateway.client.post("/graphql", json=body)

    assert response.json()["data"]["node"]["username"] == "user1"


@pytest.mark.parametrize("ways", EVERY[:2], ids=str)
async def test_the_type_of_a_user_may_have_another_name(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    query = f'{{ node(id: "{user_id(1)}") {{ __typename ... on Employee {{ username }} }} }}'

    async with open_gateway(with_schema(type="Employee", plural="staff")) as gateway:
        reply = await gateway.query(query)

    assert reply.body == {"data": {"node": {"__typename": "Employee", "username": "user1"}}}


@pytest.mark.parametrize("ways", EVERY[:2], ids=str)
async def test_the_schema_may_be_configured_without_nodes(open_gateway: OpenGateway) -> None:
    settings = with_schema(node=False)
    schema, _ = schema_for(settings)

    async with open_gateway(settings) as gateway:
        reply = await gateway.query(NODE, id=user_id(1))

    assert "Node" not in schema.core.type_map
    assert {one["extensions"]["code"] for one in reply.errors} == {"GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.parametrize("ways", EVERY[:1], ids=str)
@pytest.mark.parametrize(
    ("tables", "mistakes"),
    [
        ({"schema": {"type": "Nodes"}}, ["is Nodes, whose root field nodes is there already."]),
        ({"schema": {"plural": "node"}}, ["gives two root fields one name: node."]),
        (
            {"schema": {"type": "Node"}},
            [
                "is Node, which is a type of the schema already, unless [schema] has node = false.",
                "is Node, whose root field node is there already.",
            ],
        ),
        (
            {"enums": {"Node": {"description": "A node.", "values": {"A": {}}}}},
            ["is a type of the schema already, unless [schema] has node = false: expected another"],
        ),
    ],
)
def test_a_name_that_conflicts_with_nodes_is_reported(
    ways: Ways, tables: Mapping[str, object], mistakes: list[str]
) -> None:
    settings = Settings.model_validate({**settings_in(settings_for_fakes()), **tables})

    with pytest.raises(ConfigurationError) as caught:
        schema_for(settings)

    assert ways.short
    assert len(caught.value.mistakes) == len(mistakes)
    for reported, expected in zip(caught.value.mistakes, mistakes, strict=True):
        assert expected in reported
