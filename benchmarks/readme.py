"""The block of a README that shows the latest figures."""

import re
from pathlib import Path
from typing import Final

from benchmarks.errors import BenchmarkError
from benchmarks.run import Run
from benchmarks.table import overview

START: Final = "<!-- benchmarks -->"
END: Final = "<!-- /benchmarks -->"
_PICTURE: Final = "benchmarks/results/latest.svg"
_TABLES: Final = "benchmarks/results/latest.md"


def block(run: Run) -> str:
    """Write what the README shows of a run: picture, table, and under which conditions."""
    machine = run.machine
    node = f", Node.js {machine.node.removeprefix('v')}" if machine.node else ""
    how = (
        f"Medians of {run.rounds} interleaved rounds of {run.seconds} s, {run.connections}"
        f" connections, one gateway at a time on {machine.cpus} CPUs, {run.date}. CPU milliseconds"
        " of all processes of the gateway per request; in brackets, that over the hand-written"
        f" aggregator's of the same round. Python {machine.python}{node}. All figures, ranges,"
        f" latencies, memory and exact versions: [{_TABLES}]({_TABLES}); what is measured, and how:"
        " [benchmarks/README.md](benchmarks/README.md)."
    )
    picture = f"![CPU milliseconds per request of each gateway]({_PICTURE})"
    return "\n\n".join([picture, overview(run).markdown(), how])


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


def update(path: Path, run: Run) -> None:
    """Put the block of a run into a file.

    Raises:
        BenchmarkError: The file has not exactly one place for it.
    """
    path.write_text(with_block(path.read_text("utf-8"), block(run)), encoding="utf-8")
