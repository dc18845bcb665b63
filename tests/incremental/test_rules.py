"""Errors, policies, limits and reports apply to responses in payloads too."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings.limits import LimitsSettings
from app.settings.server import BatchSettings
from tests.callers import by_headers, headers_of
from tests.conftest import GatewayClient, OpenGateway
from tests.execution.test_trusted import apollo, trusting
from tests.fakes import FakeServices, account_row, failing, settings_for_fakes, user_id
from tests.incremental.gates import Gates
from tests.incremental.reading import CURRENT, Json, applied, asking
from tests.incremental.test_delivery import ID, PAGE, codes, payloads_of


async def test_an_error_with_halt_fails_its_group_and_keeps_the_first_payload(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)

    first, last = await payloads_of(gateway, PAGE, ID, on_error="HALT")

    assert first["data"] == {"user": {"username": "user1"}}
    [completed] = last["completed"]
    assert completed["errors"][0]["extensions"]["code"] == "SOURCE_UNAVAILABLE"
    assert "incremental" not in last


async def test_an_error_with_halt_in_the_first_payload_ends_the_response(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.profile.behaviour = failing(503)

    [whole] = await payloads_of(gateway, PAGE, ID, on_error="HALT")

    assert whole["data"] is None
    assert codes(whole) == ["SOURCE_UNAVAILABLE"]


async def test_an_error_with_propagate_nulls_its_nullable_field_only(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.billing.rows[user_id(1)] = account_row(1, plan=7)

    first, last = await payloads_of(gateway, PAGE, ID, on_error="PROPAGATE")

    assert first["data"] == {"user": {"username": "user1"}}
    assert last["incremental"][0]["data"] == {"plan": None}
    assert codes(last) == ["SOURCE_MALFORMED"]


async def test_a_forbidden_deferred_field_is_an_error_and_its_source_is_not_called(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes(), by_headers) as gateway:
        first, last = await payloads_of(gateway, PAGE, ID, headers_of("somebody", "profile:read"))

    assert first["data"] == {"user": {"username": "user1"}}
    assert last["incremental"][0]["data"] == {"plan": None}
    assert codes(last) == ["FORBIDDEN"]
    assert services.calls == {"profile": 1, "billing": 0, "activity": 0}


async def test_a_deferred_field_is_allowed_for_the_caller_itself_only(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    query = "query($ids: [ID!]!) { users(ids: $ids) { username ... @defer { plan } } }"
    ids = {"ids": [user_id(1), user_id(2)]}

    async with open_gateway(settings_for_fakes(), by_headers) as gateway:
        payloads = await payloads_of(gateway, query, ids, headers_of(user_id(1), "profile:read"))

    own, other = applied(payloads)["data"]["users"]
    assert (own["plan"], other["plan"]) == ("pro", None)
    assert services.billing.batches == [[user_id(1)]]


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ("username plan", 3),
        ("username ... @defer { plan }", 12),
        ("username ... @defer { plan ... @defer { email } }", 21),
        ("username ... @defer(if: false) { plan }", 3),
    ],
)
async def test_deferred_fields_cost_more(
    open_gateway: OpenGateway, services: FakeServices, fields: str, cost: int
) -> None:
    services.know(1, 2, 3)
    settings = settings_for_fakes(limits=LimitsSettings(report="always"))
    query = f"query($ids: [ID!]!) {{ users(ids: $ids) {{ {fields} }} }}"
    ids = {"ids": [user_id(number) for number in (1, 2, 3)]}

    async with open_gateway(settings) as gateway:
        payloads = await payloads_of(gateway, query, ids)

    assert payloads[0]["extensions"]["cost"]["operation"] == cost
    assert all("cost" not in one.get("extensions", {}) for one in payloads[1:])


async def test_too_many_groups_are_refused_before_any_source_is_called(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    settings = settings_for_fakes(limits=LimitsSettings(cost=100))
    query = "query($ids: [ID!]!) { users(ids: $ids) { id ... @defer { plan } } }"
    ids = {"ids": [user_id(number) for number in range(1, 51)]}

    async with open_gateway(settings) as gateway, asking(gateway.app, query, ids) as talk:
        answer = await talk.whole()

    assert codes(answer) == ["QUERY_TOO_COMPLEX"]
    assert answer["errors"][0]["extensions"]["limit"] == "cost"
    assert services.calls == {"profile": 0, "billing": 0, "activity": 0}


BATCH = [PAGE, "query Page($id: ID!) { user(id: $id) { username } }"]


async def test_an_operation_with_defer_in_a_request_batch_is_refused(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes(batch=BatchSettings(enabled=True))

    async with open_gateway(settings) as gateway, asking(gateway.app, BATCH, ID) as talk:
        answers: Sequence[Json] = await talk.whole()  # type: ignore[assignment] # of a batch

    [error] = answers[0]["errors"]
    assert error["extensions"]["code"] == "BAD_REQUEST"
    assert "expected the operation alone in its request" in error["message"]
    assert answers[1] == {"data": {"user": {"username": "user1"}}}


async def test_a_request_batch_without_accepted_payloads_gets_single_responses(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes(batch=BatchSettings(enabled=True))

    async with (
        open_gateway(settings) as gateway,
        asking(gateway.app, BATCH, ID, accept="application/json") as talk,
    ):
        answers: Sequence[Json] = await talk.whole()  # type: ignore[assignment] # of a batch

    assert answers[0] == {"data": {"user": {"username": "user1", "plan": "pro"}}}


async def test_explain_lists_the_deferred_fields(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    async with open_gateway(settings_for_fakes(explain=True)) as gateway:
        [answer] = await payloads_of(gateway, PAGE, ID, {"X-Gateway-Explain": "1"})

    [field] = answer["extensions"]["explain"]["fields"]
    assert field["deferred"] == ["plan"]
    assert services.calls == {"profile": 0, "billing": 0, "activity": 0}


async def test_the_log_has_the_number_and_the_errors_of_all_payloads(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)

    await payloads_of(gateway, PAGE, ID)

    [event] = gateway.events("graphql.operation")
    assert event["payloads"] == 2
    assert event["first_ms"] >= 0
    assert event["errors"] == {"SOURCE_UNAVAILABLE": 1}
    assert event["lost"] == {"billing": ["SOURCE_UNAVAILABLE"]}
    assert event["sources"] == ["billing", "profile"]
    assert event["compiled"] is True


async def test_the_last_payload_reports_the_sources(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes(trace="always")) as gateway:
        first, last = await payloads_of(gateway, PAGE, ID)

    assert "extensions" not in first
    assert last["extensions"]["sources"].keys() == {"profile", "billing"}


async def test_a_bug_of_the_gateway_fails_its_group_and_is_masked(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    def broken(_: object) -> None:
        raise ZeroDivisionError("secret")

    services.billing.behaviour = broken  # type: ignore[assignment] # it returns nothing

    first, last = await payloads_of(gateway, PAGE, ID)

    assert first["data"] == {"user": {"username": "user1"}}
    assert codes(last) == ["INTERNAL_SERVER_ERROR"]
    assert "secret" not in str(last)


async def test_fields_of_entities_may_be_deferred(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    token = "router-" + "x" * 40
    gates = Gates(services, "billing")
    query = """query($r: [_Any!]!) { _entities(representations: $r) {
        ... on User { username ... @defer { plan } } } }"""
    variables = {"r": [{"__typename": "User", "id": user_id(1)}]}

    settings = settings_for_fakes(router_token=SecretStr(token))
    headers = {"x-router-token": token}

    async with (
        open_gateway(settings) as gateway,
        asking(gateway.app, query, variables, headers=headers) as talk,
    ):
        first = await talk.next()
        gates.open("billing")
        last = await talk.next()

    assert first["data"] == {"_entities": [{"username": "user1"}]}
    assert last["incremental"][0]["data"] == {"plan": "pro"}


async def test_trusted_documents_may_use_defer(
    open_gateway: OpenGateway, services: FakeServices, tmp_path: Path
) -> None:
    services.know(1)
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(apollo(("page", PAGE)))

    async with open_gateway(trusting(manifest)) as gateway:
        body = {"documentId": "page", "variables": ID}
        response = await gateway.client.post("/graphql", json=body, headers={"Accept": CURRENT})

    assert response.headers["content-type"].startswith("multipart/mixed")
    assert b'"plan":"pro"' in response.content
