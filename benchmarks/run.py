"""What a run of benchmarks has found."""

from dataclasses import dataclass

from benchmarks.machine import Machine
from benchmarks.measure import Sample
from benchmarks.summary import Summary, summarise
from benchmarks.workloads import WORKLOADS, Workload


@dataclass(frozen=True, slots=True)
class Part:
    """A peer that was measured.

    Attributes:
        name: What it is called in samples.
        title: What it is called for people.
        versions: What it is made of, such as ``graphql-yoga 5.24.1``.
    """

    name: str
    title: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Omission:
    """What was not measured.

    Attributes:
        peer: Who.
        workload: What; everything, when absent.
        reason: Why not.
    """

    peer: str
    workload: str | None
    reason: str

    def __str__(self) -> str:
        """Say it in one line."""
        what = f" {self.workload}" if self.workload else ""
        return f"{self.peer}{what}: not measured, since {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run.

    Attributes:
        date: When it was made, such as ``2026-01-31``.
        commit: Of which code; with ``+`` where it had been changed since.
        machine: On what.
        connections: How many requests were under way at a time.
        seconds: How long each measurement was.
        rounds: How many rounds there were.
        pinned: Whether peers had a CPU for themselves.
        reference: The peer that all are compared with.
        parts: Who was measured.
        omissions: What was not.
        samples: All that was measured, round by round.
    """

    date: str
    commit: str
    machine: Machine
    connections: int
    seconds: int
    rounds: int
    pinned: bool
    reference: str
    parts: tuple[Part, ...]
    omissions: tuple[Omission, ...]
    samples: tuple[Sample, ...]

    def workloads(self) -> list[Workload]:
        """List the workloads that were measured."""
        names = {sample.workload for sample in self.samples}
        return [workload for workload in WORKLOADS if workload.name in names]

    def summary(self, part: Part, workload: Workload) -> Summary | None:
        """Tell what the rounds say of a peer under a workload; nothing if it was not measured."""
        return summarise(self.samples, part.name, workload.name, self.reference, workload.beside)
