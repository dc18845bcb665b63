"""The resilience pipeline of one service: each call runs through its parts, in this order.

pace         is it the turn of this call?                  SOURCE_OVERLOADED
breaker      may the service be called now?                SOURCE_CIRCUIT_OPEN
bulkhead     is there a place for one more call?           SOURCE_OVERLOADED
             of this endpoint, if it has a limit of its own, and of the service
time         the shorter of the call's limit and the request's rest
the call
breaker      counts the result
pace         applies the answer's signal; calls again when the service said "later"
hedge        a second call in parallel if the first takes long and hedging is on
retry        another call, where that can help, is safe, and fits time and budget

A call about a user that is known to be slow or to fail, while the service answers for others, is
isolated: it is made once, never as a probe, in a small part of the bulkhead, and its failure does
not count against the service. The failure that made the user known has counted already.

A call for several requests that is divided if it fails does not count against the service either:
the calls that follow do. Otherwise the requests would open the circuit sooner together than each on
its own.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from app.errors import Code, SourceFailure
from app.resilience.breaker import (
    FAILURE_CODES,
    SLOW_SHARE,
    Breaker,
    BreakerState,
    Permit,
    StateChange,
)
from app.resilience.bulkhead import Bulkhead, FullError
from app.resilience.clock import Clock, Deadline
from app.resilience.hedge import Latencies, hedged
from app.resilience.pace import PaceState, Signal
from app.resilience.pacer import Pacer, Paces, Slowdown
from app.resilience.retry import Chance, RetryBudget, backoff
from app.resilience.steps import SHORTEST_WAIT, CallStep, StepKind
from app.settings.source import SourceSettings

T = TypeVar("T")

# Each call reads them, and Python 3.11 reads enum members slowly.
_ATTEMPT, _HEDGE = StepKind.ATTEMPT, StepKind.HEDGE

UNHEALTHY = frozenset(FAILURE_CODES)
"""The failures that count against a service's health; others may be the fault of our request."""

ISOLATED_SHARE = 4
"""Isolated calls get the bulkhead's places divided by this number."""


class EndpointBulkhead(Struct, frozen=True):
    """The places for the calls of one endpoint, within those of its service.

    Attributes:
        calls: The places for all its calls.
        isolation: The part of them for isolated calls.
    """

    calls: Bulkhead
    isolation: Bulkhead


class NotRetried(StrEnum):
    """Why a failed call is not retried, though that could help."""

    BUDGET = "the retry budget is used up"
    TIME = "the time is used up"
    CIRCUIT = "the circuit is open"


Attempt = Callable[[float], Awaitable[T | SourceFailure]]
"""Makes one call within so many seconds. A failure of the service is returned, never raised."""


@dataclass(slots=True)
class PipelineResult(Generic[T]):
    """The result of a call through the pipeline.

    Attributes:
        answer: The answer or the failure.
        attempts: How many calls were made.
        steps: The attempts, and the waits before them, in the order in which they began.
        not_retried: Why a failed call was not retried, though that could have helped; ``None``
            for other calls.
    """

    answer: T | SourceFailure
    attempts: int
    steps: Sequence[CallStep] = field(default=(), compare=False)
    not_retried: NotRetried | None = field(default=None, compare=False)


class _PipelineRun(Struct, Generic[T]):
    """One run of the pipeline: one attempt or several.

    Attributes:
        attempt: Makes the call.
        limit: Seconds that one attempt may take.
        end: The moment by which the run has to end, by the clock's ``monotonic``.
        caller: The caller for whom it runs.
        isolated: Whether it is about a user that is known to be slow or to fail.
        divisible: Whether it is divided if it fails.
        requests: How many requests share it.
        inner: The bulkhead of the endpoint; ``None`` if it has no limit of its own.
        steps: What it did so far.
        made: How many calls were made so far.
        running: How many of them are in flight.
        not_retried: Why it is not retried.
    """

    attempt: Attempt[T]
    limit: float
    end: float
    caller: str
    isolated: bool
    divisible: bool
    requests: int
    inner: EndpointBulkhead | None
    steps: list[CallStep]
    made: int = 0
    running: int = 0
    not_retried: NotRetried | None = None

    def add_wait(self, kind: StepKind, started: float, ended: float) -> None:
        """Add a wait, unless it is too short."""
        if ended - started >= SHORTEST_WAIT:
            self.steps.append(CallStep(kind, started, ended))


class _StartedCall(Struct, frozen=True):
    """A call that has started.

    Attributes:
        permit: The breaker's permit for it.
        started: When it began, by the clock's ``monotonic``.
        seconds: How long it may take.
        step: What the report says of it.
    """

    permit: Permit
    started: float
    seconds: float
    step: CallStep


class ResiliencePipeline:
    """Runs the calls to one service through the parts. All requests share it.

    Args:
        name: The name of the source.
        settings: The limits of the source.
        clock: The time.
        chance: Random numbers for jitter.
        on_change: Called with each change of the breaker's state.
        on_slow: Called with reports of slowdowns; see ``Paces``.

    Attributes:
        name: The name of the source.
    """

    def __init__(
        self,
        name: str,
        settings: SourceSettings,
        *,
        clock: Clock,
        chance: Chance,
        on_change: Callable[[StateChange], None],
        on_slow: Callable[[Slowdown], None],
    ) -> None:
        self.name = name
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self.retry_budget = RetryBudget(settings.retry, clock)
        self._breaker = Breaker(settings.breaker, clock=clock, chance=chance, on_change=on_change)
        self.bulkhead = Bulkhead(
            limit=settings.max_calls, queue=settings.max_waiting_calls, clock=clock
        )
        self._isolation = Bulkhead(
            limit=max(1, settings.max_calls // ISOLATED_SHARE),
            queue=settings.max_waiting_calls,
            clock=clock,
        )
        self._paces = Paces(settings, clock=clock, chance=chance, on_slow=on_slow)
        self._latencies = Latencies()

    @property
    def state(self) -> BreakerState:
        """The state of the circuit breaker."""
        return self._breaker.state

    @property
    def pace_state(self) -> PaceState:
        """The state of the slowest caller's rate."""
        return self._paces.state

    @property
    def congested(self) -> bool:
        """Whether calls wait for a place or a turn, or the circuit is not closed."""
        return (
            self.bulkhead.waiting > 0
            or self._breaker.state is not BreakerState.CLOSED
            or self.pace_state is not PaceState.FREE
        )

    def pace_state_of(self, caller: str) -> PaceState:
        """Return the state of a caller's rate.

        Args:
            caller: The caller.

        Returns:
            The state; ``FREE`` for a caller that was not slowed down.
        """
        return self._paces.state_of(caller)

    def apply_signal(self, caller: str, signal: Signal, *, began: float) -> None:
        """Apply the signal of a successful answer. ``run`` applies those of failures itself.

        Args:
            caller: The caller for whom the service was called.
            signal: The signal of the answer.
            began: When the call began, by the clock's ``monotonic``.
        """
        self._paces.apply_signal(caller, signal, began=began)

    def take_extra_calls(self, count: int = 1) -> bool:
        """Take extra calls from the retry budget, for a caller of this that makes them itself.

        Args:
            count: How many.

        Returns:
            Whether the budget had so many; if not, none is taken.
        """
        return self.retry_budget.take(count)

    def endpoint_bulkhead(self, limit: int) -> EndpointBulkhead:
        """Make the bulkhead of one endpoint of the service.

        Args:
            limit: The most calls of the endpoint at the same time.

        Returns:
            The bulkhead, for ``run``. As many calls may wait in it as in that of the service.
        """
        queue = self._settings.max_waiting_calls
        return EndpointBulkhead(
            calls=Bulkhead(limit=limit, queue=queue, clock=self._clock),
            isolation=Bulkhead(
                limit=max(1, limit // ISOLATED_SHARE), queue=queue, clock=self._clock
            ),
        )

    async def run(
        self,
        attempt: Attempt[T],
        *,
        limit: float,
        deadline: Deadline,
        reserve: float,
        caller: str = "",
        isolated: bool = False,
        divisible: bool = False,
        inner: EndpointBulkhead | None = None,
        requests: int = 1,
    ) -> PipelineResult[T]:
        """Make a call that is safe to repeat.

        Args:
            attempt: Makes the call.
            limit: Seconds that one attempt may take.
            deadline: The deadline of the request.
            reserve: Seconds before the deadline that are kept for the work after the call.
            caller: The caller, where the service gets its identity; each has a rate of its own.
            isolated: Whether the call is about a user that is known to be slow or to fail, while
                the service answers for others.
            divisible: Whether other calls ask for the same users if this one fails.
            inner: The bulkhead of the endpoint, from ``endpoint_bulkhead``; ``None`` if only the
                service has a limit.
            requests: How many requests share the call.

        Returns:
            The answer of the last call that was made, and the number of calls.
        """
        end = deadline.at - reserve
        work = _PipelineRun(attempt, limit, end, caller, isolated, divisible, requests, inner, [])
        answer = await self._attempt_at_pace(work)
        if isinstance(answer, SourceFailure):
            answer = await self._retry(work, answer)
        return PipelineResult(answer, work.made, work.steps, work.not_retried)

    async def _retry(self, work: _PipelineRun[T], failure: SourceFailure) -> T | SourceFailure:
        """Retry a failed call where that can help, and return the last answer."""
        answer = await self._repeat_when_deferred(work, failure)
        for tries in range(1, self._settings.retry.max_retries + 1):
            if (
                not isinstance(answer, SourceFailure)
                or not answer.retryable
                or work.isolated
                or self._is_deferred(answer)  # the wait that it asked for is over, or is too long
            ):
                break
            wait = backoff(tries, answer.retry_after, self._settings.retry, self._chance)
            work.not_retried = self._why_not_retried(work, wait)
            if work.not_retried is not None:
                break
            began = self._clock.monotonic()
            await self._clock.sleep(wait)
            # However short it was: it shows that the call was retried.
            work.steps.append(CallStep(StepKind.BACKOFF, began, self._clock.monotonic()))
            before = work.made
            again = await self._attempt_at_pace(work)
            if isinstance(again, SourceFailure):
                again = await self._repeat_when_deferred(work, again)
            if work.made == before:
                break
            answer = again
        return answer

    def _why_not_retried(self, work: _PipelineRun[T], wait: float) -> NotRetried | None:
        """Return why a call is not retried after a wait; ``None`` if it is, by the budget."""
        if self._breaker.refuses:
            return NotRetried.CIRCUIT
        if wait >= self._seconds_left(work):
            return NotRetried.TIME
        return None if self.retry_budget.take() else NotRetried.BUDGET

    def _seconds_left(self, work: _PipelineRun[T]) -> float:
        """Return the seconds until the run has to end."""
        return work.end - self._clock.monotonic()

    def _attempt_at_pace(self, work: _PipelineRun[T]) -> Awaitable[T | SourceFailure]:
        """Make an attempt when the rate of the caller allows it."""
        pacer = self._paces.pacer_of(work.caller)
        if pacer is None:
            return self._attempt_hedged(work)
        if self._seconds_left(work) <= 0 or self._breaker.refuses:
            return self._attempt_once(work)  # returns the failure for it
        return self._attempt_in_turn(pacer, work)

    async def _repeat_when_deferred(
        self, work: _PipelineRun[T], failure: SourceFailure
    ) -> T | SourceFailure:
        """Make an attempt again as long as the service says "later", and return the last answer.

        It does not use the retry budget, because the service sets the times. It ends when the next
        attempt would come too late.
        """
        answer: T | SourceFailure = failure
        while self._is_deferred(answer):
            pacer = self._paces.pacer_of(work.caller)
            if pacer is None or pacer.pause >= self._seconds_left(work) or self._breaker.refuses:
                break
            answer = await self._attempt_at_pace(work)
        return answer

    async def _attempt_in_turn(self, pacer: Pacer, work: _PipelineRun[T]) -> T | SourceFailure:
        """Make an attempt when its turn comes."""
        asked = self._clock.monotonic()
        try:
            async with pacer.turn(self._seconds_left(work)):
                began = self._clock.monotonic()
                work.add_wait(StepKind.PACING, asked, began)
                answer = await self._attempt_once(work)
        except FullError as error:
            return self._failure(Code.SOURCE_OVERLOADED, str(error))
        if not isinstance(answer, SourceFailure):
            self._paces.record_success(work.caller, began=began)
        return answer

    def _is_deferred(self, answer: object) -> bool:
        """Return whether an attempt failed only because the service wants it later."""
        return (
            isinstance(answer, SourceFailure)
            and answer.retryable
            and (answer.code is Code.SOURCE_OVERLOADED or answer.retry_after is not None)
            and self._settings.pacing.enabled
        )

    def _attempt_hedged(self, work: _PipelineRun[T]) -> Awaitable[T | SourceFailure]:
        """Make an attempt; if hedging is on and it takes long, a second one in parallel."""
        delay = self._latencies.p95() if self._settings.hedge and not work.isolated else None
        if delay is None:
            return self._attempt_once(work)
        return hedged(
            lambda: self._attempt_once(work),
            delay=delay,
            may_repeat=self.retry_budget.take,
            is_good=lambda answer: not isinstance(answer, SourceFailure),
            clock=self._clock,
        )

    async def _attempt_once(self, work: _PipelineRun[T]) -> T | SourceFailure:
        """Make one attempt, if the breaker, the bulkhead and the time allow it."""
        if (left := self._seconds_left(work)) <= 0:
            return self._failure(Code.SOURCE_TIMEOUT, "no time was left for the call")
        if self._breaker.refuses:
            return self._failure(Code.SOURCE_CIRCUIT_OPEN, "the circuit is open")
        if work.inner is None:
            return await self._attempt_in_service(work, left)
        return await self._attempt_in_endpoint(work.inner, work, left)

    async def _attempt_in_endpoint(
        self, inner: EndpointBulkhead, work: _PipelineRun[T], seconds: float
    ) -> T | SourceFailure:
        """Make one attempt in a place of its endpoint; it waits for it first."""
        try:
            async with (
                inner.isolation.slot(seconds) if work.isolated else nullcontext(),
                inner.calls.slot(self._seconds_left(work)),
            ):
                return await self._attempt_in_service(work, self._seconds_left(work))
        except FullError as error:
            return self._failure(Code.SOURCE_OVERLOADED, str(error))

    def _attempt_in_service(
        self, work: _PipelineRun[T], seconds: float
    ) -> Awaitable[T | SourceFailure]:
        """Make one attempt in a place of the service."""
        if work.isolated:
            return self._attempt_isolated(work, seconds)
        return self._attempt_in_bulkhead(work, seconds)

    async def _attempt_isolated(self, work: _PipelineRun[T], seconds: float) -> T | SourceFailure:
        """Make one attempt in the small part of the bulkhead, and only if the circuit is closed."""
        if self._breaker.state is not BreakerState.CLOSED:
            return self._no_probe()
        try:
            async with self._isolation.slot(seconds):
                return await self._attempt_in_bulkhead(work, self._seconds_left(work))
        except FullError as error:
            return self._failure(Code.SOURCE_OVERLOADED, str(error))

    async def _attempt_in_bulkhead(
        self, work: _PipelineRun[T], seconds: float
    ) -> T | SourceFailure:
        """Make one attempt in a place of the bulkhead, with a bounded wait for the place."""
        asked = self._clock.monotonic()
        try:
            async with self.bulkhead.slot(seconds):
                started_call = self._begin(work, asked)
                if isinstance(started_call, SourceFailure):
                    return started_call
                try:
                    answer = await work.attempt(started_call.seconds)
                    self._record(work, started_call, answer)
                    return answer
                finally:
                    work.running -= 1
                    if started_call.step.ended == started_call.started:  # it was cancelled
                        started_call.step.ended = self._clock.monotonic()
                    # Has an effect only if no result was recorded: the call was cancelled.
                    started_call.permit.release()
        except FullError as error:
            return self._failure(Code.SOURCE_OVERLOADED, str(error))

    def _begin(self, work: _PipelineRun[T], asked: float) -> _StartedCall | SourceFailure:
        """Begin a call, if time, rate and breaker still allow it after the wait for a place."""
        pacer = self._paces.pacer_of(work.caller)
        if pacer is not None and pacer.pause:
            return self._paused_meanwhile()
        started = self._clock.monotonic()
        if (left := work.end - started) <= 0:
            return self._failure(Code.SOURCE_TIMEOUT, "no time was left after the wait for a place")
        if work.isolated and self._breaker.state is not BreakerState.CLOSED:
            return self._no_probe()
        permit = self._breaker.admit()
        if permit is None:
            return self._failure(Code.SOURCE_CIRCUIT_OPEN, "the circuit has opened meanwhile")
        if not work.made:
            self.retry_budget.count_call()
        work.add_wait(StepKind.BULKHEAD, asked, started)
        step = CallStep(_HEDGE if work.running else _ATTEMPT, started, started)
        work.steps.append(step)
        work.made += 1
        work.running += 1
        return _StartedCall(permit, started, min(work.limit, left), step)

    def _record(
        self, work: _PipelineRun[T], started_call: _StartedCall, answer: T | SourceFailure
    ) -> None:
        """Record what an answer says about the service's health and rate."""
        started_call.step.ended = ended = self._clock.monotonic()
        if isinstance(answer, SourceFailure):
            started_call.step.code = answer.code
        took = ended - started_call.started
        if not isinstance(answer, SourceFailure) or answer.partial:
            if not work.isolated:
                started_call.permit.record(
                    failure=None, seconds=took, limit=work.limit, requests=work.requests
                )
                self._latencies.add(took)
            if not isinstance(answer, SourceFailure):
                return
        deferred = self._is_deferred(answer)
        if deferred or answer.retry_after is not None:
            signal = Signal(refused=deferred, wait=answer.retry_after)
            self._paces.apply_signal(work.caller, signal, began=started_call.started)
        if answer.partial or (deferred and answer.code is Code.SOURCE_OVERLOADED):
            return  # a service that refuses calls, or only some keys, still works
        # A time-out counts only if the call had nearly its whole limit. Otherwise clients with
        # short deadlines could open the circuit for all others.
        if work.isolated or (work.divisible and self._breaker.state is BreakerState.CLOSED):
            return
        if (
            answer.code is not Code.SOURCE_TIMEOUT
            or started_call.seconds >= SLOW_SHARE * work.limit
        ):
            failure = answer.code if answer.code in UNHEALTHY else None
            started_call.permit.record(failure=failure, seconds=took, limit=work.limit)

    def _no_probe(self) -> SourceFailure:
        """Make the failure of an isolated call while the circuit is not closed."""
        detail = "the circuit is not closed, and a call for this user is never a probe"
        return self._failure(Code.SOURCE_CIRCUIT_OPEN, detail)

    def _paused_meanwhile(self) -> SourceFailure:
        """Make the failure of a call that must not begin, as the service now wants a pause."""
        detail = "the source asked for a pause while the call waited for a place"
        return SourceFailure(self.name, Code.SOURCE_OVERLOADED, detail, retryable=True)

    def _failure(self, code: Code, detail: str) -> SourceFailure:
        """Make a failure of this source."""
        return SourceFailure(self.name, code, detail)
