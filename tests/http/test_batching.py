"""Several operations in one HTTP request."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import orjson
import pytest
from starlette.types import Message

from app.http.answers import GRAPHQL_JSON
from app.settings import Settings, SourcesSettings
from app.shapes.edge import BatchSettings
from app.shapes.resilience import CoalesceSettings
from tests.conftest import Gateway, OpenGateway
from tests.fakes import (
    FakeServices,
    calm_source,
    failing,
    raising,
    settings_for_fakes,
    user_id,
)

BATCHES = BatchSettings(enabled=True, max_operations=3)


def asking(number: int, fields: str = "username") -> dict[str, Any]:
    """Make an operation that asks about a user."""
    return {"query": f'{{ user(id: "{user_id(number)}") {{ {fields} }} }}'}


async def send(gateway: Gateway, *operations: object, **headers: str) -> httpx.Response:
    """Send a batch."""
    return await gateway.client.post("/graphql", json=operations, headers=headers)


def batching(**changes: object) -> Settings:
    """Make settings in which batches are executed."""
    return settings_for_fakes(**{"batch": BATCHES, **changes})


def names(response: httpx.Response) -> Sequence[str]:
    """Read who was found."""
    return [answer["data"]["user"]["username"] for answer in response.json()]


async def test_batches_are_off_by_default(gateway: Gateway, services: FakeServices) -> None:
    response = await send(gateway, asking(1))

    assert response.status_code == 422
    assert "expected one" in response.json()["errors"][0]["message"]
    assert not any(services.calls.values())


async def test_a_batch_is_answered_in_its_order(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2, 3)
    async with open_gateway(batching()) as gateway:
        response = await send(gateway, asking(3), asking(1), asking(2))

    assert response.status_code == 200
    assert names(response) == ["user3", "user1", "user2"]


async def test_a_batch_of_one_is_a_batch(open_gateway: OpenGateway, services: FakeServices) -> None:
    services.know(1)
    async with open_gateway(batching()) as gateway:
        response = await send(gateway, asking(1), Accept=GRAPHQL_JSON)

    assert names(response) == ["user1"]
    assert response.headers["content-type"] == f"{GRAPHQL_JSON}; charset=utf-8"


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("coalesced", [True, False])
async def test_operations_ask_each_source_about_a_user_once_and_all_in_one_call(
    open_gateway: OpenGateway,
    services: FakeServices,
    compiled: bool,  # noqa: FBT001 # a column of the table
    coalesced: bool,  # noqa: FBT001 # the same
) -> None:
    services.know(1, 2)
    coalesce = CoalesceSettings(enabled=coalesced)
    sources = SourcesSettings.model_validate(
        {
            name: calm_source(base_url=f"http://{name}", coalesce=coalesce)
            for name in SourcesSettings.model_fields
        }
    )
    async with open_gateway(batching(compile=compiled, sources=sources)) as gateway:
        response = await send(gateway, asking(1), asking(2), asking(1, "displayName plan"))

    assert [sorted(batch) for batch in services.profile.batches] == [[user_id(1), user_id(2)]]
    assert services.billing.batches == [[user_id(1)]]
    assert response.json()[2] == {"data": {"user": {"displayName": "User 1", "plan": "pro"}}}


async def test_what_is_wrong_with_one_operation_does_not_concern_the_others(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    async with open_gateway(batching()) as gateway:
        response = await send(gateway, {"qeury": "{"}, asking(1), {"query": "{ nope }"})

    wrong, right, invalid = response.json()
    assert response.status_code == 200
    assert wrong["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert right == {"data": {"user": {"username": "user1"}}}
    assert invalid["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert "data" not in wrong
    assert "data" not in invalid


async def test_a_failing_source_fails_the_fields_of_each(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    services.billing.behaviour = failing(503)
    async with open_gateway(batching()) as gateway:
        response = await send(gateway, asking(1, "username plan"), asking(2, "username plan"))

    for number, answer in enumerate(response.json(), 1):
        assert answer["data"] == {"user": {"username": f"user{number}", "plan": None}}
        assert [error["path"] for error in answer["errors"]] == [["user", "plan"]]


async def test_a_bug_at_a_source_is_masked_in_each(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    services.profile.behaviour = raising(ZeroDivisionError("secret"))
    async with open_gateway(batching()) as gateway:
        response = await send(gateway, asking(1), asking(2), asking(2, "plan"))

    *broken, whole = response.json()
    for answer in broken:
        assert answer["data"] == {"user": None}
        assert answer["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert whole == {"data": {"user": {"plan": "pro"}}}
    assert "secret" not in response.text


async def test_a_batch_ends_when_its_client_goes(
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
            return {"type": "http.request", "body": orjson.dumps([asking(1), asking(2)])}
        await asked.wait()
        return {"type": "http.disconnect"}

    async def send_nothing(message: Message) -> None:
        raise AssertionError(f"nobody is there to read {message}")

    body_read = asyncio.Event()
    services.before = hang
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "query_string": b"",
        "headers": [(b"host", b"gateway"), (b"content-type", b"application/json")],
    }
    async with open_gateway(batching()) as gateway:
        await gateway.app(scope, receive, send_nothing)
        await ended.wait()


@pytest.mark.parametrize("count", [0, 4, 1_000])
async def test_a_batch_has_at_least_one_operation_and_no_more_than_it_may(
    open_gateway: OpenGateway, services: FakeServices, count: int
) -> None:
    async with open_gateway(batching()) as gateway:
        response = await send(gateway, *[asking(1)] * count)

    assert response.status_code == 422
    message = response.json()["errors"][0]["message"]
    assert f"{count} operations" in message
    assert "1 to 3" in message
    assert not any(services.calls.values())


async def test_as_many_operations_as_may_be_are_executed(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    async with open_gateway(batching()) as gateway:
        response = await send(gateway, *[asking(1)] * 3)

    assert names(response) == ["user1"] * 3


@pytest.mark.parametrize("operations", [["a"], [None], [[asking(1)]], [asking(1), 7]])
async def test_a_list_of_something_else_is_refused(
    open_gateway: OpenGateway, operations: list[object]
) -> None:
    async with open_gateway(batching()) as gateway:
        response = await send(gateway, *operations)

    assert response.status_code == 422
    assert "expected a JSON object" in response.json()["errors"][0]["message"]


async def test_a_batch_counts_as_many_operations_as_it_has(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    release = asyncio.Event()
    started = asyncio.Event()

    async def wait(_: httpx.Request) -> None:
        started.set()
        await release.wait()

    services.before = wait
    async with open_gateway(batching(max_operations=4)) as gateway:
        running = asyncio.create_task(send(gateway, asking(1), asking(1), asking(1)))
        await started.wait()
        over = await send(gateway, asking(1), asking(1))
        release.set()
        within = await running
        after = await send(gateway, asking(1), asking(1), asking(1))

    assert (over.status_code, over.headers["retry-after"]) == (503, "1")
    assert within.status_code == after.status_code == 200


async def test_a_batch_can_be_explained(open_gateway: OpenGateway, services: FakeServices) -> None:
    async with open_gateway(batching(explain=True)) as gateway:
        response = await send(
            gateway, asking(1), {"query": 7}, asking(2), **{"X-Gateway-Explain": "1"}
        )

    first, wrong, second = response.json()
    assert first["extensions"]["explain"]["sources"][0]["keys"] == [user_id(1)]
    assert second["extensions"]["explain"]["sources"][0]["keys"] == [user_id(2)]
    assert "errors" in wrong
    assert not any(services.calls.values())
