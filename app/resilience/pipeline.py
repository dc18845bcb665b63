"""The guard of one service: everything that a call goes through, in its order.

pace         is it this call's turn, by the service's word? SOURCE_OVERLOADED
breaker      is the service asked at all now?              SOURCE_CIRCUIT_OPEN
bulkhead     is there room for one more call?              SOURCE_OVERLOADED
time         the least of the call's own and the request's
the call
breaker      takes note of how it went
pace         takes note of what the service said; again in its own time, where it said "later"
hedge        one more where it takes long, if that is on
retry        again, where that can help, is safe, and fits time and budget

A call about a user who is known to be slow or to fail, while the service answers others, is
isolated: it is made once, never as a probe, in few of the bulkhead's places, and a failure of it
says nothing of the service. The failure by which the user became known has counted.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.errors import Code, SourceFailure
from app.readonly import readonly
from app.resilience.breaker import SLOW, Breaker, BreakerState, Permit, StateChange
from app.resilience.bulkhead import Bulkhead, FullError
from app.resilience.clock import Clock, Deadline
from app.resilience.hedge import Latencies, hedged
from app.resilience.pace import PaceState, Signal
from app.resilience.pacer import Pacer, Paces, Slowdown
from app.resilience.retry import Chance, RetryBudget, backoff
from app.settings.source import SourceSettings

T = TypeVar("T")

UNHEALTHY = frozenset(
    {
        Code.SOURCE_TIMEOUT,
        Code.SOURCE_UNAVAILABLE,
        Code.SOURCE_MALFORMED,
        Code.SOURCE_OVERLOADED,
    }
)
"""The failures that speak of a service's health; our own request may be to blame for the others."""

ISOLATED_SHARE = 4
"""Isolated calls have one of so many places of the bulkhead."""

Attempt = Callable[[float], Awaitable[T | SourceFailure]]
"""Makes one call within so many seconds. What the service does is returned, never raised."""


@readonly(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What came of a guarded call.

    Attributes:
        answer: The answer or the failure.
        attempts: How many calls were made for it.
    """

    answer: T | SourceFailure
    attempts: int


@dataclass(slots=True)
class _PipelineRun(Generic[T]):
    """What is to be done, by one attempt or several.

    Attributes:
        attempt: Makes the call.
        limit: Seconds that one attempt may take.
        end: The moment by which all has to be done, by the clock's ``monotonic``.
        caller: For whom.
        isolated: Whether it is about a user who is known to be slow or to fail.
        made: How many calls were made for it so far.
    """

    attempt: Attempt[T]
    limit: float
    end: float
    caller: str
    isolated: bool
    made: int = 0


@dataclass(slots=True)
class _StartedCall:
    """A call that was begun.

    Attributes:
        permit: The breaker's leave to make it.
        started: When, by the clock's ``monotonic``.
        seconds: How long it may take.
    """

    permit: Permit
    started: float
    seconds: float


class ResiliencePipeline:
    """Guards the calls to one service. Shared by all of them; this is what makes it work.

    Attributes:
        name: The source that the service is.
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
        self._budget = RetryBudget(settings.retry, clock)
        self._breaker = Breaker(settings.breaker, clock=clock, chance=chance, on_change=on_change)
        self._bulkhead = Bulkhead(
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
        """What the breaker does with calls."""
        return self._breaker.state

    @property
    def pace_state(self) -> PaceState:
        """How fast calls are made for the caller for whom they are slowest."""
        return self._paces.state

    @property
    def congested(self) -> bool:
        """Whether calls wait for room, for their turn or for the circuit to close."""
        return (
            self._bulkhead.waiting > 0
            or self._breaker.state is not BreakerState.CLOSED
            or self.pace_state is not PaceState.FREE
        )

    def pace_state_of(self, caller: str) -> PaceState:
        """Tell how fast calls are made for a caller."""
        return self._paces.state_of(caller)

    def apply_signal(self, caller: str, signal: Signal, *, began: float) -> None:
        """Heed what the service said with an answer that was no failure; those speak themselves.

        Args:
            caller: To whom it said so.
            signal: What it said.
            began: When the call was begun, by the clock's ``monotonic``.
        """
        self._paces.apply_signal(caller, signal, began=began)

    def take_repetition(self, count: int = 1) -> bool:
        """Take repetitions out of the budget, all or none, for calls that the caller repeats."""
        return self._budget.take(count)

    async def run(
        self,
        attempt: Attempt[T],
        *,
        limit: float,
        deadline: Deadline,
        reserve: float,
        caller: str = "",
        isolated: bool = False,
    ) -> Outcome[T]:
        """Make a call that is safe to repeat.

        Args:
            attempt: Makes the call.
            limit: Seconds that one attempt may take.
            deadline: When the request has to be answered.
            reserve: Seconds before the deadline that are kept for what follows the call.
            caller: For whom it is made, where the service is told; each has a pace of its own.
            isolated: Whether it is about a user who is known to be slow or to fail, while others
                are answered.

        Returns:
            What came of it: where it was repeated, what the last call said that was made.
        """
        work = _PipelineRun(attempt, limit, deadline.at - reserve, caller, isolated)
        answer = await self._paced(work)
        if isinstance(answer, SourceFailure):
            answer = await self._repeated(work, answer)
        return Outcome(answer, work.made)

    async def _repeated(self, work: _PipelineRun[T], failure: SourceFailure) -> T | SourceFailure:
        """Repeat what has failed, where that can help; gives what the last call said."""
        answer = await self._later(work, failure)
        for tries in range(1, self._settings.retry.max_retries + 1):
            if (
                not isinstance(answer, SourceFailure)
                or not answer.retryable
                or work.isolated
                or self._is_put_off(answer)  # its own time has been waited for, or is too long
            ):
                break
            wait = backoff(tries, answer.retry_after, self._settings.retry, self._chance)
            if wait >= self._left(work) or self._breaker.refuses or not self._budget.take():
                break
            await self._clock.sleep(wait)
            before = work.made
            again = await self._paced(work)
            if isinstance(again, SourceFailure):
                again = await self._later(work, again)
            if work.made == before:
                break
            answer = again
        return answer

    def _left(self, work: _PipelineRun[T]) -> float:
        """Count the seconds that are left for it."""
        return work.end - self._clock.monotonic()

    def _paced(self, work: _PipelineRun[T]) -> Awaitable[T | SourceFailure]:
        """Make an attempt when the service wants it."""
        pacer = self._paces.of(work.caller)
        if pacer is None:
            return self._perhaps_hedged(work)
        if self._left(work) <= 0 or self._breaker.refuses:
            return self._once(work)  # which says so
        return self._in_turn(pacer, work)

    async def _later(self, work: _PipelineRun[T], failure: SourceFailure) -> T | SourceFailure:
        """Make an attempt again, as long as the service says "later".

        That is no business of the budget of retries: it is the service that says when. It ends
        where the next one would come too late.
        """
        answer: T | SourceFailure = failure
        while self._is_put_off(answer):
            pacer = self._paces.of(work.caller)
            if pacer is None or pacer.pause >= self._left(work) or self._breaker.refuses:
                break
            answer = await self._paced(work)
        return answer

    async def _in_turn(self, pacer: Pacer, work: _PipelineRun[T]) -> T | SourceFailure:
        """Make an attempt when it is its turn."""
        try:
            async with pacer.turn(self._left(work)):
                began = self._clock.monotonic()
                answer = await self._once(work)
        except FullError as error:
            return self._failure(Code.SOURCE_OVERLOADED, str(error))
        if not isinstance(answer, SourceFailure):
            self._paces.record_success(work.caller, began=began)
        return answer

    def _is_put_off(self, answer: object) -> bool:
        """Tell whether an attempt failed only for having come too early, by the service's word."""
        return (
            isinstance(answer, SourceFailure)
            and answer.retryable
            and (answer.code is Code.SOURCE_OVERLOADED or answer.retry_after is not None)
            and self._settings.pacing.enabled
        )

    def _perhaps_hedged(self, work: _PipelineRun[T]) -> Awaitable[T | SourceFailure]:
        """Make an attempt, and a second one beside it where hedging is on and it takes long."""
        delay = self._latencies.p95() if self._settings.hedge and not work.isolated else None
        if delay is None:
            return self._once(work)
        return hedged(
            lambda: self._once(work),
            delay=delay,
            may_repeat=self._budget.take,
            is_good=lambda answer: not isinstance(answer, SourceFailure),
            clock=self._clock,
        )

    async def _once(self, work: _PipelineRun[T]) -> T | SourceFailure:
        """Make one attempt, when the service may be asked and there is room and time."""
        if (left := self._left(work)) <= 0:
            return self._failure(Code.SOURCE_TIMEOUT, "no time was left for the call")
        if self._breaker.refuses:
            return self._failure(Code.SOURCE_CIRCUIT_OPEN, "the circuit is open")
        if not work.isolated:
            return await self._in_room(work, left)
        if self._breaker.state is not BreakerState.CLOSED:
            detail = "the circuit is not closed, and the user is no probe"
            return self._failure(Code.SOURCE_CIRCUIT_OPEN, detail)
        try:
            async with self._isolation.slot(left):
                return await self._in_room(work, self._left(work))
        except FullError as error:
            return self._failure(Code.SOURCE_OVERLOADED, str(error))

    async def _in_room(self, work: _PipelineRun[T], seconds: float) -> T | SourceFailure:
        """Make one attempt when there is room for it within so many seconds."""
        try:
            async with self._bulkhead.slot(seconds):
                begun = self._begin(work)
                if isinstance(begun, SourceFailure):
                    return begun
                try:
                    answer = await work.attempt(begun.seconds)
                    self._take_note(work, begun, answer)
                    return answer
                finally:
                    # Tells nothing, where nothing was told: the call was cancelled.
                    begun.permit.release()
        except FullError as error:
            return self._failure(Code.SOURCE_OVERLOADED, str(error))

    def _begin(self, work: _PipelineRun[T]) -> _StartedCall | SourceFailure:
        """Begin a call, if the wait for room has left the time, the pace and the circuit for it."""
        pacer = self._paces.of(work.caller)
        if pacer is not None and pacer.pause:
            return self._held()
        started = self._clock.monotonic()
        if (left := work.end - started) <= 0:
            return self._failure(Code.SOURCE_TIMEOUT, "no time was left once there was room")
        permit = self._breaker.admit()
        if permit is None:
            return self._failure(Code.SOURCE_CIRCUIT_OPEN, "the circuit has opened meanwhile")
        if not work.made:
            self._budget.count_call()
        work.made += 1
        return _StartedCall(permit, started, min(work.limit, left))

    def _take_note(
        self, work: _PipelineRun[T], begun: _StartedCall, answer: T | SourceFailure
    ) -> None:
        """Take note of what a call says of the service's health and pace."""
        took = self._clock.monotonic() - begun.started
        if not isinstance(answer, SourceFailure):
            if not work.isolated:
                begun.permit.record(failed=False, seconds=took, limit=work.limit)
                self._latencies.add(took)
            return
        put_off = self._is_put_off(answer)
        if put_off or answer.retry_after is not None:
            signal = Signal(refused=put_off, wait=answer.retry_after)
            self._paces.apply_signal(work.caller, signal, began=begun.started)
        if put_off and answer.code is Code.SOURCE_OVERLOADED:
            return  # it is well enough to say no
        # A client in a hurry tells nothing of the service; else it could open the circuit for all
        # others.
        if work.isolated:
            return
        if answer.code is not Code.SOURCE_TIMEOUT or begun.seconds >= SLOW * work.limit:
            failed = answer.code in UNHEALTHY
            begun.permit.record(failed=failed, seconds=took, limit=work.limit)

    def _held(self) -> SourceFailure:
        """Say of a call that had waited for room that the service wants to be left alone by now."""
        detail = "the source asked to be left alone while the call waited for room"
        return SourceFailure(self.name, Code.SOURCE_OVERLOADED, detail, retryable=True)

    def _failure(self, code: Code, detail: str) -> SourceFailure:
        """Name this source in a failure."""
        return SourceFailure(self.name, code, detail)
