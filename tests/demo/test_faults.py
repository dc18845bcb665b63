"""Latency and faults on purpose, without sockets; the tests of the runner use sockets."""

import asyncio

import pytest
from starlette.types import Message

from app.demo.faults import FaultKind, FaultMiddleware, SlowMiddleware
from app.demo.people import user_id
from app.demo.services import DemoServices
from tests.demo.support import client_of

PATH = f"/users?id={user_id(1)}"


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 502, 503, 504, 599])
async def test_each_request_gets_the_status_of_the_fault(
    services: DemoServices, status: int
) -> None:
    async with client_of(FaultMiddleware(services.profile, status)) as client:
        response = await client.get(PATH)
    assert response.status_code == status
    assert response.json()["status"] == status


async def test_malformed_gets_200_with_json_outside_the_contract(services: DemoServices) -> None:
    async with client_of(FaultMiddleware(services.profile, FaultKind.MALFORMED)) as client:
        response = await client.get(PATH)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert not {"id", "userId", "items"} & set(response.json())


async def test_timeout_hangs_until_the_caller_disconnects(services: DemoServices) -> None:
    app = FaultMiddleware(services.profile, FaultKind.TIMEOUT)
    hanging = asyncio.Event()
    disconnected = asyncio.Event()
    messages = iter(("http.request", "http.disconnect"))

    async def receive() -> Message:
        kind = next(messages)
        if kind == "http.disconnect":
            hanging.set()
            await disconnected.wait()
        return {"type": kind}

    async def send(message: Message) -> None:
        pytest.fail(f"sent {message}")

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        request = group.create_task(app({"type": "http"}, receive, send))
        await hanging.wait()
        assert not request.done()
        disconnected.set()
    assert request.result() is None


async def test_latency_delays_the_response(services: DemoServices) -> None:
    loop = asyncio.get_running_loop()
    async with client_of(SlowMiddleware(services.profile, 0.05)) as client:
        before = loop.time()
        response = await client.get(PATH)
    assert response.json()[0]["id"] == user_id(1)
    assert loop.time() - before >= 0.05
