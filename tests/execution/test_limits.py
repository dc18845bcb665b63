"""Each limit over HTTP: a request at the limit, one over it, and without the limit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from graphql import get_introspection_query

from app.settings.fastpath import FastpathSettings
from app.settings.limits import LimitsSettings
from app.settings.server import BatchSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, settings_for_fakes, user_id

ID = user_id(1)
ONE = f'{{ user(id: "{ID}") {{ id }} }}'


@dataclass(frozen=True)
class DocumentCase:
    """A request with a known amount of what one limit counts.

    Attributes:
        limit: The limit on it.
        amount: How much it has.
        query: The document.
        variables: Its variables.
        operation: Which of its operations is run.
    """

    limit: str
    amount: int
    query: str
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    operation: str | None = None


IDS = "query($ids: [ID!]!) { users(ids: $ids) { id } }"

ENTITIES = "query($of: [_Any!]!) { _entities(representations: $of) { __typename } }"

WHOLE = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    experimental_directive_deprecation=True,
    one_of=True,
)
TWICE = WHOLE.replace("query IntrospectionQuery {", "{ ...F ...F } fragment F on Query {")

CASES = [
    DocumentCase("document_bytes", len(ONE), ONE),
    DocumentCase("document_bytes", len(ONE) + 6, ONE + "#" + "é" * 2 + "\n"),
    DocumentCase("tokens", 11, ONE),
    DocumentCase("tokens", 15, ONE + "\n" * 14),
    DocumentCase("tokens", 15, "\r\n" * 14 + ONE),
    DocumentCase("depth", 2, ONE),
    DocumentCase(
        "depth",
        3,
        f'{{ user(id: "{ID}") {{ ...F }} }} fragment F on User {{ balance {{ amount }} }}',
    ),
    DocumentCase("depth", 1, '{ __type(name: "User") { fields { type { ofType { name } } } } }'),
    DocumentCase("aliases", 2, f'{{ a: user(id: "{ID}") {{ b: id }} }}'),
    DocumentCase(
        "aliases", 3, f'{{ user(id: "{ID}") {{ ...F ...F a: id }} }} fragment F on User {{ b: id }}'
    ),
    DocumentCase("root_fields", 2, "{ __typename ...F } fragment F on Query { __typename }"),
    DocumentCase(
        "directives",
        3,
        "{ __typename @skip(if: false) ...F @skip(if: false) }"
        " fragment F on Query { __typename @include(if: true) }",
    ),
    DocumentCase("operations", 1, ONE),
    DocumentCase("operations", 2, f"query A {ONE} query B {{ __typename }}", operation="A"),
    DocumentCase("cost", 1, ONE),
    DocumentCase("cost", 3, IDS, {"ids": [ID] * 3}),
    DocumentCase("introspection", 1, WHOLE),
    DocumentCase("introspection", 2, TWICE),
    DocumentCase("variables_bytes", len('{"ids":[""]}') + len(ID), IDS, {"ids": [ID]}),
    DocumentCase("variables_values", 2, IDS, {"ids": [ID]}),
    DocumentCase("variables_values", 3, IDS, {"ids": [ID], "of no variable": ",[{,[{"}),
    DocumentCase("variables_values", 4, ENTITIES, {"of": [{"__typename": "User", "id": ID}]}),
    DocumentCase("variables_depth", 1, IDS, {"ids": [ID]}),
    DocumentCase("variables_depth", 2, ENTITIES, {"of": [{"__typename": "User", "id": ID}]}),
]


async def ask(open_gateway: OpenGateway, case: DocumentCase, limit: int) -> Mapping[str, Any]:
    """Send a request to a gateway that has one limit and no others."""
    others = {name: 0 for name, one in LimitsSettings.model_fields.items() if one.annotation is int}
    limits = LimitsSettings.model_validate({**others, case.limit: limit})
    async with open_gateway(settings_for_fakes(limits=limits, introspection=True)) as gateway:
        sent = {"query": case.query, "variables": case.variables, "operationName": case.operation}
        body: Mapping[str, Any] = (await gateway.client.post("/graphql", json=sent)).json()
        return body


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.limit}-{case.amount}")
async def test_a_request_at_a_limit_is_answered_and_one_over_it_is_refused(
    open_gateway: OpenGateway, services: FakeServices, case: DocumentCase
) -> None:
    services.know(1)

    at = await ask(open_gateway, case, case.amount)
    off = await ask(open_gateway, case, 0)

    assert "errors" not in at
    assert at == off
    if case.amount > 1:
        over = await ask(open_gateway, case, case.amount - 1)
        [error] = over["errors"]
        assert "data" not in over
        assert error["extensions"] == {
            "code": "QUERY_TOO_COMPLEX",
            "limit": case.limit,
            "allowed": case.amount - 1,
        }
        assert f"at most {case.amount - 1} are allowed ({case.limit})" in error["message"]


@pytest.mark.parametrize(
    ("limit", "query", "variables"),
    [
        ("depth", "{ __typename ...F } fragment F on User { balance { amount } }", {}),
        ("operations", "query A { __typename } query B { __typename }", {}),
        ("variables_depth", IDS, {"ids": [[ID]]}),
    ],
)
async def test_a_refused_request_calls_no_source(
    open_gateway: OpenGateway,
    services: FakeServices,
    limit: str,
    query: str,
    variables: Mapping[str, Any],
) -> None:
    body = await ask(open_gateway, DocumentCase(limit, 1, query, variables), 1)

    assert body["errors"]
    assert services.calls == {"profile": 0, "billing": 0, "activity": 0}


@pytest.mark.parametrize("compiling", [True, False])
async def test_compiled_operations_are_limited_on_each_request(
    open_gateway: OpenGateway,
    services: FakeServices,
    compiling: bool,  # noqa: FBT001 # a column of the table
) -> None:
    services.know(1)
    limits = LimitsSettings(cost=2)

    async with open_gateway(
        settings_for_fakes(limits=limits, fastpath=FastpathSettings(compiled=compiling))
    ) as gateway:
        few = [await gateway.query(IDS, ids=[ID] * 2) for _ in range(2)]
        many = [await gateway.query(IDS, ids=[ID] * 3) for _ in range(2)]

    assert [reply.body.get("errors") for reply in few] == [None, None]
    for reply in many:
        assert reply.response.status_code == 200
        assert reply.errors[0]["message"] == ("the request costs 3: at most 2 are allowed (cost)")


async def test_a_limit_error_has_status_400_for_the_graphql_response_media_type(
    open_gateway: OpenGateway,
) -> None:
    async with open_gateway(settings_for_fakes(limits=LimitsSettings(tokens=3))) as gateway:
        response = await gateway.client.post(
            "/graphql", json={"query": ONE}, headers={"Accept": "application/graphql-response+json"}
        )

    assert response.status_code == 400


EVERYTHING = """
    query Everything($ids: [ID!]!) {
      users(ids: $ids) {
        __typename id username displayName email avatarUrl locale createdAt
        plan billingStatus balance { amount currency } renewsAt
        invoices { edges { cursor node { id number status issuedAt total { amount currency } } }
                   pageInfo { hasNextPage endCursor } }
        lastSeenAt loginCount events { id type occurredAt }
      }
    }
"""


async def test_all_fields_of_fifty_users_are_within_the_default_limits(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    reply = await gateway.query(EVERYTHING, ids=[ID] * 50)

    assert not reply.errors


@pytest.mark.parametrize(
    "query",
    [
        "{ __schema { queryType { name } } }",
        "{ _service { sdl } }",
        '{ ...F } fragment F on Query { ... { a: __type(name: "User") { name } } }',
    ],
)
async def test_introspection_is_answered_only_if_it_is_enabled(
    open_gateway: OpenGateway, gateway: GatewayClient, query: str
) -> None:
    refused = await gateway.query(query)
    async with open_gateway(settings_for_fakes(introspection=True)) as open_one:
        allowed = await open_one.query(query)

    assert [one["extensions"]["code"] for one in refused.errors] == ["INTROSPECTION_DISABLED"]
    assert "setting introspection" in refused.errors[0]["message"]
    assert not allowed.errors


async def test_a_document_that_only_mentions_schema_is_not_introspection(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    reply = await gateway.query(f'{{ __typename user(id: "{ID}") {{ __schema: id }} }} # __type')
    text = await gateway.query('{ user(id: "__schema _service") { id } }')

    assert reply.data["user"]
    assert text.codes == {"user": "BAD_USER_INPUT"}


async def test_suggestions_are_in_messages_only_if_they_are_enabled(
    open_gateway: OpenGateway, gateway: GatewayClient
) -> None:
    silent = await gateway.query("{ usr { id } }")
    async with open_gateway(settings_for_fakes(suggestions=True)) as helpful:
        suggested = await helpful.query("{ usr { id } }")

    assert silent.errors[0]["message"] == "Cannot query field 'usr' on type 'Query'."
    assert "Did you mean 'user' or 'users'?" in suggested.errors[0]["message"]


async def test_at_most_100_errors_and_64_kib_of_errors_are_returned(gateway: GatewayClient) -> None:
    many = await gateway.query("{ user(id: 1) { " + " ".join(f"no{n}" for n in range(400)) + " } }")
    long = await gateway.query(
        "{ user(id: 1) { " + " ".join(f"{'x' * 600}{n}" for n in range(100)) + " } }"
    )
    longest = await gateway.query("{ " + "x" * 60_000 + " }")

    assert len(many.errors) == 100
    assert len(long.response.content) <= 65_536
    assert long.errors[-1]["message"].startswith("and ")
    assert len(longest.errors[0]["message"]) < 1_100


async def test_the_cost_of_an_operation_is_reported_as_the_setting_allows(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    body = {"query": IDS, "variables": {"ids": [ID, ID]}}
    reported: dict[str, Any] = {}

    for report in ("never", "asked", "always"):
        limits = LimitsSettings.model_validate({"report": report})
        async with open_gateway(settings_for_fakes(limits=limits)) as gateway:
            plain = await gateway.client.post("/graphql", json=body)
            asked = await gateway.client.post(
                "/graphql", json=body, headers={"X-Gateway-Cost": "1"}
            )
            reported[report] = [one.json().get("extensions") for one in (plain, asked)]
            assert [one["cost"] for one in gateway.events("graphql.operation")] == [2, 2]

    cost = {"cost": {"operation": 2, "total": 2, "limit": 5000}}
    assert reported == {"never": [None, None], "asked": [None, cost], "always": [cost, cost]}


async def test_the_limit_on_cost_holds_for_a_whole_batch(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    one = {"query": IDS, "variables": {"ids": [ID] * 2}}
    limits = LimitsSettings(cost=5, report="always")
    settings = settings_for_fakes(limits=limits, batch=BatchSettings(enabled=True))

    async with open_gateway(settings) as gateway:
        first, second, third = (await gateway.client.post("/graphql", json=[one] * 3)).json()

    costs = [answer["extensions"]["cost"] for answer in (first, second)]
    assert costs == [{"operation": 2, "total": 6, "limit": 5}] * 2
    assert third["errors"][0]["message"] == "the request costs 6: at most 5 are allowed (cost)"
