"""Slowness and failures on purpose, without sockets; the runner's tests have the others."""

import asyncio

import pytest
from starlette.types import Message

from app.demo.faults import FaultKind, FaultMiddleware, SlowMiddleware
from app.demo.people import user_id
from app.demo.services import DemoServices
from tests.demo.support import client_of

PATH = f"/users?id={user_id(1)}"


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 502, 503, 504, 599])
async def test_a_status_is_answered_to_each_request(services: DemoServices, status: int) -> None:
    async with client_of(FaultMiddleware(services.profile, status)) as client:
        answered = await client.get(PATH)
    assert answered.status_code == status
    assert answered.json()["status"] == status


async def test_malformed_is_200_with_json_that_is_not_the_contract(services: DemoServices) -> None:
    async with client_of(FaultMiddleware(services.profile, FaultKind.MALFORMED)) as client:
        answered = await client.get(PATH)
    assert answered.status_code == 200
    assert answered.headers["content-type"] == "application/json"
    assert not {"id", "userId", "items"} & set(answered.json())


async def test_timeout_hangs_until_the_caller_goes(services: DemoServices) -> None:
    app = FaultMiddleware(services.profile, FaultKind.TIMEOUT)
    hanging = asyncio.Event()
    gone = asyncio.Event()
    messages = iter(("http.request", "http.disconnect"))

    async def receive() -> Message:
        kind = next(messages)
        if kind == "http.disconnect":
            hanging.set()
            await gone.wait()
        return {"type": kind}

    async def send(message: Message) -> None:
        pytest.fail(f"answered {message}")

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        request = group.create_task(app({"type": "http"}, receive, send))
        await hanging.wait()
        assert not request.done()
        gone.set()
    assert request.result() is None


async def test_latency_comes_before_the_answer(services: DemoServices) -> None:
    loop = asyncio.get_running_loop()
    async with client_of(SlowMiddleware(services.profile, 0.05)) as client:
        before = loop.time()
        answered = await client.get(PATH)
    assert answered.json()[0]["id"] == user_id(1)
    assert loop.time() - before >= 0.05
