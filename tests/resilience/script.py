"""Callers arrive, get answers and are cancelled in the order of a generated script.

Between two steps the event loop does not run, unless the script has a step ``Turns``. So a
cancellation can come when a call has just ended, or a timeout when a slot has just become free.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from app.errors import Code, SourceFailure
from tests.clock import ManualClock

Answer = str | SourceFailure

ROUNDS = 50
"""How many seconds a caller may take to end when every call gets its answer at once."""


def failure(
    code: Code = Code.SOURCE_UNAVAILABLE,
    *,
    retryable: bool = False,
    retry_after: float | None = None,
) -> SourceFailure:
    """Make a failure of a call."""
    return SourceFailure("profile", code, "it failed", retryable=retryable, retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class Arrive:
    """So many callers arrive, each with so many seconds."""

    seconds: float
    times: int = 1


@dataclass(frozen=True, slots=True)
class End:
    """One of the running calls ends with an answer."""

    which: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class Cancel:
    """One of the callers is cancelled."""

    which: int


@dataclass(frozen=True, slots=True)
class PassTime:
    """Time passes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Turns:
    """The event loop runs for so many turns."""

    turns: int


Step = Arrive | End | Cancel | PassTime | Turns

ANSWERS: Sequence[Answer] = (
    "good",
    failure(retryable=True),
    failure(Code.SOURCE_OVERLOADED, retryable=True, retry_after=0.25),
    failure(Code.SOURCE_OVERLOADED, retryable=True),
    failure(retryable=True, retry_after=0.5),
    failure(Code.SOURCE_REJECTED),
    failure(Code.SOURCE_MALFORMED),
)


def scripts(answers: Sequence[Answer] = ANSWERS) -> st.SearchStrategy[list[Step]]:
    """Generate scripts."""
    which = st.integers(0, 5)
    return st.lists(
        st.one_of(
            st.builds(Arrive, st.sampled_from([0.5, 1.0, 3.0]), st.integers(1, 3)),
            st.builds(End, which, st.sampled_from(answers)),
            st.builds(Cancel, which),
            st.builds(PassTime, st.sampled_from([0.25, 0.5, 1.0, 5.0])),
            st.builds(Turns, st.integers(1, 4)),
        ),
        min_size=8,  # hypothesis would mostly make shorter ones
        max_size=40,
    )


class ScriptedService:
    """The service that is called: a call runs until the test ends it.

    Attributes:
        running: The calls that run now, in the order in which they began.
        made: How many calls were made.
        most: The largest number of calls that ran at the same time.
        ended: The answers that were given, in their order.
    """

    def __init__(self) -> None:
        self.running: list[asyncio.Future[Answer]] = []
        self.made = 0
        self.most = 0
        self.ended: list[Answer] = []

    async def call(self) -> Answer:
        """Run a call until the test ends it."""
        end: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.running.append(end)
        self.made += 1
        self.most = max(self.most, len(self.running))
        try:
            return await end
        finally:
            self.running.remove(end)

    def end(self, answer: Answer = "good", *, which: int = 0) -> None:
        """End one of the running calls, if one runs."""
        if running := [end for end in self.running if not end.done()]:
            running[which % len(running)].set_result(answer)
            self.ended.append(answer)


class Scene:
    """Callers, a service and a clock, for which a script is played.

    Attributes:
        service: The service that is called.
        clock: The time.
        callers: All callers that arrived.
        cancelled: The callers that were cancelled before they had ended.
    """

    def __init__(self, clock: ManualClock, service: ScriptedService) -> None:
        self.clock = clock
        self.service = service
        self.callers: list[asyncio.Task[Answer]] = []
        self.cancelled: set[asyncio.Task[Answer]] = set()

    async def play(
        self, script: Sequence[Step], visit: Callable[[float], Coroutine[Any, Any, Answer]]
    ) -> None:
        """Play a script, and end every call after it.

        Args:
            script: The steps.
            visit: What a caller with so many seconds does.
        """
        for step in script:
            match step:
                case Arrive(seconds, times):
                    for _ in range(times):
                        self.callers.append(asyncio.create_task(visit(seconds)))
                case End(which, answer):
                    self.service.end(answer, which=which)
                case Cancel(which):
                    self.cancel(which)
                case PassTime(seconds):
                    self.clock.advance(seconds)
                case Turns(turns):
                    for _ in range(turns):
                        await asyncio.sleep(0)
        await self.end()

    def cancel(self, which: int) -> None:
        """Cancel one of the callers that have not ended, if there is one."""
        if left := [caller for caller in self.callers if not caller.done()]:
            caller = left[which % len(left)]
            caller.cancel()
            self.cancelled.add(caller)

    async def end(self) -> None:
        """End every call, and check that all callers end and no other one was cancelled."""
        for _ in range(ROUNDS):
            await self.clock.settle()
            if all(caller.done() for caller in self.callers):
                break
            while any(not end.done() for end in self.service.running):
                self.service.end()
            self.clock.advance(1.0)
        assert all(caller.done() for caller in self.callers), "a caller waits for ever"
        assert {caller for caller in self.callers if caller.cancelled()} == self.cancelled
        assert self.service.running == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @property
    def answers(self) -> list[Answer]:
        """The answers to the callers that were not cancelled."""
        return [caller.result() for caller in self.callers if caller not in self.cancelled]
