"""Traces go on at the sources, also where requests share a call, and the log names who shares."""

import asyncio

import httpx

from app.settings.resilience import RetrySettings
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, calm_source, failing, settings_for_fakes, user_id
from tests.traces import is_child

TRACES = [f"00-{number:032x}-{'b' * 16}-01" for number in range(1, 5)]


async def ask(gateway: GatewayClient, number: int, trace: str | None) -> None:
    """Ask about a user, in a trace."""
    headers = {"X-Request-ID": f"r{number}"}
    if trace is not None:
        headers["traceparent"] = trace
    query = f'{{ user(id: "{user_id(number)}") {{ username }} }}'
    reply = await gateway.query_as(headers, query)
    assert reply.data["user"] == {"username": f"user{number}"}


def sent(services: FakeServices) -> list[str]:
    """List the traces that the profile service was sent."""
    return [request.headers["traceparent"] for request in services.profile.requests]


async def test_a_call_that_requests_share_goes_on_with_the_trace_of_the_first_that_has_one(
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


async def test_the_log_names_who_joined_a_call_that_was_under_way(
    gateway: GatewayClient, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    under_way, gate = asyncio.Event(), asyncio.Event()

    async def hold(_: httpx.Request) -> None:
        under_way.set()
        await gate.wait()

    services.before = hold
    async with asyncio.TaskGroup() as group:
        group.create_task(ask(gateway, 1, TRACES[0]))
        await under_way.wait()
        query = f'{{ user(id: "{user_id(1)}") {{ username }} }}'
        group.create_task(gateway.query_as({"X-Request-ID": "joins"}, query))
        await clock.settle()
        gate.set()

    (event,) = gateway.events("source.fetch")
    assert (event["request_id"], event["requests"]) == ("r1", ["r1", "joins"])


async def test_each_repetition_has_a_parent_id_of_its_own(
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
