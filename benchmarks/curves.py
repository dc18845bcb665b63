"""How the gateway's cost grows: with users, with connections, with slow sources, with workers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from benchmarks.errors import BenchmarkError
from benchmarks.fit import Fit, fit
from benchmarks.load import Load
from benchmarks.machine import Machine, look_at_machine
from benchmarks.measure import Sample, measure
from benchmarks.ours import ours
from benchmarks.peer import Peer
from benchmarks.source import commit
from benchmarks.stage import StageOptions, open_stage
from benchmarks.summary import Spread, spread
from benchmarks.tools import Tools
from benchmarks.workloads import W2, W3, W9, UpstreamDoor, Workload, of_users

USERS: Final = (1, 2, 5, 10, 20, 50, 100, 500)
CONNECTIONS: Final = (1, 4, 16, 32, 64, 256)
WORKERS: Final = (1, 2)
USUAL_CONNECTIONS: Final = 32
BY_USERS: Final = "users"
BY_CONNECTIONS: Final = "connections"
BY_WORKERS: Final = "workers"
SCALED: Final[Mapping[str, str]] = {one.name: one.title for one in (W3, W9)}
"""The workloads that are measured over workers, and their titles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What was measured at one place.

    Attributes:
        along: Along which curve it lies: ``users``, ``connections`` or ``workers``.
        workload: What was asked.
        workers: How many processes the gateway had.
        delay_ms: How long each source waited before it answered.
        users: How many users each request asked for.
        connections: How many requests were under way at a time.
        cpu_ms: Milliseconds of CPU per request.
        p50_ms: Half of the answers took no longer.
        p99_ms: 99 of 100 took no longer, in the median round.
        requests_per_second: How many answers came in a second.
        calls: Calls to all sources per request.
    """

    along: str
    workload: str
    workers: int
    delay_ms: int
    users: int
    connections: int
    cpu_ms: Spread
    p50_ms: Spread
    p99_ms: float
    requests_per_second: float
    calls: float


@dataclass(frozen=True, slots=True)
class Curves:
    """All that was measured.

    Attributes:
        date: When, such as ``2026-01-31``.
        commit: Of which code.
        machine: On what.
        seconds: How long each measurement was.
        rounds: How many there were of each.
        points: What was found.
    """

    date: str
    commit: str
    machine: Machine
    seconds: int
    rounds: int
    points: tuple[Point, ...]

    def curve(self, along: str, workers: int, delay_ms: int) -> list[Point]:
        """Choose the points of one curve."""
        return [
            one
            for one in self.points
            if (one.along, one.workers, one.delay_ms) == (along, workers, delay_ms)
        ]

    def kinds(self) -> list[tuple[int, int]]:
        """List the workers and delays for which there are curves."""
        return list(dict.fromkeys((one.workers, one.delay_ms) for one in self.points))

    def scaling(self, workload: str) -> list[Point]:
        """Choose what more workers make of a workload."""
        return [one for one in self.points if (one.along, one.workload) == (BY_WORKERS, workload)]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where to measure."""

    along: str
    workload: Workload
    connections: int


def _growth(door: UpstreamDoor) -> tuple[_Place, ...]:
    """List the places of the curves over users and over connections."""
    return (
        *(_Place(BY_USERS, of_users(users, door), USUAL_CONNECTIONS) for users in USERS),
        *(_Place(BY_CONNECTIONS, W2, connections) for connections in CONNECTIONS),
    )


_PLACES: Final[Mapping[UpstreamDoor, tuple[_Place, ...]]] = {
    UpstreamDoor.FAST: (
        *_growth(UpstreamDoor.FAST),
        _Place(BY_WORKERS, W3, USUAL_CONNECTIONS),
    ),
    UpstreamDoor.SLOW: _growth(UpstreamDoor.SLOW),
    UpstreamDoor.FOREIGN: (_Place(BY_WORKERS, W9, USUAL_CONNECTIONS),),
}
"""Where the gateway is measured, with each number of workers."""


def curves(
    tools: Tools, options: StageOptions, seconds: int, rounds: int, say: Callable[[str], None]
) -> Curves:
    """Measure the gateway at all places, in rounds.

    Args:
        tools: What is measured with.
        options: How things are put up.
        seconds: How long each measurement is.
        rounds: How often each is made.
        say: Is told how far it is.

    Raises:
        BenchmarkError: Something does not start.
    """
    found: dict[tuple[int, UpstreamDoor, _Place], list[Sample]] = {}
    with open_stage(tools, options) as stage:
        standing = {
            (workers, door): stage.put_up(_with_workers(workers), door)
            for workers in WORKERS
            for door in _PLACES
        }
        for number in range(rounds):
            for (workers, door), one in standing.items():
                for place in _PLACES[door]:
                    name = (
                        f"{number + 1}/{rounds} {workers} workers, {door}, {place.workload.name},"
                        f" {place.connections} connections"
                    )
                    load = Load(place.connections, seconds)
                    try:
                        sample = measure(
                            stage, one, place.workload, load, warmup=1, round_number=number
                        )
                    except BenchmarkError as error:
                        say(f"{name}: left out, since {error}")
                        continue
                    found.setdefault((workers, door, place), []).append(sample)
                    say(f"{name}: {sample.cpu_ms:.3f} ms CPU, p50 {sample.p50_ms:.2f} ms")
    return Curves(
        date=datetime.now(UTC).date().isoformat(),
        commit=commit(),
        machine=look_at_machine(tools),
        seconds=seconds,
        rounds=rounds,
        points=tuple(
            _point(place, workers, options.delay_ms if door is UpstreamDoor.SLOW else 0, samples)
            for (workers, door, place), samples in found.items()
        ),
    )


def _with_workers(workers: int) -> Peer:
    """Describe the gateway with so many processes, and with the limit on users raised."""
    settings = {
        "GATEWAY_WORKERS": str(workers),
        "GATEWAY_MAX_IDS": str(max(USERS)),
        "GATEWAY_LIMITS__COST": "0",
        "GATEWAY_LIMITS__VARIABLES_BYTES": "0",
    }
    return ours(f"ours-{workers}", settings=settings)


def _point(place: _Place, workers: int, delay_ms: int, samples: Sequence[Sample]) -> Point:
    """Tell what the rounds say of one place."""
    return Point(
        along=place.along,
        workload=place.workload.name,
        workers=workers,
        delay_ms=delay_ms,
        users=place.workload.users,
        connections=place.connections,
        cpu_ms=spread(one.cpu_ms for one in samples),
        p50_ms=spread(one.p50_ms for one in samples),
        p99_ms=spread(one.p99_ms for one in samples).median,
        requests_per_second=spread(one.requests_per_second for one in samples).median,
        calls=spread(one.calls.total for one in samples).median,
    )


def growth(found: Curves, workers: int, delay_ms: int) -> Fit:
    """Tell what a request costs, and what each user in it costs, in milliseconds of CPU.

    Raises:
        ValueError: There are not enough points.
    """
    curve = found.curve(BY_USERS, workers, delay_ms)
    return fit([(one.users, one.cpu_ms.median) for one in curve])


def added_latency(found: Curves, workers: int, delay_ms: int) -> float | None:
    """Tell by how much the gateway's latency is above that of its sources.

    Returns:
        Milliseconds of the median of W2 at 32 connections; nothing where it was not measured.
    """
    for one in found.curve(BY_CONNECTIONS, workers, delay_ms):
        if one.connections == USUAL_CONNECTIONS:
            return one.p50_ms.median - delay_ms
    return None
