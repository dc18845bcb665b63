"""Traces continue at the sources, also in shared calls; the log lists the requests of a call."""

import asyncio

import httpx

from app.settings.resilience import RetrySettings
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, calm_source, failing, settings_for_fakes, user_id
from tests.traces import is_child

TRACES = [f"00-{number:032x}-{'b' * 16}-01" for number in range(1, 5)]


async def ask(gateway: GatewayClient, number: int, trace: str | None) -> None:
    """Query a user, in a trace."""
    headers = {"X-Request-ID": f"r{number}"}
    if trace is not None:
        headers["traceparent"] = trace
    query = f'{{ user(id: "{user_id(number)}") {{ username }} }}'
    reply = await gateway.query_as(headers, query)
    assert reply.data["user"] == {"username": f"user{number}"}


def sent(services: FakeServices) -> list[str]:
    """Return the traces that were sent to the profile service."""
    return [request.headers["traceparent"] for request in services.profile.requests]


async def test_a_shared_call_continues_the_first_trace_of_its_requests(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1, 2, 3)
    traces = [None, *TRACES[:2]]

    await asyncio.gather(*[ask(gateway, number, traces[number - 1]) for number in (1, 2, 3)])

    (trace,) = sent(services)
    assert is_child(trace, TRACES[0])
    (event,) = gateway.events("source.fetch")
    assert (event["requests"], event["shared_by"]) == (["r1", "r2", "r3"], 3)
    assert event["span_id"] == trace[36:52]


async def test_the_log_lists_a_request_that_joins_a_running_call(
    gateway: GatewayClient, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    running, gate = asyncio.Event(), asyncio.Event()

    async def hold(_: httpx.Request) -> None:
        running.set()
        await gate.wait()

    services.before = hold
    async with asyncio.TaskGroup() as group:
        group.create_task(ask(gateway, 1, TRACES[0]))
        await running.wait()
        query = f'{{ user(id: "{user_id(1)}") {{ username }} }}'
        group.create_task(gateway.query_as({"X-Request-ID": "joins"}, query))
        await clock.settle()
        gate.set()

    (event,) = gateway.events("source.fetch")
    assert (event["request_id"], event["requests"]) == ("r1", ["r1", "joins"])


async def test_each_retry_has_its_own_parent_id(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    services.profile.behaviour = failing(503)
    settings = settings_for_fakes()
    profile = calm_source(base_url="http://profile", retry=RetrySettings(max_retries=2))
    sources = {**settings.sources, "profile": profile}

    async with open_gateway(settings.model_copy(update={"sources": sources})) as gateway:
        query = f'{{ user(id: "{user_id(1)}") {{ username }} }}'
        await clock.run(gateway.query_as({"traceparent": TRACES[0]}, query))

    traces = sent(services)
    assert len(traces) == len(set(traces)) == 3
    assert all(is_child(one, TRACES[0]) for one in traces)
