"""Drafts of the GraphQL specification: each behind a setting, and named as a draft."""

from typing import Any

import pytest
from graphql import build_schema

from app.execution.schema import schema_for
from app.schema.export import client_text
from app.settings.field_schema import settings_in
from app.settings.models import Settings
from app.settings.public_schema import DraftSettings
from tests.conftest import GatewayReply, OpenGateway
from tests.fakes import FakeServices, profile_row, settings_for_fakes, user_id
from tests.ways import BOTH, Ways

FIELD = {
    "source": "profile",
    "type": "String!",
    "value": "username",
    "description": "The name to sign in with.",
    "may": "public",
}
QUERY = "{ __service { description capabilities { name value } } }"
CAPABILITIES: list[dict[str, str | None]] = [
    {"name": "graphql.operationDescriptions", "value": None},
    {"name": "graphql.onError", "value": None},
    {"name": "graphql.defaultErrorBehavior", "value": "NULL"},
]


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


def drafting(**drafts: bool) -> Settings:
    """Make settings that enable some drafts, with a field that is null only with an error."""
    tables: dict[str, Any] = {"schema": {"drafts": drafts}, "user": {"login": FIELD}}
    return Settings.model_validate({**settings_in(settings_for_fakes()), **tables})


def test_every_draft_is_off_by_default_and_described_as_a_draft() -> None:
    assert DraftSettings() == DraftSettings(semantic_non_null=False, service_capabilities=False)
    for info in DraftSettings.model_fields.values():
        assert (info.description or "").startswith("Draft: ")


async def test_the_capabilities_list_on_error_and_its_default(open_gateway: OpenGateway) -> None:
    async with open_gateway(drafting(service_capabilities=True)) as gateway:
        reply = await gateway.query(QUERY)
        in_parts = await gateway.query(
            "query { ...F } fragment F on Query { s: __service { __typename ... { capabilities {"
            " __typename } } } }"
        )

    assert reply.body == {
        "data": {"__service": {"description": None, "capabilities": CAPABILITIES}}
    }
    assert in_parts.data["s"] == {
        "__typename": "__Service",
        "capabilities": [{"__typename": "__Capability"}] * 3,
    }


async def test_capabilities_can_be_queried_with_users_and_cost_as_objects(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    query = f'{{ user(id: "{user_id(1)}") {{ plan }} {QUERY[1:]}'

    async with open_gateway(drafting(service_capabilities=True)) as gateway:
        reply = await gateway.query(query)
        [logged] = gateway.events("graphql.operation")

    assert reply.data["user"] == {"plan": "pro"}
    assert reply.data["__service"]["capabilities"] == CAPABILITIES
    assert logged["cost"] == 3


async def test_the_capabilities_do_not_exist_without_the_setting(open_gateway: OpenGateway) -> None:
    async with open_gateway(settings_for_fakes(introspection=True)) as gateway:
        reply = await gateway.query(QUERY)
        probed = await gateway.query('{ __type(name: "__Service") { name } }')

    assert reply.errors[0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert probed.data == {"__type": None}


async def test_the_type_of_capabilities_is_found_by_name_but_not_listed(
    open_gateway: OpenGateway,
) -> None:
    settings = drafting(service_capabilities=True).model_copy(update={"introspection": True})
    async with open_gateway(settings) as gateway:
        probed = await gateway.query('{ __type(name: "__Service") { name fields { name } } }')
        reply = await gateway.query("{ __schema { types { name } queryType { fields { name } } } }")

    fields = [{"name": "description"}, {"name": "capabilities"}]
    assert probed.data == {"__type": {"name": "__Service", "fields": fields}}
    assert {"name": "__Service"} not in reply.data["__schema"]["types"]
    assert {"name": "__service"} not in reply.data["__schema"]["queryType"]["fields"]


@pytest.mark.parametrize("on_error", ["NULL", "PROPAGATE"])
async def test_a_semantic_non_null_field_is_null_with_an_error_and_keeps_the_user(
    open_gateway: OpenGateway, services: FakeServices, on_error: str
) -> None:
    services.know(1, 2)
    services.profile.rows[user_id(2)] = profile_row(2, username=None)
    ids = f'["{user_id(1)}", "{user_id(2)}"]'
    body = {"query": f"{{ users(ids: {ids}) {{ login plan }} }}", "onError": on_error}

    async with open_gateway(drafting(semantic_non_null=True)) as gateway:
        response = await gateway.client.post("/graphql", json=body)
    reply = GatewayReply(response, response.json())

    one, two = {"login": "user1", "plan": "pro"}, {"login": None, "plan": "pro"}
    assert reply.data == {"users": [one, two]}
    assert reply.codes == {"users.1.login": "SOURCE_MALFORMED"}


@pytest.mark.parametrize("ways", BOTH[:1], ids=str)
def test_the_schema_marks_semantic_non_null_fields(ways: Ways) -> None:
    assert ways.short
    schema, _ = schema_for(drafting(semantic_non_null=True))
    without, _ = schema_for(drafting())

    text, usual = client_text(schema.core), client_text(without.core)

    definition = "directive @semanticNonNull(levels: [Int!]! = [0]) on FIELD_DEFINITION"
    assert definition in text
    assert "directive @semanticNonNull(levels: [Int!]!) on FIELD_DEFINITION" in schema.as_str()
    assert "  login: String @semanticNonNull(levels: [0])\n" in schema.as_str()
    assert "  login: String @semanticNonNull\n" in text
    assert text.count("@semanticNonNull") == 2
    assert "  login: String!\n" in usual
    assert "semanticNonNull" not in usual
    assert {*build_schema(text).type_map} == {*build_schema(usual).type_map}
