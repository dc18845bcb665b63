"""A guarded service on a stage."""

import asyncio
from typing import Any

from app.errors import Code, SourceFailure
from app.resilience.breaker import BreakerState, StateChange
from app.resilience.clock import Deadline
from app.resilience.hedge import MIN_SAMPLES
from app.resilience.pace import PaceState
from app.resilience.pacer import Slowdown
from app.resilience.pipeline import Attempt, PipelineResult, ResiliencePipeline
from app.settings.source import SourceSettings
from tests.clock import ManualClock
from tests.resilience.script import Answer, Scene, ScriptedService, failure

LIMIT = 2.0
"""Seconds that one call may take."""

RESERVE = 0.125
"""Seconds before the deadline that are kept."""

LAGGING = failure(Code.SOURCE_TIMEOUT)
"""What a call gives that took all of its time."""


class Guarded:
    """A guarded service, on a stage.

    Attributes:
        guard: The guard.
        service: What it guards.
        scene: The stage.
        changes: The breaker's changes of state.
        slowdowns: What was told of the service's own word on how fast it is asked.
        began: When each call was made.
        given: How many seconds each call was given.
        outcomes: What came of the calls that callers waited for.
    """

    def __init__(self, *, luck: float = 0.5, **changes: Any) -> None:  # noqa: ANN401 # any setting
        self.clock = ManualClock()
        self.service = ScriptedService()
        self.scene = Scene(self.clock, self.service)
        self.changes: list[StateChange] = []
        self.slowdowns: list[Slowdown] = []
        self.began: list[float] = []
        self.given: list[float] = []
        self.outcomes: list[PipelineResult[str]] = []
        self._max_calls: int = changes.setdefault("max_calls", 64)
        self.guard = ResiliencePipeline(
            "profile",
            SourceSettings(base_url="http://profile", **changes),
            clock=self.clock,
            chance=lambda: luck,
            on_change=self.changes.append,
            on_slow=self.slowdowns.append,
        )
        self._wrong: list[str] = []

    def attempt(self, end: float) -> Attempt[str]:
        """Make what makes one call, and sees that it may be made."""

        async def call(seconds: float) -> Answer:
            self.began.append(self.clock.seconds)
            self.given.append(seconds)
            wrong = {
                "a call was made with no time": seconds <= 0,
                "a call was given too much time": seconds > LIMIT,
                "a call may outlast its request": self.clock.seconds + seconds > end + 1e-9,
                "a call was made while it was open": self.guard.state is BreakerState.OPEN,
                "a call was made in a pause": self.guard.pace_state is PaceState.PAUSED,
            }
            # Raised within a call, it could get lost.
            self._wrong.extend(what for what, is_so in wrong.items() if is_so)
            try:
                async with self.clock.timeout(seconds):
                    return await self.service.call()
            except TimeoutError:
                return LAGGING

        return call

    async def visit(self, seconds: float = 60.0) -> Answer:
        """Ask, with so many seconds for it."""
        end = self.clock.seconds + seconds
        outcome = await self.guard.run(
            self.attempt(end - RESERVE),
            limit=LIMIT,
            deadline=Deadline(end, self.clock),
            reserve=RESERVE,
        )
        self.outcomes.append(outcome)
        return outcome.answer

    async def come(self, times: int = 1, seconds: float = 60.0) -> None:
        """Have callers come, and do what they can at once."""
        for _ in range(times):
            self.scene.callers.append(asyncio.create_task(self.visit(seconds)))
        await self.clock.settle()

    def state(self) -> BreakerState:
        """What the breaker does with calls."""
        return self.guard.state

    async def answer(self, *answers: Answer, seconds: float = 60.0) -> PipelineResult[str]:
        """Ask, where the service gives these answers at once, and then the last one for ever."""
        left = list(answers)

        async def call(_seconds: float) -> Answer:
            self.began.append(self.clock.seconds)
            self.given.append(_seconds)
            return left.pop(0) if len(left) > 1 else left[0]

        deadline = Deadline(self.clock.seconds + seconds, self.clock)
        return await self.clock.run(
            self.guard.run(call, limit=LIMIT, deadline=deadline, reserve=RESERVE)
        )

    async def prime(self, seconds: float, answer: Answer = "good") -> None:
        """Make as many calls of so many seconds as hedging needs to know."""

        async def call(_seconds: float) -> Answer:
            self.clock.advance(seconds)
            return answer

        for _ in range(MIN_SAMPLES):
            deadline = Deadline(self.clock.seconds + 60.0, self.clock)
            await self.guard.run(call, limit=LIMIT, deadline=deadline, reserve=RESERVE)

    async def end(self) -> None:
        """End all calls, and see that nothing was wrong."""
        await self.scene.end()
        self.see_that_all_was_right()

    def see_that_all_was_right(self) -> None:
        """See that no call was made that may not be made."""
        assert self._wrong == []
        assert self.service.most <= self._max_calls

    @property
    def codes(self) -> list[str]:
        """What the callers got, by code or as it is."""
        return [
            answer.code if isinstance(answer, SourceFailure) else answer
            for answer in self.scene.answers
        ]
