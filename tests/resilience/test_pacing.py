"""Sources ask for a slower pace over real connections, and their calls wait."""

import asyncio

import pytest

from tests import faults
from tests.fakes import user_id
from tests.outage import Outage, outage
from tests.readiness import source_states
from tests.ways import BOTH, LONG, Ways

PLAN = f'{{ user(id: "{user_id(1)}") {{ plan }} }}'
OTHER = f'{{ user(id: "{user_id(2)}") {{ plan }} }}'

OFF = {"pacing": {"enabled": False}}

SOON = 0.0375
"""Seconds before the retry of a refusal without a time: three quarters of 50 ms."""


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run each test in both ways."""
    ways: Ways = request.param
    return ways


def pace(gateway: Outage) -> str:
    """Return the pace of billing."""
    return str(source_states(gateway.app)["billing"]["pace"])


@pytest.mark.parametrize(
    ("code", "headers", "seconds"),
    [
        (429, {}, SOON),
        (429, {"Retry-After": "2"}, 2.0),
        (429, {"Retry-After": "Thu, 01 Jan 1970 00:16:43 GMT"}, 3.0),  # it is 00:16:40 here
        (429, {"Retry-After": "Wed, 31 Dec 1969 23:59:59 GMT"}, 0.05),
        (429, {"Retry-After": "soon"}, SOON),
        (429, {"RateLimit": '"a";r=0;t=2', "RateLimit-Policy": '"a";q=10;w=60'}, 2.0),
        (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2"}, 2.0),
        (429, {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "2"}, 2.0),
        (429, {"X-RateLimit-Remaining": "-5", "X-RateLimit-Reset": "never"}, SOON),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2"}, 2.0),
        (403, {"Retry-After": "2"}, 2.0),
        (503, {"Retry-After": "2"}, 2.0),
    ],
)
async def test_a_refused_call_is_retried_at_the_time_that_the_source_names(
    code: int, headers: dict[str, str], seconds: float, ways: Ways
) -> None:
    none = {"max_retries": 0, "budget_minimum": 0, "budget_share": 0}
    async with outage({"billing": {"retry": none}}, ways=ways) as gateway:
        gateway.server.fail("billing", faults.first(1, faults.telling(code, **headers)))
        started = gateway.clock.seconds
        reply = await gateway.ask(PLAN)

        assert reply.body == {"data": {"user": {"plan": "pro"}}}
        assert gateway.clock.seconds - started == pytest.approx(seconds, abs=1e-3)
        assert len(gateway.server.calls("billing")) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "5"},
        {"Retry-After": "99999999999999999999"},
        {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"},
        {"RateLimit": '"a";r=0;t=3600'},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1900000000"},
    ],
)
async def test_requests_fail_at_once_when_the_pause_is_longer_than_their_time(
    headers: dict[str, str], ways: Ways
) -> None:
    async with outage(ways=ways) as gateway:
        gateway.server.fail("billing", faults.telling(429, **headers))
        started = gateway.clock.seconds
        replies = [await gateway.ask(query) for query in (PLAN, PLAN, OTHER)]

        assert [reply.codes for reply in replies] == [{"user.plan": "SOURCE_OVERLOADED"}] * 3
        assert gateway.clock.seconds - started == pytest.approx(0.0, abs=1e-3)
        assert len(gateway.server.calls("billing")) == 1
        assert pace(gateway) == "paused"


async def test_a_pause_is_not_longer_than_max_pause(
    ways: Ways,
) -> None:
    async with outage({"billing": {"pacing": {"max_pause": 30.0}}}, ways=ways) as gateway:
        gateway.server.fail("billing", faults.first(1, faults.telling(429, Retry_After="9" * 30)))
        await gateway.ask(PLAN)
        gateway.clock.advance(29.0)

        reply = await gateway.ask(PLAN)

        assert reply.body == {"data": {"user": {"plan": "pro"}}}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"Backoff": "0.5"}, 0.5),
        ({"Backoff": "10"}, 1.0),
        ({"Backoff": "0"}, 0.0),
        ({"Backoff": "a while"}, 0.0),
        ({"Retry-After": "2"}, 1.0),
        ({"RateLimit": '"a";r=0;t=2'}, 2.0),
        ({"RateLimit": '"a";r=1;t=2'}, 0.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2"}, 2.0),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "2"}, 0.0),
    ],
)
@pytest.mark.parametrize("settings", [{}, OFF], ids=["on", "off"])
async def test_a_good_response_is_returned_at_once_and_delays_the_next_call(
    headers: dict[str, str], seconds: float, settings: dict[str, object], ways: Ways
) -> None:
    async with outage({"billing": settings}, ways=ways) as gateway:
        gateway.server.fail("billing", faults.first(1, faults.telling(200, **headers)))
        started = gateway.clock.seconds
        replies = [await gateway.ask(PLAN)]
        took = [gateway.clock.seconds - started]
        replies.append(await gateway.ask(PLAN))
        took.append(gateway.clock.seconds - started)

        assert [reply.body for reply in replies] == [{"data": {"user": {"plan": "pro"}}}] * 2
        assert took == pytest.approx([0.0, 0.0 if settings else seconds], abs=1e-3)


async def test_a_source_that_always_asks_for_a_pause_is_still_called(
    ways: Ways,
) -> None:
    async with outage(ways=ways) as gateway:
        gateway.server.fail("billing", faults.telling(200, Backoff="10"))

        replies = [await gateway.ask(PLAN) for _ in range(20)]

        assert [reply.body for reply in replies] == [{"data": {"user": {"plan": "pro"}}}] * 20


async def test_requests_wait_while_their_source_is_paused(
    ways: Ways,
) -> None:
    async with outage(ways=ways) as gateway:
        gateway.server.fail("billing", faults.first(1, faults.telling(429, Retry_After="2")))
        requests = [asyncio.create_task(gateway.send(PLAN))]
        await gateway.server.changes.until(
            lambda: gateway.server.calls("billing") and not gateway.traffic.open
        )
        requests += [asyncio.create_task(gateway.send(OTHER)) for _ in range(5)]
        await gateway.clock.settle()
        gateway.clock.advance(1.99)
        await gateway.clock.settle()
        assert len(gateway.server.calls("billing")) == 1

        replies = await gateway.answer_of(asyncio.wait_for(asyncio.gather(*requests), None))
        assert [reply.body for reply in replies] == [{"data": {"user": {"plan": "pro"}}}] * 6
        assert len(gateway.server.calls("billing")) == (3 if ways.short else 7)


async def test_the_rest_of_a_quota_limits_the_calls_at_the_same_time() -> None:
    async with outage({"billing": {"max_calls": 8}}, ways=LONG) as gateway:
        gateway.server.fail("billing", faults.telling(200, RateLimit='"a";r=2;t=60'))
        await gateway.ask(PLAN)
        gateway.server.fail("billing", faults.late(0.1))
        started = gateway.clock.seconds
        requests = asyncio.gather(*(gateway.send(PLAN) for _ in range(4)))
        await gateway.until_held(2)  # and no more
        await gateway.answer_of(asyncio.wait_for(requests, None))

        assert gateway.clock.seconds - started == pytest.approx(0.2, abs=1e-3)
        assert pace(gateway) == "slowed"


async def test_a_list_of_invoices_keeps_the_pace_of_its_source(ways: Ways) -> None:
    query = f'{{ user(id: "{user_id(1)}") {{ plan invoices {{ totalCount: __typename }} }} }}'
    async with outage(ways=ways) as gateway:
        gateway.server.fail("invoices", faults.first(1, faults.telling(429, Retry_After="2")))
        started = gateway.clock.seconds
        reply = await gateway.ask(query)

        assert not reply.errors
        assert gateway.clock.seconds - started == pytest.approx(2.0, abs=1e-3)


async def test_the_pace_is_reported_in_the_log_the_trace_and_the_readiness(ways: Ways) -> None:
    async with outage({"billing": {"max_calls": 4}}, ways=ways, trace="always") as gateway:
        assert pace(gateway) == "free"
        gateway.server.fail("billing", faults.first(1, faults.telling(429, Retry_After="2")))
        slow = await gateway.ask(PLAN)
        slowed = pace(gateway)
        quick = [await gateway.ask(PLAN) for _ in range(5)][-1]

        assert slow.body["extensions"]["sources"]["billing"]["pace"] == "slowed"
        assert slow.body["extensions"]["sources"]["billing"]["attempts"] == 2
        assert "pace" not in quick.body["extensions"]["sources"]["billing"]
        assert [slowed, pace(gateway)] == ["slowed", "free"]
        [event] = gateway.events("source.paced")
        assert (event["source"], event["level"]) == ("billing", "warning")
        assert (event["max_calls"], event["pause_s"], event["signals"]) == (2, 2.0, 1)


async def test_a_429_is_retried_like_any_failure_without_pacing(ways: Ways) -> None:
    async with outage({"billing": OFF}, ways=ways) as gateway:
        gateway.server.fail("billing", faults.telling(429, Retry_After="1"))
        reply = await gateway.ask(PLAN)

        assert reply.codes == {"user.plan": "SOURCE_OVERLOADED"}
        assert len(gateway.server.calls("billing")) == 2
        assert pace(gateway) == "free"
        assert not gateway.events("source.paced")
