"""Ours beside the peers, interleaved."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from benchmarks.catalog import REFERENCE
from benchmarks.check import check
from benchmarks.errors import BenchmarkError, UnavailableError
from benchmarks.kits import install, versions
from benchmarks.load import Load
from benchmarks.machine import look_at_machine
from benchmarks.measure import Sample, measure
from benchmarks.peer import Peer
from benchmarks.run import Omission, Part, Run
from benchmarks.source import commit
from benchmarks.stage import Stage, StageOptions, Standing, open_stage
from benchmarks.tools import Tools
from benchmarks.workloads import Workload, names_of

FIRST_WARMUP: Final = 3
"""How many times longer the warm-up of the first round is: compilers learn then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What is measured.

    Attributes:
        peers: Who.
        workloads: What they are asked.
        load: How much.
        warmup: Seconds of load before each measurement.
        rounds: How many times.
    """

    peers: tuple[Peer, ...]
    workloads: tuple[Workload, ...]
    load: Load
    warmup: int
    rounds: int

    @property
    def minutes(self) -> float:
        """About how long it takes."""
        names = names_of(*self.workloads)
        each = sum(len(names & peer.answers) for peer in self.peers)
        warm = self.warmup * (self.rounds + FIRST_WARMUP - 1)
        return each * (self.rounds * (self.load.seconds + 0.8) + warm) / 60


def ready(
    peers: Sequence[Peer], tools: Tools, say: Callable[[str], None]
) -> tuple[tuple[Peer, ...], list[Omission]]:
    """Install what peers need.

    Args:
        peers: The peers.
        tools: Has Node.js.
        say: Is told each step, and who is left out.

    Returns:
        Those that are ready, and why the others are not.
    """
    reasons: dict[str, str] = {}
    for kit in dict.fromkeys(peer.kit for peer in peers):
        try:
            install(kit, tools, say)
        except UnavailableError as error:
            reasons[kit] = str(error)
    omissions = [
        Omission(peer.name, None, reasons[peer.kit]) for peer in peers if peer.kit in reasons
    ]
    for one in omissions:
        say(str(one))
    return tuple(peer for peer in peers if peer.kit not in reasons), omissions


def bench(
    plan: BenchPlan,
    tools: Tools,
    options: StageOptions,
    say: Callable[[str], None],
    keep: Callable[[Run], None],
) -> Run:
    """Measure peers in rounds, each peer once in each round under each workload.

    Args:
        plan: What is measured.
        tools: What it is measured with.
        options: How things are put up.
        say: Is told how far it is.
        keep: Takes what there is after each round, so that little is lost if the next one ends
            before its time.

    Raises:
        BenchmarkError: Nothing can be measured.
    """
    peers, omissions = ready(plan.peers, tools, say)
    samples: list[Sample] = []
    date, code, machine = datetime.now(UTC).date().isoformat(), commit(), look_at_machine(tools)

    def found() -> Run:
        measured = {sample.peer for sample in samples}
        return Run(
            date=date,
            commit=code,
            machine=machine,
            connections=plan.load.connections,
            seconds=plan.load.seconds,
            rounds=len({sample.round for sample in samples}),
            pinned=options.pinned,
            reference=REFERENCE,
            parts=tuple(part_of(peer) for peer in peers if peer.name in measured),
            omissions=tuple(omissions),
            samples=tuple(samples),
        )

    with open_stage(tools, options) as stage:
        standing = put_up(stage, peers, plan.workloads, omissions, say)
        pairs = checked(stage, standing, plan.workloads, omissions, say)
        if not pairs:
            raise BenchmarkError("none of these peers answers any of these workloads")
        say(f"{len(pairs) * plan.rounds} measurements, about {plan.minutes:.0f} minutes")
        for number in range(plan.rounds):
            samples += one_round(stage, pairs, plan, number, omissions=omissions, say=say)
            keep(found())
    return found()


def part_of(peer: Peer) -> Part:
    """Tell what a peer is made of."""
    locked = versions(peer.kit)
    return Part(
        peer.name, peer.title, tuple(f"{package} {locked[package]}" for package in peer.packages)
    )


def put_up(
    stage: Stage,
    peers: Sequence[Peer],
    workloads: Sequence[Workload],
    omissions: list[Omission],
    say: Callable[[str], None],
) -> list[Standing]:
    """Start peers, one process for each way in which the upstream behaves.

    A peer remembers that a source was down, and would be cheaper for it afterwards.
    """
    standing: list[Standing] = []
    for door in dict.fromkeys(workload.door for workload in workloads):
        asked = names_of(*(workload for workload in workloads if workload.door is door))
        for peer in peers:
            if asked.isdisjoint(peer.answers):
                continue
            try:
                one = stage.put_up(peer, door)
            except UnavailableError as error:
                omissions.append(Omission(peer.name, None, str(error)))
                say(str(omissions[-1]))
            else:
                standing.append(one)
                say(f"{peer.name} ({door}) answers after {one.startup_seconds:.2f} s")
    return standing


def checked(
    stage: Stage,
    standing: Sequence[Standing],
    workloads: Sequence[Workload],
    omissions: list[Omission],
    say: Callable[[str], None],
) -> list[tuple[Workload, Standing]]:
    """Choose who is measured under what: those whose answers are right."""
    pairs: list[tuple[Workload, Standing]] = []
    for workload in workloads:
        for one in standing:
            if one.door is not workload.door or workload.name not in one.peer.answers:
                continue
            verdict = check(one, workload, stage.truth, stage.options.ids)
            say(f"{one.peer.name} {workload.name}: {verdict}")
            if verdict.wrong:
                omissions.append(Omission(one.peer.name, workload.name, str(verdict)))
            else:
                pairs.append((workload, one))
    return pairs


def one_round(
    stage: Stage,
    pairs: Sequence[tuple[Workload, Standing]],
    plan: BenchPlan,
    number: int,
    *,
    omissions: list[Omission],
    say: Callable[[str], None],
) -> Iterator[Sample]:
    """Measure all pairs once, in an order that turns from round to round."""
    for workload in plan.workloads:
        line = [one for asked, one in pairs if asked is workload]
        for one in turned(line, number):
            try:
                sample = measure(
                    stage,
                    one,
                    workload,
                    plan.load,
                    warmup=plan.warmup * (FIRST_WARMUP if number == 0 else 1),
                    round_number=number,
                )
            except BenchmarkError as error:
                omission = Omission(one.peer.name, workload.name, f"in round {number + 1}: {error}")
                omissions.append(omission)
                say(str(omission))
            else:
                say(f"{number + 1}/{plan.rounds} {workload.name:<7} {line_of(sample)}")
                yield sample


def turned(line: Sequence[Standing], number: int) -> list[Standing]:
    """Put a line in another order each round, so that nobody always comes after the same one."""
    if not line:
        return []
    start = (number // 2) * 5 % len(line)
    order = [*line[start:], *line[:start]]
    return order[::-1] if number % 2 else order


def line_of(sample: Sample) -> str:
    """Write a measurement in one line."""
    return (
        f"{sample.peer:<26} {sample.cpu_ms:8.3f} ms CPU {sample.requests_per_second:8.0f}/s"
        f"  p50 {sample.p50_ms:7.2f}  p99 {sample.p99_ms:7.2f} ms"
        f"  other work {sample.other_cores:.2f} cores"
    )
