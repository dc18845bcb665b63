"""Whether memory stays flat under many requests in ever other words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.client import HOST
from benchmarks.errors import BenchmarkError
from benchmarks.load import Load, run_wrk
from benchmarks.ours import ours
from benchmarks.places import HERE, WORK
from benchmarks.stage import StageOptions, open_stage
from benchmarks.tools import Tools
from benchmarks.users import USERS, user_id

_SCRIPT: Final = HERE / "wrk" / "soak.lua"
_SLICE: Final = 5
"""Seconds of load between two looks at the memory."""

_WARM: Final = 0.2
"""Share of the requests after which caches are full and memory has to be flat."""

_MOST_FAILED: Final = 0.05
"""Share of answers that may say that something failed; a few documents are refused on purpose."""


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """How it is done.

    Attributes:
        requests: How many at least.
        connections: How many are under way at a time.
        fresh: Share of them whose document was never sent before.
        bound_mb: Most growth after the warm-up, in MB per million requests.
    """

    requests: int
    connections: int
    fresh: float
    bound_mb: float


@dataclass(frozen=True, slots=True)
class Memory:
    """A look at the memory.

    Attributes:
        requests: How many requests were answered until then.
        mb: How much memory all processes of the gateway had.
    """

    requests: int
    mb: float


@dataclass(frozen=True, slots=True)
class Soak:
    """What was found.

    Attributes:
        plan: How it was done.
        looks: The memory, again and again.
        errors: Answers with another status than 200, or none.
        failed: Answers that said that something failed.
        seconds: How long the load was on.
    """

    plan: SoakPlan
    looks: tuple[Memory, ...]
    errors: int
    failed: int
    seconds: float

    @property
    def requests(self) -> int:
        """How many were answered."""
        return self.looks[-1].requests

    @property
    def settled(self) -> list[Memory]:
        """The looks after the warm-up."""
        return [one for one in self.looks if one.requests >= _WARM * self.requests]

    @property
    def growth_mb(self) -> float:
        """By how many MB a million requests let the memory grow after the warm-up.

        Of a short soak that is much, since its caches are still filling.
        """
        return 1e6 * slope(self.settled)

    @property
    def is_flat(self) -> bool:
        """Whether it grows by no more than it may, and the answers were real ones."""
        served = self.errors + self.failed <= _MOST_FAILED * self.requests
        return served and self.growth_mb <= self.plan.bound_mb

    def verdict(self) -> str:
        """Say it to a person."""
        first, last = self.settled[0], self.settled[-1]
        return (
            f"{self.requests} requests in {self.seconds:.0f} s, {self.errors} errors, {self.failed}"
            " answers that said that something failed (some documents are refused on purpose)\n"
            f"memory {self.looks[0].mb:.1f} MB at the start, {first.mb:.1f} MB after"
            f" {first.requests} requests, {last.mb:.1f} MB at the end\n"
            f"slope after the warm-up: {self.growth_mb:+.2f} MB per million requests, bound"
            f" {self.plan.bound_mb:g}: {'flat' if self.is_flat else 'NOT flat'}"
        )


def slope(looks: Sequence[Memory]) -> float:
    """Tell by how many MB memory grows with each request: plain least squares.

    Returns:
        0 where there are not two looks at different times.
    """
    count = len(looks)
    x_mean = sum(one.requests for one in looks) / max(1, count)
    y_mean = sum(one.mb for one in looks) / max(1, count)
    squares = sum((one.requests - x_mean) ** 2 for one in looks)
    products = sum((one.requests - x_mean) * (one.mb - y_mean) for one in looks)
    return products / squares if squares else 0.0


def soak(plan: SoakPlan, tools: Tools, options: StageOptions, say: Callable[[str], None]) -> Soak:
    """Send requests until there were enough, and look at the memory every few seconds.

    Args:
        plan: How it is done.
        tools: What it is done with.
        options: How things are put up.
        say: Is told how far it is.

    Raises:
        BenchmarkError: The gateway does not start, or ends.
    """
    file = WORK / "ids.txt"
    file.write_text("\n".join(user_id(one, options.ids) for one in range(1, USERS + 1)), "ascii")
    with open_stage(tools, options) as stage:
        standing = stage.put_up(ours())
        process = standing.process
        url = f"http://{HOST}:{standing.port}{standing.peer.path}"
        looks = [Memory(0, process.memory_mb())]
        errors = failed = 0
        seconds = 0.0
        while looks[-1].requests < plan.requests:
            answers = run_wrk(
                tools.wrk,
                _SCRIPT,
                url,
                Load(plan.connections, _SLICE),
                (str(file), str(len(looks)), str(plan.fresh)),
            )
            if process.has_ended or answers.requests == 0:
                raise BenchmarkError(f"the gateway answers no more: see {process.log}")
            process.forget_log()
            errors += answers.errors
            failed += answers.failed
            seconds += answers.seconds
            looks.append(Memory(looks[-1].requests + answers.requests, process.memory_mb()))
            say(
                f"{looks[-1].requests} requests, {answers.requests / answers.seconds:.0f}/s,"
                f" {looks[-1].mb:.1f} MB"
            )
    return Soak(plan, tuple(looks), errors, failed, seconds)
