"""Tables, for the terminal and for Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.bars import BARS
from benchmarks.run import Run
from benchmarks.summary import Spread, Summary
from benchmarks.workloads import Workload

NOTHING = "–"
_DISTURBED = 0.2
"""CPUs that others keep busy from which on figures are disturbed."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table. The first column is text, all others are figures.

    Attributes:
        header: What the columns are.
        rows: The rest.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        """Write it for a terminal."""
        lines = (self.header, *self.rows)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if index == 0 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def markdown(self) -> str:
        """Write it in Markdown."""
        rule = ("---", *("---:" for _ in self.header[1:]))
        return "\n".join(f"| {' | '.join(line)} |" for line in (self.header, rule, *self.rows))


def figure(value: float) -> str:
    """Write a number with the digits that mean something."""
    if abs(value) >= 100:  # noqa: PLR2004 # three digits
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004 # the same


def range_of(one: Spread | None) -> str:
    """Write a range."""
    return NOTHING if one is None else f"{figure(one.low)}…{figure(one.high)}"


def ratios_of(one: Spread | None) -> tuple[str, str]:
    """Write the median and the range of ratios."""
    if one is None:
        return NOTHING, NOTHING
    return f"{one.median:.2f}", f"{one.low:.2f}…{one.high:.2f}"


def details(run: Run, workload: Workload) -> Table:
    """Make the whole table of a workload.

    Args:
        run: What was found.
        workload: Which.
    """
    beside = ("× " + workload.beside, "range") if workload.beside else ()
    header = (
        *("peer", "CPU ms", "range", "ratio", "range", *beside),
        *("calls p/b/a", "req/s", "p50 ms", "p99 ms", "peak MB"),
    )
    rows = [
        (part.name, *_cells(summary, is_beside=workload.beside is not None))
        for part in run.parts
        if (summary := run.summary(part, workload)) is not None
    ]
    return Table(header, tuple(rows))


def _cells(summary: Summary, *, is_beside: bool) -> tuple[str, ...]:
    """Write the figures of a peer."""
    calls = summary.calls
    return (
        figure(summary.cpu_ms.median),
        range_of(summary.cpu_ms),
        *ratios_of(summary.ratio),
        *(ratios_of(summary.beside) if is_beside else ()),
        "/".join(f"{one:.2f}" for one in (calls.profile, calls.billing, calls.activity)),
        f"{summary.requests_per_second:.0f}",
        f"{summary.p50_ms:.1f}",
        f"{summary.p99_ms:.1f}",
        f"{summary.peak_mb:.0f}",
    )


def overview(run: Run, workloads: Sequence[Workload]) -> Table:
    """Make the short table: CPU per request and ratio, a column for each workload."""
    header = ("CPU ms per request (ratio)", *(f"{one.name}: {one.title}" for one in workloads))
    return _by_peer(run, header, workloads, _overview_cell)


def ratios(run: Run, workloads: Sequence[Workload]) -> Table:
    """Make the long table: ratios to the reference with their ranges, a column for each workload.

    Peers that answer none of these workloads are not in it.
    """
    header = ("ratio of CPU (range)", *(f"{one.name}: {one.title}" for one in workloads))
    return _by_peer(run, header, workloads, _ratio_cell)


def standing(run: Run) -> Table:
    """Make the table of the bars: ours beside the reference, a row for each workload."""
    header = (
        *("", "CPU ms", "aggregator", "ratio", "range", "first bar", "goal", "reached"),
        *("over its own W3", "range"),
    )
    return Table(header, tuple(_standing_row(run, workload) for workload in run.workloads()))


def _standing_row(run: Run, workload: Workload) -> tuple[str, ...]:
    """Write how ours stands under a workload."""
    found = {part.name: run.summary(part, workload) for part in run.parts}
    ours, reference = found.get(run.parts[0].name), found.get(run.reference)
    bar = BARS.get(workload.name)
    ratio = ours.ratio if ours else None
    beside = ours.beside if ours else None
    verdict = NOTHING
    if bar and ratio:
        verdict = bar.verdict(ratio.median, beside.median if beside else None)
    bound = f" (at most {bar.beside:g})" if bar and bar.beside else ""
    return (
        f"{workload.name}: {workload.title}",
        figure(ours.cpu_ms.median) if ours else NOTHING,
        figure(reference.cpu_ms.median) if reference else NOTHING,
        *ratios_of(ratio),
        *((f"{bar.first:g}", f"{bar.goal:g}") if bar else (NOTHING, NOTHING)),
        verdict,
        f"{beside.median:.2f}{bound}" if beside else NOTHING,
        ratios_of(beside)[1],
    )


def _by_peer(
    run: Run,
    header: tuple[str, ...],
    workloads: Sequence[Workload],
    cell: Callable[[Summary | None], str],
) -> Table:
    """Make a table with a row for each peer that was measured under one of these workloads."""
    rows: list[tuple[str, ...]] = []
    for part in run.parts:
        found = [run.summary(part, workload) for workload in workloads]
        if any(found):
            rows.append((_title(part.title, run, part.name), *map(cell, found)))
    return Table(header, tuple(rows))


def _title(title: str, run: Run, name: str) -> str:
    """Write a peer's name, the first one, which is ours, in bold."""
    return f"**{title}**" if run.parts and name == run.parts[0].name else title


def _overview_cell(summary: Summary | None) -> str:
    """Write a peer's figures for one workload."""
    if summary is None:
        return NOTHING
    ratio = "" if summary.ratio is None else f" ({summary.ratio.median:.2f})"
    return f"{figure(summary.cpu_ms.median)}{ratio}"


def _ratio_cell(summary: Summary | None) -> str:
    """Write a peer's ratio under one workload, and its range."""
    if summary is None or summary.ratio is None:
        return NOTHING
    return "{} ({})".format(*ratios_of(summary.ratio))


def notes(run: Run) -> Sequence[str]:
    """Say what was not measured, and what to distrust."""
    found = [str(one) for one in run.omissions]
    other = sorted(sample.other_cores for sample in run.samples)
    if other and other[-1] > _DISTURBED:
        found.append(
            "other programs kept the machine busy meanwhile:"
            f" {other[len(other) // 2]:.1f} CPUs in the median measurement, {other[-1]:.1f} in the"
            " worst; latency and requests per second suffer from that most, ratios least"
        )
    return found
