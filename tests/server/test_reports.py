"""Reports of processes are joined: metrics are summed, and the worst state of a source is shown."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from app.observability.metric_list import GRAPHQL_ACTIVE, OPERATIONS, WORKERS_HANGING
from app.observability.metrics import Metrics
from app.server.health import Readiness, SourceHealth
from app.server.reports import (
    OVERDUE_AFTER,
    Report,
    Reports,
    joined_readiness,
)
from tests.clock import ManualClock


def health(circuit: str, *, pace: str = "free", second: int | None = None) -> SourceHealth:
    """Make the state of a source."""
    at = None if second is None else datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
    return SourceHealth(last_reached_at=at, last_status=200, circuit=circuit, pace=pace)


def report(pid: int, operations: float, *, ready: bool = True, running: int = 0) -> Report:
    """Make the report of a process that has executed a number of operations."""
    metrics = Metrics()
    metrics.counter(OPERATIONS).add(operations, "compiled")
    metrics.observe(GRAPHQL_ACTIVE, lambda: [((), running)])
    readiness = Readiness.of(is_ready=ready, sources={"billing": health("closed")})
    return Report(pid=pid, readiness=readiness, snapshot=metrics.snapshot())


def values(reports: Reports) -> dict[str, float]:
    """Return the sums of the reported metrics by name."""
    return {
        one.info.name: one.points[0].value
        for one in reports.snapshot().metrics
        if one.info is not WORKERS_HANGING
    }


def hanging(reports: Reports) -> float:
    """Return the number of hanging processes."""
    [metric] = [one for one in reports.snapshot().metrics if one.info is WORKERS_HANGING]
    return metric.points[0].value


def test_metrics_of_processes_are_summed(clock: ManualClock) -> None:
    reports = Reports(2, clock.monotonic)
    reports.put(report(1, 5, running=2))
    reports.put(report(2, 7, running=1))
    reports.put(report(1, 6, running=0))

    assert values(reports) == {"gateway.operations": 13, "graphql.server.active_requests": 1}


def test_counters_of_an_ended_process_are_kept_and_its_gauges_are_not(clock: ManualClock) -> None:
    reports = Reports(2, clock.monotonic)
    reports.put(report(1, 5, running=2))
    reports.put(report(2, 7, running=1))
    reports.end(1)
    reports.put(report(3, 1))
    reports.end(3)
    reports.end(99)

    assert values(reports) == {"gateway.operations": 13, "graphql.server.active_requests": 1}


def test_the_gateway_is_ready_when_all_configured_processes_are_ready(clock: ManualClock) -> None:
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


def test_a_process_without_reports_counts_as_hanging(clock: ManualClock) -> None:
    reports = Reports(2, clock.monotonic)
    reports.put(report(1, 0))
    clock.advance(OVERDUE_AFTER - 1)
    reports.put(report(2, 0))
    before = reports.is_alive()
    clock.advance(2)
    hanging = reports.is_alive()
    reports.end(1)

    assert (before, hanging, reports.is_alive()) == (True, False, True)


def test_a_hanging_process_is_counted_and_not_ready(clock: ManualClock) -> None:
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
    """Wait until a condition is true; another thread changes it."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 # a thread sets no event of the loop
            await asyncio.sleep(0.01)


async def until_async(read: Callable[[], Awaitable[float]], value: float) -> None:
    """Wait until a number of another process reaches a value."""
    async with asyncio.timeout(30):
        while await read() < value:  # noqa: ASYNC110 # it is in another process
            await asyncio.sleep(0.05)
