"""Telling how the gateway's cost grows: on the terminal, as a picture."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.curves import (
    BY_CONNECTIONS,
    BY_USERS,
    SCALED,
    USUAL_CONNECTIONS,
    Curves,
    Point,
    added_latency,
    growth,
)
from benchmarks.lines import Panel, Series, lines
from benchmarks.table import NOTHING, Table, figure, range_of


def tell_curves(found: Curves, say: Callable[[str], None]) -> None:
    """Tell a person what was found."""
    for workers, delay_ms in found.kinds():
        say(f"\n{_name(workers, delay_ms)}")
        curve = [one for one in found.points if (one.workers, one.delay_ms) == (workers, delay_ms)]
        header = (
            "along",
            "asked",
            "users",
            "connections",
            "CPU ms",
            "range",
            "p50 ms",
            "p99 ms",
            "req/s",
        )
        rows = [
            (
                *(one.along, one.workload, str(one.users), str(one.connections)),
                *(figure(one.cpu_ms.median), range_of(one.cpu_ms)),
                *(figure(one.p50_ms.median), figure(one.p99_ms)),
                figure(one.requests_per_second),
                f"{one.calls:.2f}",
            )
            for one in curve
        ]
        say(Table((*header, "calls"), tuple(rows)).text())
        line = growth(found, workers, delay_ms)
        say(
            f"CPU = {line.constant:.3f} ms + {line.slope:.4f} ms · users; the worst point is"
            f" {line.worst:.0%} off, at {line.worst_at:g} users"
        )
        added = added_latency(found, workers, delay_ms)
        if added is not None:
            say(
                f"user, 3 sources, {USUAL_CONNECTIONS} connections: p50 is {added:.1f} ms above"
                f" the {delay_ms} ms of the sources"
            )

    say("\n" + scaling_table(found).text())


def scaling_table(found: Curves) -> Table:
    """Make the table of what more workers answer."""
    header = ("", "workers", "req/s", "over 1 worker", "CPU ms", "range")
    rows = [
        (
            *(f"{workload}: {title}", str(one.workers), figure(one.requests_per_second)),
            _over_one(one, curve[0]),
            *(figure(one.cpu_ms.median), range_of(one.cpu_ms)),
        )
        for workload, title in SCALED.items()
        if (curve := found.scaling(workload))
        for one in curve
    ]
    return Table(header, tuple(rows))


def _over_one(point: Point, first: Point) -> str:
    """Write how many times as much as one worker this answers; a dash where one was left out."""
    if first.workers != 1:
        return NOTHING
    return f"{point.requests_per_second / first.requests_per_second:.2f}"


def write_curves(found: Curves, path: Path) -> None:
    """Draw the curves beside their file, and those over workers in ``.workers.svg``."""
    kinds = found.kinds()

    def panel(title: str, axis: str, along: str, value: Callable[[Point], float]) -> Panel:
        series = [
            Series(
                _name(*kind),
                tuple((getattr(one, along), value(one)) for one in found.curve(along, *kind)),
            )
            for kind in kinds
        ]
        return Panel(title, axis, tuple(series))

    def cpu(point: Point) -> float:
        return point.cpu_ms.median

    def latency(point: Point) -> float:
        return point.p50_ms.median

    panels = (
        panel("CPU ms per request", "users in a request", BY_USERS, cpu),
        panel("p50 latency, ms", "users in a request", BY_USERS, latency),
        panel("CPU ms per request, one user", "connections", BY_CONNECTIONS, cpu),
        panel("p50 latency, ms, one user", "connections", BY_CONNECTIONS, latency),
    )
    title = f"How cost grows: {USUAL_CONNECTIONS} connections unless said otherwise"
    path.with_suffix(".svg").write_text(lines(title, panels).svg(), encoding="utf-8")
    if any(found.scaling(workload) for workload in SCALED):
        drawn = lines(f"More workers: {USUAL_CONNECTIONS} connections", _scaling_panels(found))
        path.with_suffix(".workers.svg").write_text(drawn.svg(), encoding="utf-8")


def _scaling_panels(found: Curves) -> tuple[Panel, ...]:
    """Draw what more workers answer, and what a request costs then."""

    def panel(title: str, value: Callable[[Point], float]) -> Panel:
        series = [
            Series(name, tuple((one.workers, value(one)) for one in found.scaling(workload)))
            for workload, name in SCALED.items()
        ]
        return Panel(title, "workers", tuple(series))

    return (
        panel("answers in a second", lambda one: one.requests_per_second),
        panel("CPU ms per request", lambda one: one.cpu_ms.median),
    )


def _name(workers: int, delay_ms: int) -> str:
    """Name a kind of curve."""
    return f"{workers} worker{'s' if workers > 1 else ''}, sources after {delay_ms} ms"
