"""Pure figures: what many rounds say together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import Sample
from benchmarks.upstream import UpstreamCounts


@dataclass(frozen=True, slots=True)
class Spread:
    """What a figure was over several rounds.

    Attributes:
        median: The one in the middle.
        low: The least.
        high: The most.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the rounds say of a peer under a workload.

    Attributes:
        peer: Who was measured.
        workload: What was asked.
        rounds: How many rounds there were.
        cpu_ms: Milliseconds of CPU per request.
        ratio: That, over the reference's in the same round; nothing without a reference.
        beside: That, over its own under the workload beside it in the same round, if there is one.
        requests_per_second: How many answers came in a second (median).
        p50_ms: Half of the answers took no longer (median of the rounds).
        p99_ms: 99 of 100 took no longer (median of the rounds).
        peak_mb: The most memory in any round.
        calls: Calls to each source per request (medians).
        other_cores: How many CPUs all else on the machine kept busy, in the worst round.
    """

    peer: str
    workload: str
    rounds: int
    cpu_ms: Spread
    ratio: Spread | None
    beside: Spread | None
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    peak_mb: float
    calls: UpstreamCounts
    other_cores: float


def spread(values: Iterable[float]) -> Spread:
    """Tell the median and the range of some values.

    Raises:
        ValueError: There are none.
    """
    found = sorted(values)
    if not found:
        raise ValueError("no values")
    return Spread(median(found), found[0], found[-1])


def ratio(samples: Sequence[Sample], base: Sequence[Sample]) -> Spread | None:
    """Compare the CPU per request of two series, round by round.

    A slow minute of the machine is in both samples of a round, so that ratios of the same round
    say more than a ratio of two medians.

    Args:
        samples: What is compared.
        base: With what.

    Returns:
        The ratios; nothing where no round has both.
    """
    by_round = {sample.round: sample.cpu_ms for sample in base if sample.cpu_ms > 0}
    ratios = [
        sample.cpu_ms / by_round[sample.round] for sample in samples if sample.round in by_round
    ]
    return spread(ratios) if ratios else None


def of(samples: Sequence[Sample], peer: str, workload: str) -> list[Sample]:
    """Choose the samples of a peer under a workload."""
    return [one for one in samples if one.peer == peer and one.workload == workload]


def summarise(
    samples: Sequence[Sample], peer: str, workload: str, reference: str, beside: str | None = None
) -> Summary | None:
    """Tell what all rounds say of a peer under a workload.

    Args:
        samples: All that was measured.
        peer: Who is looked at.
        workload: What was asked.
        reference: The peer to compare with.
        beside: The workload to compare with, if any.

    Returns:
        Nothing, if it was not measured.
    """
    mine = of(samples, peer, workload)
    if not mine:
        return None
    return Summary(
        peer=peer,
        workload=workload,
        rounds=len(mine),
        cpu_ms=spread(one.cpu_ms for one in mine),
        ratio=ratio(mine, of(samples, reference, workload)),
        beside=ratio(mine, of(samples, peer, beside)) if beside else None,
        requests_per_second=median(one.requests_per_second for one in mine),
        p50_ms=median(one.p50_ms for one in mine),
        p99_ms=median(one.p99_ms for one in mine),
        peak_mb=max(one.peak_mb for one in mine),
        calls=UpstreamCounts(
            profile=median(one.calls.profile for one in mine),
            billing=median(one.calls.billing for one in mine),
            activity=median(one.calls.activity for one in mine),
        ),
        other_cores=max(one.other_cores for one in mine),
    )
