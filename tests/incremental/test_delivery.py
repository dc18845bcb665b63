"""The contents of each payload, and when it is sent."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    FakeServices,
    failing,
    invoice,
    settings_for_fakes,
    user_id,
    with_cache,
)
from tests.incremental.gates import Gates
from tests.incremental.reading import CURRENT, OF_2022, Json, applied, asking

PAGE = 'query Page($id: ID!) { user(id: $id) { username ... @defer(label: "bill") { plan } } }'
ID = {"id": user_id(1)}
ALL = {"ids": [user_id(number) for number in (1, 2, 3)]}


async def payloads_of(
    gateway: GatewayClient,
    query: str,
    variables: Mapping[str, object],
    headers: Mapping[str, str] | None = None,
    on_error: str | None = None,
) -> Sequence[Json]:
    """Send an operation, and read all payloads."""
    async with asking(gateway.app, query, variables, headers=headers, on_error=on_error) as talk:
        return [await talk.whole()] if await talk.is_whole() else await talk.all()


def codes(payload: Json) -> list[str]:
    """Return the codes of all errors of a payload."""
    parts = [payload, *payload.get("incremental", ()), *payload.get("completed", ())]
    errors = [error for part in parts for error in part.get("errors", ())]
    return [error["extensions"]["code"] for error in errors]


async def test_the_first_payload_waits_for_its_own_sources_only(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    gates = Gates(services, "billing")

    async with asking(gateway.app, PAGE, ID) as talk:
        first = await talk.next()
        assert gates.asked["billing"].is_set()
        gates.open("billing")
        last = await talk.next()

    assert talk.status == 200
    assert talk.headers["content-type"] == 'multipart/mixed; boundary="-"; incrementalSpec=v0.2'
    assert first == {
        "data": {"user": {"username": "user1"}},
        "pending": [{"id": "0", "path": ["user"], "label": "bill"}],
        "hasNext": True,
    }
    assert last == {
        "incremental": [{"id": "0", "data": {"plan": "pro"}}],
        "completed": [{"id": "0"}],
        "hasNext": False,
    }
    assert services.calls == {"profile": 1, "billing": 1, "activity": 0}


async def test_all_sources_are_called_at_once_and_a_group_waits_for_its_own_only(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    gates = Gates(services, "profile", "billing", "activity")
    query = """query($id: ID!) { user(id: $id) {
        username ... @defer(label: "b") { plan } ... @defer(label: "a") { loginCount } } }"""

    async with asking(gateway.app, query, ID) as talk:
        for asked in gates.asked.values():
            await asyncio.wait_for(asked.wait(), 5)
        gates.open("profile")
        first = await talk.next()
        gates.open("activity")
        second = await talk.next()
        gates.open("billing")
        third = await talk.next()

    assert first["data"] == {"user": {"username": "user1"}}
    assert [one["label"] for one in first["pending"]] == ["b", "a"]
    assert second["incremental"] == [{"id": "1", "data": {"loginCount": 1}}]
    assert third["incremental"] == [{"id": "0", "data": {"plan": "pro"}}]
    assert [one["hasNext"] for one in (first, second, third)] == [True, True, False]


async def test_a_group_whose_source_has_responded_is_sent_at_once(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    query = "query($id: ID!) { user(id: $id) { username ... @defer { email } } }"

    first, second = await payloads_of(gateway, query, ID)

    assert first["data"] == {"user": {"username": "user1"}}
    assert second["incremental"][0]["data"] == {"email": "user1@example.com"}
    assert services.calls == {"profile": 1, "billing": 0, "activity": 0}


async def test_a_failed_source_is_an_error_in_its_payload(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)

    first, second = await payloads_of(gateway, PAGE, ID)

    assert "errors" not in first
    [part] = second["incremental"]
    assert part["data"] == {"plan": None}
    [error] = part["errors"]
    assert error["path"] == ["user", "plan"]
    assert error["extensions"] == {"code": "SOURCE_UNAVAILABLE", "source": "billing"}
    assert second["completed"] == [{"id": "0"}]


async def test_a_user_known_only_to_a_deferred_source_is_in_the_first_payload(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.profile.rows.clear()

    first, second = await payloads_of(gateway, PAGE, ID)

    assert first["data"] == {"user": {"username": None}}
    assert second["incremental"][0]["data"] == {"plan": "pro"}


async def test_an_unknown_user_is_null_in_a_single_response(
    gateway: GatewayClient, services: FakeServices
) -> None:
    [whole] = await payloads_of(gateway, PAGE, ID)

    assert whole == {"data": {"user": None}}
    assert services.calls == {"profile": 1, "billing": 1, "activity": 0}


async def test_the_id_alone_is_sent_when_the_first_source_knows_the_user(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    gates = Gates(services, "billing")
    query = "query($id: ID!) { user(id: $id) { id ... @defer { plan loginCount } } }"

    async with asking(gateway.app, query, ID) as talk:
        first = await talk.next()
        gates.open("billing")
        second = await talk.next()

    assert first["data"] == {"user": {"id": user_id(1)}}
    assert second["incremental"][0]["data"] == {"plan": "pro", "loginCount": 1}
    assert services.calls["profile"] == 0


async def test_the_first_payload_waits_for_required_sources(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)
    settings = settings_for_fakes()
    billing = settings.sources["billing"].model_copy(update={"contract": "required"})
    settings = settings.model_copy(update={"sources": {**settings.sources, "billing": billing}})

    async with open_gateway(settings) as gateway:
        gates = Gates(services, "billing")
        async with asking(gateway.app, PAGE, ID) as talk:
            await gates.asked["billing"].wait()
            await clock.settle()
            gates.open("billing")
            whole = await talk.whole()

    assert whole["data"] == {"user": None}
    assert codes(whole) == ["SOURCE_UNAVAILABLE"]


async def test_a_field_also_selected_without_defer_is_only_in_the_first_payload(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    query = """query($id: ID!) { user(id: $id) {
        balance { amount } ... @defer { username balance { amount currency } } } }"""

    first, second = await payloads_of(gateway, query, ID)

    assert first["data"] == {"user": {"balance": {"amount": 100}}}
    assert sorted(second["incremental"], key=len) == [
        {"id": "0", "data": {"username": "user1"}},
        {"id": "0", "subPath": ["balance"], "data": {"currency": "EUR"}},
    ]


async def test_a_nested_group_is_announced_when_its_outer_group_is_sent(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    gates = Gates(services, "billing", "activity")
    query = """query($id: ID!) { user(id: $id) { username
        ... @defer(label: "outer") { plan ... @defer(label: "inner") { loginCount } } } }"""

    async with asking(gateway.app, query, ID) as talk:
        first = await talk.next()
        await asyncio.wait_for(gates.asked["activity"].wait(), 5)
        gates.open("billing")
        second = await talk.next()
        gates.open("activity")
        third = await talk.next()

    assert [one["label"] for one in first["pending"]] == ["outer"]
    assert second["pending"] == [{"id": "1", "path": ["user"], "label": "inner"}]
    assert third["incremental"] == [{"id": "1", "data": {"loginCount": 1}}]


@pytest.mark.parametrize("condition", ["if: false", "if: $no", 'label: "x", if: $no'])
async def test_fields_with_a_false_condition_are_in_a_single_compiled_response(
    gateway: GatewayClient, services: FakeServices, condition: str
) -> None:
    services.know(1)
    query = f"""query($id: ID!, $no: Boolean! = false) {{ user(id: $id) {{
        username ... @defer({condition}) {{ plan }}
        events(first: 1) @stream(if: $no) {{ id }} }} }}"""

    [whole] = await payloads_of(gateway, query, ID)

    expected = {"username": "user1", "plan": "pro", "events": [{"id": "e3"}]}
    assert whole == {"data": {"user": expected}}
    [logged] = gateway.events("graphql.operation")
    assert logged["compiled"] is True
    assert "payloads" not in logged


async def test_root_fields_may_be_deferred(gateway: GatewayClient, services: FakeServices) -> None:
    services.know(1, 2)
    gates = Gates(services, "billing")
    query = """query($id: ID!) { user(id: $id) { username }
        ... @defer { other: user(id: "%s") { plan } } __typename }"""

    async with asking(gateway.app, query % user_id(2), ID) as talk:
        first = await talk.next()
        gates.open("billing")
        second = await talk.next()

    assert first["data"] == {"user": {"username": "user1"}, "__typename": "Query"}
    assert first["pending"] == [{"id": "0", "path": []}]
    assert second["incremental"] == [{"id": "0", "data": {"other": {"plan": "pro"}}}]


async def test_each_user_of_a_list_has_its_own_group(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1, 3)
    query = "query($ids: [ID!]!) { users(ids: $ids) { username ... @defer { plan } } }"

    payloads = await payloads_of(gateway, query, ALL)

    assert payloads[0]["data"] == {"users": [{"username": "user1"}, None, {"username": "user3"}]}
    assert [one["path"] for one in payloads[0]["pending"]] == [["users", 0], ["users", 2]]
    assert applied(payloads)["data"]["users"][2] == {"username": "user3", "plan": "pro"}
    assert services.billing.batches == [ALL["ids"]]


async def test_an_empty_list_has_no_payload(
    gateway: GatewayClient, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    gates = Gates(services, "billing")
    fragment = "{ username ... @defer { plan } }"
    query = f"query($id: ID!) {{ none: users(ids: []) {fragment} user(id: $id) {fragment} }}"

    async with asking(gateway.app, query, ID) as talk:
        first = await talk.next()
        await clock.settle()
        gates.open("billing")
        last = await talk.next()

    assert first["data"] == {"none": [], "user": {"username": "user1"}}
    assert [one["path"] for one in first["pending"]] == [["user"]]
    assert last["completed"] == [{"id": "0"}]
    assert last["hasNext"] is False


async def test_users_after_the_initial_count_are_streamed(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1, 3)
    query = """query($ids: [ID!]!) {
        users(ids: $ids) @stream(initialCount: 1, label: "more") { username } }"""

    payloads = await payloads_of(gateway, query, ALL)

    assert payloads[0]["data"] == {"users": [{"username": "user1"}]}
    assert payloads[0]["pending"] == [{"id": "0", "path": ["users"], "label": "more"}]
    assert applied(payloads)["data"] == {
        "users": [{"username": "user1"}, None, {"username": "user3"}]
    }
    assert services.profile.batches == [ALL["ids"]]


async def test_a_stream_without_initial_items_starts_before_a_source_responds(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    gates = Gates(services, "profile")
    query = "query($ids: [ID!]!) { users(ids: $ids) @stream { username } }"

    async with asking(gateway.app, query, {"ids": [user_id(1)]}) as talk:
        first = await talk.next()
        gates.open("profile")
        rest = [first]
        while rest[-1]["hasNext"]:
            rest.append(await talk.next())

    assert first["data"] == {"users": []}
    assert applied(rest) == {"data": {"users": [{"username": "user1"}]}}


async def test_events_and_invoices_are_streamed(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.billing.invoices[user_id(1)] = [invoice(number) for number in (1, 2, 3)]
    query = """query($id: ID!) { user(id: $id) {
        events @stream(initialCount: 2) { id }
        invoices(first: 3) {
            edges @stream(initialCount: 1) { node { id } } pageInfo { hasNextPage } } } }"""

    payloads = await payloads_of(gateway, query, ID)

    user = payloads[0]["data"]["user"]
    assert user["events"] == [{"id": "e3"}, {"id": "e2"}]
    assert user["invoices"]["edges"] == [{"node": {"id": "inv-1"}}]
    assert user["invoices"]["pageInfo"] == {"hasNextPage": False}
    whole = applied(payloads)["data"]["user"]
    assert whole["events"] == [{"id": "e3"}, {"id": "e2"}, {"id": "e1"}]
    assert [one["node"]["id"] for one in whole["invoices"]["edges"]] == ["inv-1", "inv-2", "inv-3"]


async def test_a_deferred_page_is_in_the_second_payload(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.billing.invoices[user_id(1)] = [invoice(1)]
    query = """query($id: ID!) { user(id: $id) {
        username ... @defer { invoices(first: 1) { edges { node { id } } } } } }"""

    first, second = await payloads_of(gateway, query, ID)

    assert first["data"] == {"user": {"username": "user1"}}
    edges = second["incremental"][0]["data"]["invoices"]["edges"]
    assert edges == [{"node": {"id": "inv-1"}}]


async def test_a_negative_initial_count_is_an_error_of_the_list(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    query = "query($id: ID!) { user(id: $id) { events @stream(initialCount: -1) { id } } }"

    [whole] = await payloads_of(gateway, query, ID)

    assert whole["data"] == {"user": {"events": None}}
    assert codes(whole) == ["BAD_USER_INPUT"]
    assert "expected a number, 0 or more" in whole["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ user { ... @defer { plan } } }", "GRAPHQL_VALIDATION_FAILED"),
        ('{ user(id: "%s") @stream { plan } }', "GRAPHQL_VALIDATION_FAILED"),
        (
            '{ user(id: "%s") { events @stream(initialCount: null) { id } } }',
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            '{ user(id: "%s") { ... @defer(label: "x") { plan } ... @defer(label: "x") { id } } }',
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ('{ user(id: "wrong") { id ... @defer { plan } } }', "BAD_USER_INPUT"),
    ],
)
async def test_invalid_operations_with_defer_or_stream_get_a_single_response(
    gateway: GatewayClient, query: str, code: str
) -> None:
    async with asking(gateway.app, query.replace("%s", user_id(1))) as talk:
        assert await talk.is_whole()
        answer = await talk.whole()

    assert talk.headers["content-type"].startswith("application/graphql-response+json")
    assert talk.status == (400 if code == "GRAPHQL_VALIDATION_FAILED" else 200)
    assert codes(answer) == [code]


@pytest.mark.parametrize("accept", [CURRENT, "application/json"])
async def test_a_defer_condition_that_is_null_is_an_error_in_each_form(
    gateway: GatewayClient, services: FakeServices, accept: str
) -> None:
    services.know(1)
    query = (
        "query($id: ID!, $x: Boolean = true) { user(id: $id) { id ... @defer(if: $x) { plan } } }"
    )

    async with asking(gateway.app, query, {**ID, "x": None}, accept=accept) as talk:
        answer = await talk.whole()

    assert codes(answer) == ["BAD_USER_INPUT"]


async def test_running_calls_are_cancelled_when_the_client_disconnects(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    gates = Gates(services, "billing")

    async with asking(gateway.app, PAGE, ID) as talk:
        await talk.next()
        await asyncio.wait_for(gates.asked["billing"].wait(), 5)

    assert gates.cancelled == ["billing"]
    assert gateway.events("http.disconnected")
    assert not gateway.events("graphql.bug")


async def test_all_payloads_share_one_deadline(
    gateway: GatewayClient, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    gates = Gates(services, "billing")
    soon = {"X-Request-Timeout": "300ms"}

    async with asking(gateway.app, PAGE, ID, headers=soon) as talk:
        first = await talk.next()
        await asyncio.wait_for(gates.asked["billing"].wait(), 5)
        clock.advance(0.31)
        last = await talk.next()

    assert first["data"] == {"user": {"username": "user1"}}
    assert codes(last) == ["SOURCE_TIMEOUT"]
    assert last["hasNext"] is False


async def test_introspection_may_be_deferred(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    del services
    query = "{ __typename ... @defer { __schema { queryType { name } } } }"

    async with open_gateway(settings_for_fakes(introspection=True)) as gateway:
        first, second = await payloads_of(gateway, query, {})

    assert first["data"] == {"__typename": "Query"}
    assert second["incremental"][0]["data"] == {"__schema": {"queryType": {"name": "Query"}}}


@pytest.mark.parametrize("form", [CURRENT, OF_2022])
async def test_payloads_are_the_same_when_all_users_are_cached(
    open_gateway: OpenGateway, services: FakeServices, form: str
) -> None:
    services.know(1, 2, 3)
    query = "query($ids: [ID!]!) { users(ids: $ids) { username ... @defer { plan } } }"
    async with open_gateway(with_cache(settings_for_fakes(), services.by_name, ttl=10)) as gateway:
        fetched, *cached = [
            await payloads_of(gateway, query, ALL, headers={"Accept": form}) for _ in range(3)
        ]

    assert cached == [fetched, fetched]
    assert services.calls == {"profile": 1, "billing": 1, "activity": 0}
