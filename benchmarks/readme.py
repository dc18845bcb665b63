"""The blocks of pages that show the latest figures."""

import re
from pathlib import Path
from typing import Final

from benchmarks.errors import BenchmarkError
from benchmarks.run import Run
from benchmarks.table import overview, ratios, standing
from benchmarks.workloads import EVERYDAY

START: Final = "<!-- benchmarks -->"
END: Final = "<!-- /benchmarks -->"
_PICTURE: Final = "benchmarks/results/latest.svg"
_TABLES: Final = "benchmarks/results/latest.md"


def short_form(run: Run) -> str:
    """Write what the README shows of a run: the picture, and under which conditions."""
    machine = run.machine
    node = f", Node.js {machine.node.removeprefix('v')}" if machine.node else ""
    how = (
        f"CPU of all processes of a gateway for one request. Medians of {run.rounds} interleaved"
        f" rounds of {run.seconds} s, {run.connections} connections, one gateway at a time on"
        f" {machine.cpus} CPUs, {run.date}, Python {machine.python}{node}."
        f" [All figures, ranges, latencies, memory and exact versions]({_TABLES});"
        " [what is measured, and how](benchmarks/README.md)."
    )
    picture = f"![CPU milliseconds per request of each gateway]({_PICTURE})"
    return f"{picture}\n\n{how}"


def long_form(run: Run) -> str:
    """Write what the page on performance shows of a run: bars, costs, and ratios with ranges."""
    how = (
        f"Medians and ranges of {run.rounds} interleaved rounds of {run.seconds} s,"
        f" {run.connections} connections, {run.date}. The values are the CPU of all"
        " processes per request, over that of the hand-written aggregator in the same round."
    )
    everyday = [one for one in run.workloads() if one in EVERYDAY]
    parts = [how, standing(run).markdown(), overview(run, everyday).markdown()]
    for is_everyday in (True, False):
        some = [one for one in run.workloads() if (one in EVERYDAY) is is_everyday]
        if some:
            parts.append(ratios(run, some).markdown())
    return "\n\n".join(parts)


def with_block(readme: str, new: str) -> str:
    """Put a block between its markers.

    Args:
        readme: The text.
        new: What stands between the markers afterwards.

    Raises:
        BenchmarkError: The text has not exactly one such place.
    """
    between = re.compile(f"{START}.*?{END}", flags=re.DOTALL)
    if len(between.findall(readme)) != 1:
        raise BenchmarkError(f"one place is needed between {START} and {END}")
    return between.sub(lambda _: f"{START}\n{new}\n{END}", readme)


def update(path: Path, new: str) -> None:
    """Put a block into a file.

    Raises:
        BenchmarkError: The file has not exactly one place for it.
    """
    path.write_text(with_block(path.read_text("utf-8"), new), encoding="utf-8")
