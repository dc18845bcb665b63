"""Reports of processes are joined: metrics add up, and the worst state of a source counts."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

import pytest

from app.observability.metric_list import GRAPHQL_ACTIVE, OPERATIONS, WORKERS_HANGING
from app.observability.metrics import Metrics
from app.server.health import Readiness, SourceHealth
from app.server.reports import (
    OVERDUE_AFTER,
    Report,
    ReportListener,
    Reports,
    joined_readiness,
    send_reports,
)
from tests.clock import ManualClock


def health(circuit: str, *, pace: str = "free", second: int | None = None) -> SourceHealth:
    """Make the state of a source."""
    at = None if second is None else datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
    return SourceHealth(last_reached_at=at, last_status=200, circuit=circuit, pace=pace)


def report(pid: int, operations: float, *, ready: bool = True, running: int = 0) -> Report:
    """Make the report of a process that has executed so many operations."""
    metrics = Metrics()
    metrics.counter(OPERATIONS).add(operations, "compiled")
    metrics.observe(GRAPHQL_ACTIVE, lambda: [((), running)])
    readiness = Readiness.of(is_ready=ready, sources={"billing": health("closed")})
    return Report(pid=pid, readiness=readiness, snapshot=metrics.snapshot())


def values(reports: Reports) -> dict[str, float]:
    """Return the sums of what processes report, by the name of the metric."""
    return {
        one.info.name: one.points[0].value
        for one in reports.snapshot().metrics
        if one.info is not WORKERS_HANGING
    }


def hanging(reports: Reports) -> float:
    """Return how many processes hang."""
    [metric] = [one for one in reports.snapshot().metrics if one.info is WORKERS_HANGING]
    return metric.points[0].value


def test_the_metrics_of_processes_add_up(clock: ManualClock) -> None:
    reports = Reports(2, clock.monotonic)
    reports.put(report(1, 5, running=2))
    reports.put(report(2, 7, running=1))
    reports.put(report(1, 6, running=0))

    assert values(reports) == {"gateway.operations": 13, "graphql.server.active_requests": 1}


def test_the_counters_of_a_process_outlast_it_and_its_gauges_do_not(clock: ManualClock) -> None:
    reports = Reports(2, clock.monotonic)
    reports.put(report(1, 5, running=2))
    reports.put(report(2, 7, running=1))
    reports.end(1)
    reports.put(report(3, 1))
    reports.end(3)
    reports.end(99)

    assert values(reports) == {"gateway.operations": 13, "graphql.server.active_requests": 1}


def test_it_is_ready_when_as_many_processes_are_as_there_should_be(clock: ManualClock) -> None:
    reports = Reports(2, clock.monotonic)
    states: list[bool] = []
    for one in (report(1, 0), report(2, 0, ready=False), report(2, 0)):
        reports.put(one)
        states.append(reports.readiness().is_ready)

    assert states == [False, False, True]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (health("open"), health("closed", pace="paused", second=9)),
        (health("half-open"), health("closed", second=9)),
        (health("open"), health("half-open", second=9)),
        (health("closed", pace="paused"), health("closed", pace="slowed", second=9)),
        (health("closed", second=9), health("closed", second=8)),
        (health("closed", second=1), health("closed")),
    ],
)
def test_the_worse_state_of_a_source_is_shown(one: SourceHealth, other: SourceHealth) -> None:
    known = [Readiness.of(is_ready=True, sources={"billing": each}) for each in (one, other)]

    assert joined_readiness(known, 2).sources == {"billing": one}
    assert joined_readiness(known[::-1], 2).sources == {"billing": one}


def test_a_process_that_no_longer_reports_is_taken_to_hang(clock: ManualClock) -> None:
    reports = Reports(2, clock.monotonic)
    reports.put(report(1, 0))
    clock.advance(OVERDUE_AFTER - 1)
    reports.put(report(2, 0))
    before = reports.is_alive()
    clock.advance(2)
    hanging = reports.is_alive()
    reports.end(1)

    assert (before, hanging, reports.is_alive()) == (True, False, True)


def test_a_process_that_hangs_is_counted_and_is_not_ready(clock: ManualClock) -> None:
    reports = Reports(2, clock.monotonic)
    seen: list[tuple[float, bool]] = []
    for wait in (0, OVERDUE_AFTER, 0):
        clock.advance(wait)
        reports.put(report(2, 0))
        if not seen or seen[-1][0]:
            reports.put(report(1, 0))
        seen.append((hanging(reports), reports.readiness().is_ready))

    assert seen == [(0, True), (1, False), (0, True)]


async def until(condition: Callable[[], object]) -> None:
    """Wait until a function returns something true, which a thread brings about."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 # a thread sets no event of the loop
            await asyncio.sleep(0.01)


async def test_a_report_arrives_by_the_connection_and_ends_with_it(clock: ManualClock) -> None:
    reports = Reports(1, clock.monotonic)
    with ReportListener(reports) as listener:
        sending = asyncio.create_task(send_reports(listener.address, lambda: report(1, 5)))
        await until(lambda: values(reports).get("gateway.operations") == 5)
        alive = values(reports)
        sending.cancel()
        await asyncio.wait([sending])
        await until(lambda: "graphql.server.active_requests" not in values(reports))

    assert alive["graphql.server.active_requests"] == 0
    assert values(reports) == {"gateway.operations": 5}


async def test_a_program_without_the_key_changes_nothing(clock: ManualClock) -> None:
    reports = Reports(1, clock.monotonic)
    with ReportListener(reports) as listener:
        with pytest.raises(AuthenticationError):
            await asyncio.to_thread(Client, listener.address, authkey=b"guess")
        sending = asyncio.create_task(send_reports(listener.address, lambda: report(1, 5)))
        await until(lambda: values(reports).get("gateway.operations") == 5)
        sending.cancel()
        await asyncio.wait([sending])


async def test_the_last_report_arrives_though_another_is_being_sent(clock: ManualClock) -> None:
    made = asyncio.Event()
    large = Metrics()
    for number in range(20_000):
        large.counter(OPERATIONS).add(1, f"renderer {number:060}")
    sent = [
        report(1, 2),
        Report(pid=1, readiness=Readiness.of(is_ready=True, sources={}), snapshot=large.snapshot()),
    ]

    def make() -> Report:
        made.set()
        return sent.pop()

    reports = Reports(1, clock.monotonic)
    with ReportListener(reports) as listener:
        sending = asyncio.create_task(send_reports(listener.address, make))
        await made.wait()
        sending.cancel()
        await asyncio.wait([sending])
        await until(lambda: values(reports) == {"gateway.operations": 2})


async def test_a_program_that_says_nothing_does_not_hold_up_the_others(clock: ManualClock) -> None:
    reports = Reports(1, clock.monotonic)
    with (
        ReportListener(reports) as listener,
        socket.create_connection(listener.address),
        socket.create_connection(listener.address),
    ):
        sending = asyncio.create_task(send_reports(listener.address, lambda: report(1, 5)))
        await until(lambda: values(reports).get("gateway.operations") == 5)
        sending.cancel()
        await asyncio.wait([sending])


async def test_a_process_goes_on_if_nobody_collects_reports_any_more(clock: ManualClock) -> None:
    with ReportListener(Reports(1, clock.monotonic)) as listener:
        address = listener.address

    await send_reports(address, lambda: report(1, 5))  # it just ends


async def until_async(read: Callable[[], Awaitable[float]], value: float) -> None:
    """Wait until a number that another process shows is so large."""
    async with asyncio.timeout(30):
        while await read() < value:  # noqa: ASYNC110 # it is in another process
            await asyncio.sleep(0.05)
