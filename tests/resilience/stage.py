"""A scripted service behind a resilience pipeline."""

import asyncio
from typing import Any

from app.errors import Code, SourceFailure
from app.resilience.breaker import BreakerState, StateChange
from app.resilience.clock import Deadline
from app.resilience.hedge import MIN_SAMPLES
from app.resilience.pace import PaceState
from app.resilience.pacer import Slowdown
from app.resilience.pipeline import Attempt, PipelineResult, ResiliencePipeline
from app.settings.resilience import BreakerSettings, PacingSettings, RetrySettings
from app.settings.source import SourceSettings
from tests.clock import ManualClock
from tests.resilience.script import Answer, Scene, ScriptedService, failure

NOW = 1000.0
"""The time at which each test begins."""

LIMIT = 2.0
"""Seconds that one call may take."""

RESERVE = 0.125
"""Seconds that are kept free before the deadline."""

TIMED_OUT = failure(Code.SOURCE_TIMEOUT)
"""The result of a call that took all of its time."""

REFUSED = failure(Code.SOURCE_OVERLOADED, retryable=True)
"""A refusal that does not say how long to wait."""

NEVER_OPENS = BreakerSettings(min_calls=100_000)
NO_RETRIES = RetrySettings(max_retries=0)
NO_PACING = PacingSettings(enabled=False)
OPENS_AT_ONCE = BreakerSettings(
    min_calls=1, failure_rate=0.01, probes=2, open_for=4.0, max_open=60.0
)
"""A breaker that opens at the first failure."""

SOURCE_CODES = [code for code in Code if code.startswith("SOURCE_")]


def refused(seconds: float) -> SourceFailure:
    """Make a refusal that asks for a wait of so many seconds."""
    return failure(Code.SOURCE_OVERLOADED, retryable=True, retry_after=seconds)


class Guarded:
    """A scripted service behind a resilience pipeline.

    Attributes:
        pipeline: The resilience pipeline.
        service: The service behind it.
        scene: The callers of the service.
        changes: The breaker's changes of state.
        slowdowns: The slowdowns that were reported.
        began: The time at which each call began.
        given: How many seconds each call was given.
        outcomes: The results that callers got.
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
        self.pipeline = ResiliencePipeline(
            "profile",
            SourceSettings(base_url="http://profile", **changes),
            clock=self.clock,
            chance=lambda: luck,
            on_change=self.changes.append,
            on_slow=self.slowdowns.append,
        )
        self._wrong: list[str] = []

    def attempt(self, end: float) -> Attempt[str]:
        """Return a function that makes one call, and checks that it may be made."""

        async def call(seconds: float) -> Answer:
            self.began.append(self.clock.seconds)
            self.given.append(seconds)
            wrong = {
                "a call was made with no time": seconds <= 0,
                "a call was given too much time": seconds > LIMIT,
                "a call may outlast its request": self.clock.seconds + seconds > end + 1e-9,
                "a call was made while the breaker was open": self.pipeline.state
                is BreakerState.OPEN,
                "a call was made in a pause": self.pipeline.pace_state is PaceState.PAUSED,
            }
            # An error raised within a call could get lost.
            self._wrong.extend(what for what, is_so in wrong.items() if is_so)
            try:
                async with self.clock.timeout(seconds):
                    return await self.service.call()
            except TimeoutError:
                return TIMED_OUT

        return call

    async def visit(self, seconds: float = 60.0) -> Answer:
        """Make a call through the pipeline that has so many seconds."""
        end = self.clock.seconds + seconds
        outcome = await self.pipeline.run(
            self.attempt(end - RESERVE),
            limit=LIMIT,
            deadline=Deadline(end, self.clock),
            reserve=RESERVE,
        )
        self.outcomes.append(outcome)
        return outcome.answer

    async def arrive(self, times: int = 1, seconds: float = 60.0) -> None:
        """Start callers, and run until all of them wait."""
        for _ in range(times):
            self.scene.callers.append(asyncio.create_task(self.visit(seconds)))
        await self.clock.settle()

    def state(self) -> BreakerState:
        """Return the state of the breaker."""
        return self.pipeline.state

    async def answer(self, *answers: Answer, seconds: float = 60.0) -> PipelineResult[str]:
        """Make a call; the service gives these answers at once, and repeats the last one."""
        left = list(answers)

        async def call(_seconds: float) -> Answer:
            self.began.append(self.clock.seconds)
            self.given.append(_seconds)
            return left.pop(0) if len(left) > 1 else left[0]

        deadline = Deadline(self.clock.seconds + seconds, self.clock)
        return await self.clock.run(
            self.pipeline.run(call, limit=LIMIT, deadline=deadline, reserve=RESERVE)
        )

    async def measure_calls(self, seconds: float, answer: Answer = "good") -> None:
        """Make as many calls of so many seconds as hedging has to measure."""

        async def call(_seconds: float) -> Answer:
            self.clock.advance(seconds)
            return answer

        for _ in range(MIN_SAMPLES):
            deadline = Deadline(self.clock.seconds + 60.0, self.clock)
            await self.pipeline.run(call, limit=LIMIT, deadline=deadline, reserve=RESERVE)

    async def end(self) -> None:
        """End all calls, and check them."""
        await self.scene.end()
        self.check_calls()

    def check_calls(self) -> None:
        """Check that no call was made that was not allowed."""
        assert self._wrong == []
        assert self.service.most <= self._max_calls

    @property
    def codes(self) -> list[str]:
        """The answers to the callers; a failure is its code."""
        return [
            answer.code if isinstance(answer, SourceFailure) else answer
            for answer in self.scene.answers
        ]


async def check_recovery(guarded: Guarded, limit: int) -> None:
    """Check that the breaker closes and that all slots of the bulkhead can be used."""
    guarded.clock.advance(120.0)
    for _ in range(3 + limit * limit):
        assert (await guarded.answer("good")).answer == "good"
    assert guarded.state() is BreakerState.CLOSED
    await guarded.arrive(limit + 1)
    assert len(guarded.service.running) == limit
    await guarded.end()
