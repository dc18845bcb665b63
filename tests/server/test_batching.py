"""Several operations in one HTTP request."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tried
from hypothesis import strategies as st
from starlette.types import Message

from app.auth.callers import everybody
from app.server.responses import GRAPHQL_JSON
from app.settings.fastpath import FastpathSettings
from app.settings.limits import LimitsSettings, RateSettings
from app.settings.models import DEFAULT_SOURCES, Settings
from app.settings.resilience import CoalesceSettings
from app.settings.server import BatchSettings
from tests.callers import by_headers, headers_of
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    FakeServices,
    calm_source,
    failing,
    raising,
    settings_for_fakes,
    user_id,
)
from tests.fastpath.test_compiled import CompiledCase, arrange, cases
from tests.key_from import linked
from tests.partial import DividedBilling, SelectingActivity, SelectingProfile, in_parts, selecting
from tests.properties import examples

BATCH_CASES = examples(12, "BATCH_CASES")
"""The number of batches of the property."""

BATCHES = BatchSettings(enabled=True, max_operations=3)


def user_operation(number: int, fields: str = "username") -> dict[str, Any]:
    """Make an operation that asks for fields of a user."""
    return {"query": f'{{ user(id: "{user_id(number)}") {{ {fields} }} }}'}


async def send(gateway: GatewayClient, *operations: object, **headers: str) -> httpx.Response:
    """Send a batch."""
    return await gateway.client.post("/graphql", json=operations, headers=headers)


def batch_settings(**changes: object) -> Settings:
    """Make settings with batches enabled."""
    return settings_for_fakes(**{"batch": BATCHES, **changes})


def usernames(response: httpx.Response) -> Sequence[str]:
    """Return the usernames of a response."""
    return [answer["data"]["user"]["username"] for answer in response.json()]


async def test_batches_are_off_by_default(gateway: GatewayClient, services: FakeServices) -> None:
    response = await send(gateway, user_operation(1))

    assert response.status_code == 422
    assert "expected one" in response.json()["errors"][0]["message"]
    assert not any(services.calls.values())


async def test_the_responses_of_a_batch_have_the_order_of_its_operations(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2, 3)
    async with open_gateway(batch_settings()) as gateway:
        response = await send(gateway, user_operation(3), user_operation(1), user_operation(2))

    assert response.status_code == 200
    assert usernames(response) == ["user3", "user1", "user2"]


async def test_a_batch_of_one_operation_returns_a_list(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    async with open_gateway(batch_settings()) as gateway:
        response = await send(gateway, user_operation(1), Accept=GRAPHQL_JSON)

    assert usernames(response) == ["user1"]
    assert response.headers["content-type"] == f"{GRAPHQL_JSON}; charset=utf-8"


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("coalesced", [True, False])
async def test_operations_of_a_batch_share_calls_to_sources(
    open_gateway: OpenGateway,
    services: FakeServices,
    compiled: bool,  # noqa: FBT001 # a column of the table
    coalesced: bool,  # noqa: FBT001 # the same
) -> None:
    services.know(1, 2)
    coalesce = CoalesceSettings(enabled=coalesced)
    sources = {
        name: calm_source(base_url=f"http://{name}", coalesce=coalesce) for name in DEFAULT_SOURCES
    }
    async with open_gateway(
        batch_settings(fastpath=FastpathSettings(compiled=compiled), sources=sources)
    ) as gateway:
        response = await send(
            gateway, user_operation(1), user_operation(2), user_operation(1, "displayName plan")
        )

    assert [sorted(batch) for batch in services.profile.batches] == [[user_id(1), user_id(2)]]
    assert services.billing.batches == [[user_id(1)]]
    assert response.json()[2] == {"data": {"user": {"displayName": "User 1", "plan": "pro"}}}


async def test_operations_of_a_batch_share_a_page_even_without_coalescing(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    uncoalesced = CoalesceSettings(enabled=False)
    sources = {
        name: calm_source(base_url=f"http://{name}", coalesce=uncoalesced)
        for name in DEFAULT_SOURCES
    }
    page = "invoices(first: 2) { edges { cursor } }"
    async with open_gateway(batch_settings(sources=sources)) as gateway:
        response = await send(gateway, user_operation(1, page), user_operation(1, page))

    assert response.json() == [{"data": {"user": {"invoices": {"edges": []}}}}] * 2
    assert [one.url.path for one in services.billing.requests].count("/invoices") == 1


async def test_the_cost_limit_applies_to_all_operations_of_a_batch_together(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2, 3)
    async with open_gateway(batch_settings(limits=LimitsSettings(cost=2))) as gateway:
        response = await send(gateway, user_operation(1), user_operation(2), user_operation(3))

    *first, last = response.json()
    assert [answer["data"]["user"]["username"] for answer in first] == ["user1", "user2"]
    assert last["errors"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX"


async def test_an_invalid_operation_does_not_affect_the_others_of_a_batch(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    async with open_gateway(batch_settings()) as gateway:
        response = await send(gateway, {"qeury": "{"}, user_operation(1), {"query": "{ nope }"})

    wrong, right, invalid = response.json()
    assert response.status_code == 200
    assert wrong["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert right == {"data": {"user": {"username": "user1"}}}
    assert invalid["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert "data" not in wrong
    assert "data" not in invalid


async def test_a_failed_source_fails_its_fields_in_each_operation(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    services.billing.behaviour = failing(503)
    async with open_gateway(batch_settings()) as gateway:
        response = await send(
            gateway, user_operation(1, "username plan"), user_operation(2, "username plan")
        )

    for number, answer in enumerate(response.json(), 1):
        assert answer["data"] == {"user": {"username": f"user{number}", "plan": None}}
        assert [error["path"] for error in answer["errors"]] == [["user", "plan"]]


async def test_an_internal_error_is_masked_in_each_operation(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    services.profile.behaviour = raising(ZeroDivisionError("secret"))
    async with open_gateway(batch_settings()) as gateway:
        response = await send(
            gateway, user_operation(1), user_operation(2), user_operation(2, "plan")
        )

    *broken, whole = response.json()
    for answer in broken:
        assert answer["data"] == {"user": None}
        assert answer["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert whole == {"data": {"user": {"plan": "pro"}}}
    assert "secret" not in response.text


async def test_a_batch_ends_when_its_client_disconnects(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    asked = asyncio.Event()
    ended = asyncio.Event()

    async def hang(_: httpx.Request) -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def receive() -> Message:
        if not asked.is_set() and not body_read.is_set():
            body_read.set()
            return {
                "type": "http.request",
                "body": orjson.dumps([user_operation(1), user_operation(2)]),
            }
        await asked.wait()
        return {"type": "http.disconnect"}

    async def send_nothing(message: Message) -> None:
        raise AssertionError(f"the client has disconnected before {message}")

    body_read = asyncio.Event()
    services.before = hang
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "query_string": b"",
        "headers": [(b"host", b"gateway"), (b"content-type", b"application/json")],
    }
    async with open_gateway(batch_settings()) as gateway:
        await gateway.app(scope, receive, send_nothing)
        await ended.wait()


@pytest.mark.parametrize("count", [0, 4, 1_000])
async def test_a_batch_with_no_or_too_many_operations_is_refused(
    open_gateway: OpenGateway, services: FakeServices, count: int
) -> None:
    async with open_gateway(batch_settings()) as gateway:
        response = await send(gateway, *[user_operation(1)] * count)

    assert response.status_code == 422
    message = response.json()["errors"][0]["message"]
    assert f"{count} operations" in message
    assert "1 to 3" in message
    assert not any(services.calls.values())


async def test_a_batch_with_the_maximum_of_operations_is_executed(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    async with open_gateway(batch_settings()) as gateway:
        response = await send(gateway, *[user_operation(1)] * 3)

    assert usernames(response) == ["user1"] * 3


@pytest.mark.parametrize(
    "operations", [["a"], [None], [[user_operation(1)]], [user_operation(1), 7]]
)
async def test_a_list_with_other_values_than_objects_is_refused(
    open_gateway: OpenGateway, operations: list[object]
) -> None:
    async with open_gateway(batch_settings()) as gateway:
        response = await send(gateway, *operations)

    assert response.status_code == 422
    assert "expected a JSON object" in response.json()["errors"][0]["message"]


async def test_each_operation_of_a_batch_counts_for_the_limit_of_operations(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    release = asyncio.Event()
    started = asyncio.Event()

    async def wait(_: httpx.Request) -> None:
        started.set()
        await release.wait()

    services.before = wait
    async with open_gateway(batch_settings(max_operations=4)) as gateway:
        running = asyncio.create_task(
            send(gateway, user_operation(1), user_operation(1), user_operation(1))
        )
        await started.wait()
        over = await send(gateway, user_operation(1), user_operation(1))
        release.set()
        within = await running
        after = await send(gateway, user_operation(1), user_operation(1), user_operation(1))

    assert (over.status_code, over.headers["retry-after"]) == (503, "1")
    assert within.status_code == after.status_code == 200


async def test_a_batch_can_be_explained(open_gateway: OpenGateway, services: FakeServices) -> None:
    async with open_gateway(batch_settings(explain=True)) as gateway:
        response = await send(
            gateway,
            user_operation(1),
            {"query": 7},
            user_operation(2),
            **{"X-Gateway-Explain": "1"},
        )

    first, wrong, second = response.json()
    assert first["extensions"]["explain"]["sources"][0]["keys"] == [user_id(1)]
    assert second["extensions"]["explain"]["sources"][0]["keys"] == [user_id(2)]
    assert "errors" in wrong
    assert not any(services.calls.values())


A, B = user_id(1), user_id(2)
PAGE = "invoices(first: 1) { edges { node { id } } }"
"""Fields that only the executor can render."""


@pytest.fixture
def profile(services: FakeServices) -> SelectingProfile:
    """Return the profile source; it and activity send only the requested fields."""
    services.profile, services.activity = SelectingProfile(""), SelectingActivity("")
    services.know(1, 2)
    return services.profile


def of(number: int, fields: str, **more: object) -> dict[str, Any]:
    """Make an operation that asks for fields of a user."""
    return {**user_operation(number, fields), **more}


@pytest.mark.parametrize(
    ("operations", "asked"),
    [
        # compiled and compiled
        ([of(1, "username"), of(1, "email")], [["id", "login", "mail"]]),
        # compiled and interpreted, in both orders
        ([of(1, "username"), of(1, f"locale {PAGE}")], [["id", "login", "lang"]]),
        ([of(1, f"locale {PAGE}"), of(1, "username")], [["id", "login", "lang"]]),
        # interpreted and interpreted
        ([of(1, "email", onError="HALT"), of(1, f"locale {PAGE}")], [["id", "mail", "lang"]]),
        # of other users, and of the existence of users only
        ([of(1, "username"), of(2, f"locale {PAGE}")], [["id", "login", "lang"]]),
        ([of(1, "id"), of(1, f"locale {PAGE}"), of(2, "id")], [["id", "lang"]]),
        ([of(1, f"id {PAGE}"), of(1, "email")], [["id", "mail"]]),
    ],
)
async def test_each_operation_of_a_batch_gets_its_own_fields(
    open_gateway: OpenGateway,
    services: FakeServices,
    profile: SelectingProfile,
    operations: list[dict[str, Any]],
    asked: list[list[str]],
) -> None:
    del services
    async with open_gateway(selecting(batch=BATCHES)) as gateway:
        response = await send(gateway, *operations)
        in_batch = profile.asked.copy()
        alone = [(await gateway.client.post("/graphql", json=one)).json() for one in operations]

    assert response.status_code == 200
    assert response.json() == alone
    assert not any("errors" in one for one in alone)
    assert in_batch == asked


async def test_operations_that_start_late_still_share_one_call(
    open_gateway: OpenGateway, services: FakeServices, profile: SelectingProfile
) -> None:
    # More than a thousand fields are executed in several turns, so the last fields load later.
    users = ", ".join([f'"{A}"'] * 100)
    names = " ".join(f"n{number}: username" for number in range(12))
    many = {"query": f'{{ a: users(ids: [{users}]) {{ {names} }} b: user(id: "{B}") {{ email }} }}'}
    late = of(2, f"locale {PAGE}")
    async with open_gateway(
        selecting(batch=BATCHES, fastpath=FastpathSettings(compiled=False))
    ) as gateway:
        response = await send(gateway, many, late, of(1, "email"))

    first, second, third = response.json()
    assert first["data"]["a"] == [{f"n{number}": "user1" for number in range(12)}] * 100
    assert first["data"]["b"] == third["data"]["user"] | {"email": "user2@example.com"}
    assert second["data"]["user"]["locale"] == "de-AT"
    assert not any("errors" in one for one in (first, second, third))
    assert services.calls["profile"] == 1
    assert profile.asked == [["id", "login", "mail", "lang"]]


@st.composite
def batches_of_cases(draw: st.DrawFn) -> tuple[list[CompiledCase], list[dict[str, Any]]]:
    """Make cases with the same sources, and their operations, valid or invalid."""
    drawn = draw(st.lists(cases(), min_size=2, max_size=3))
    operations: list[dict[str, Any]] = []
    for case in drawn:
        operation = {"query": case.query, "variables": case.variables}
        how = draw(st.sampled_from([None, None, None, "NULL", "PROPAGATE", "HALT"]))
        operations.append(operation if how is None else {**operation, "onError": how})
    if draw(st.integers(0, 5)) == 0:
        operations[draw(st.integers(0, 1))] = draw(
            st.sampled_from([{"query": "{ no }"}, {"query": 7}, {"query": "{"}, {}])
        )
    return drawn, operations


def without_timing(operation: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a response that do not depend on time.

    If the first error ends an operation, that error depends on time.
    """
    if operation.get("onError") in {"HALT", "PROPAGATE"} and answer.get("data", 0) is None:
        return {"data": None, "errors": bool(answer["errors"])}
    return answer


@pytest.mark.parametrize("compiles", [True, False])
@tried(
    max_examples=BATCH_CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batch=batches_of_cases(), partly=st.booleans())
async def test_an_operation_has_the_same_response_in_a_batch_and_alone(
    open_gateway: OpenGateway,
    services: FakeServices,
    compiles: bool,  # noqa: FBT001 # a column of the table
    batch: tuple[list[CompiledCase], list[dict[str, Any]]],
    partly: bool,  # noqa: FBT001 # drawn
) -> None:
    (world, *_), operations = batch
    if partly:
        services.billing = DividedBilling("")
        services.profile, services.activity = SelectingProfile(""), SelectingActivity("")
    else:
        fresh = FakeServices()
        services.profile, services.billing, services.activity = (
            fresh.profile,
            fresh.billing,
            fresh.activity,
        )
    made = (in_parts if partly else settings_for_fakes)(
        batch=BATCHES, fastpath=FastpathSettings(compiled=compiles)
    )
    headers = {"X-Request-ID": "same", "Accept": GRAPHQL_JSON, **(world.caller or {})}
    authenticate = everybody if world.caller is None else by_headers
    arrange(services, world)
    async with open_gateway(linked(made, world.parents), authenticate) as gateway:
        together = await send(gateway, *operations, **headers)
        alone = [
            (await gateway.client.post("/graphql", json=one, headers=headers)).json()
            for one in operations
        ]

    assert together.status_code == 200
    assert list(map(without_timing, operations, together.json())) == list(
        map(without_timing, operations, alone)
    )


async def test_a_caller_in_a_batch_gets_own_fields_only_of_its_own_user(
    open_gateway: OpenGateway, services: FakeServices, profile: SelectingProfile
) -> None:
    operations = [of(1, "email"), of(2, f"username email {PAGE}"), of(1, "username plan")]
    async with open_gateway(selecting(batch=BATCHES), by_headers) as gateway:
        response = await send(gateway, *operations, **headers_of(A))

    own, other, again = response.json()
    assert own == {"data": {"user": {"email": "user1@example.com"}}}
    assert other["data"] == {"user": {"username": "user2", "email": None, "invoices": None}}
    assert [one["extensions"]["code"] for one in other["errors"]] == ["FORBIDDEN"] * 2
    assert again == {"data": {"user": {"username": "user1", "plan": "pro"}}}
    assert services.billing.batches == [[A]]
    assert [sorted(one) for one in profile.batches] == [[A, B]]


async def test_a_rate_limited_explanation_does_not_affect_the_others_of_a_batch(
    open_gateway: OpenGateway,
) -> None:
    text = user_operation(1)["query"]
    rate = RateSettings(window=86_400, quota=2 * (len(text) // 4))
    wanted = batch_settings(explain=True, limits=LimitsSettings(rate=rate))
    async with open_gateway(wanted) as gateway:
        response = await send(gateway, *[user_operation(1)] * 3, **{"X-Gateway-Explain": "1"})

    assert response.status_code == 200
    assert response.headers["retry-after"].isdigit()
    *explained, refused = response.json()
    assert all(one["extensions"]["explain"]["cost"] == 1 for one in explained)
    assert [one["extensions"]["code"] for one in refused["errors"]] == ["RATE_LIMITED"]
