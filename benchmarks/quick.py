"""The working tree beside the commit before it, in about five minutes."""

from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.load import Load
from benchmarks.measure import Sample, measure
from benchmarks.ours import ours
from benchmarks.places import ROOT
from benchmarks.source import is_clean, tree_of
from benchmarks.stage import StageOptions, Standing, open_stage
from benchmarks.summary import of, ratio, spread
from benchmarks.table import Table, figure, ratios_of
from benchmarks.tools import Tools
from benchmarks.workloads import WORKLOADS, Workload

NOW: Final = "now"
BEFORE: Final = "before"
_WARMUP: Final = 2


def quick(
    tools: Tools,
    options: StageOptions,
    load: Load,
    *,
    rounds: int,
    workloads: Sequence[Workload],
    revision: str | None,
    say: Callable[[str], None],
) -> None:
    """Compare the code as it is with that of a commit, and tell the ratios.

    Args:
        tools: What is measured with.
        options: How things are put up.
        load: How much load.
        rounds: How many times each is measured under each workload.
        workloads: What is asked.
        revision: The commit to compare with. When absent it is ``HEAD``, or, where nothing has
            changed since that, the one before.
        say: Is told what was found.

    Raises:
        BenchmarkError: There is no such commit, or one of both does not start or answers what the
            upstream does not hold.
    """
    revision = revision or ("HEAD~1" if is_clean() else "HEAD")
    say(f"the working tree beside {revision}")
    samples: list[Sample] = []
    with tree_of(revision) as before, open_stage(tools, options) as stage:
        pairs = {
            door: [
                stage.put_up(ours(name, tree=tree), door)
                for name, tree in ((NOW, ROOT), (BEFORE, before))
            ]
            for door in dict.fromkeys(workload.door for workload in workloads)
        }
        for number in range(rounds):
            for workload in workloads:
                for one in _order(pairs[workload.door], number):
                    sample = measure(
                        stage,
                        one,
                        workload,
                        load,
                        warmup=0 if number else _WARMUP,
                        round_number=number,
                    )
                    samples.append(sample)
            say(f"round {number + 1} of {rounds}")
    say(comparison(samples).text())


def _order(pair: list[Standing], number: int) -> list[Standing]:
    """Let each go first in every other round."""
    return pair[::-1] if number % 2 else pair


def comparison(samples: list[Sample]) -> Table:
    """Tell how the working tree compares with the commit."""
    rows: list[tuple[str, ...]] = []
    for workload in WORKLOADS:
        now, before = of(samples, NOW, workload.name), of(samples, BEFORE, workload.name)
        if not now or not before:
            continue
        rows.append(
            (
                f"{workload.name}: {workload.title}",
                figure(spread(one.cpu_ms for one in now).median),
                figure(spread(one.cpu_ms for one in before).median),
                *ratios_of(ratio(now, before)),
                figure(spread(one.p50_ms for one in now).median),
                figure(spread(one.p50_ms for one in before).median),
                _calls(now),
                _calls(before),
            )
        )
    header = (
        "",
        "CPU ms now",
        "before",
        "ratio",
        "range",
        "p50 now",
        "before",
        "calls now",
        "before",
    )
    return Table(header, tuple(rows))


def _calls(samples: list[Sample]) -> str:
    """Write how many calls a request made, to all sources."""
    return f"{spread(one.calls.total for one in samples).median:.2f}"
