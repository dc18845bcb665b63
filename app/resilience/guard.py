"""The guard of one service: everything that a call goes through, in its order.

breaker      is the service asked at all now?              SOURCE_CIRCUIT_OPEN
bulkhead     is there room for one more call?              SOURCE_OVERLOADED
time         the least of the call's own and the request's
the call
breaker      takes note of how it went
hedge        one more where it takes long, if that is on
retry        again, where that can help, is safe, and fits time and budget
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.errors import Code, SourceError
from app.resilience.breaker import Breaker, Change, State
from app.resilience.bulkhead import Bulkhead, FullError
from app.resilience.clock import Clock
from app.resilience.deadline import Deadline
from app.resilience.hedge import Latencies, hedged
from app.resilience.retry import Chance, RetryBudget, backoff
from app.settings import SourceSettings

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

Attempt = Callable[[float], Awaitable[T | SourceError]]
"""Makes one call within so many seconds. What the service does is returned, never raised."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What came of a guarded call.

    Attributes:
        answer: The answer or the failure.
        attempts: How many calls were made for it.
    """

    answer: T | SourceError
    attempts: int


class Guard:
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
        on_change: Callable[[Change], None],
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
        self._latencies = Latencies()

    @property
    def state(self) -> State:
        """What the breaker does with calls."""
        return self._breaker.state

    def take_repetition(self) -> bool:
        """Take one repetition out of the budget, for a call that the caller repeats itself."""
        return self._budget.take()

    async def run(
        self, attempt: Attempt[T], *, limit: float, deadline: Deadline, reserve: float
    ) -> Outcome[T]:
        """Make a call that is safe to repeat.

        Args:
            attempt: Makes the call.
            limit: Seconds that one attempt may take.
            deadline: When the request has to be answered.
            reserve: Seconds before the deadline that are kept for what follows the call.

        Returns:
            What came of it.
        """
        made = 0

        async def once() -> T | SourceError:
            nonlocal made
            result, was_made = await self._once(attempt, limit, deadline.remaining - reserve)
            made += was_made
            return result

        self._budget.count_call()
        tries = 0
        while True:
            tries += 1
            answer = await self._perhaps_hedged(once)
            if not isinstance(answer, SourceError) or not answer.retryable:
                return Outcome(answer, made)
            wait = backoff(tries, answer.retry_after, self._settings.retry, self._chance)
            if (
                tries > self._settings.retry.max_retries
                or wait >= deadline.remaining - reserve
                or not self._budget.take()
            ):
                return Outcome(answer, made)
            await self._clock.sleep(wait)

    async def _perhaps_hedged(
        self, once: Callable[[], Awaitable[T | SourceError]]
    ) -> T | SourceError:
        """Make an attempt, and a second one beside it where hedging is on and it takes long."""
        delay = self._latencies.p95() if self._settings.hedge else None
        if delay is None:
            return await once()
        return await hedged(
            once,
            delay=delay,
            may_repeat=self._budget.take,
            is_good=lambda answer: not isinstance(answer, SourceError),
            clock=self._clock,
        )

    async def _once(
        self, attempt: Attempt[T], limit: float, left: float
    ) -> tuple[T | SourceError, bool]:
        """Make one attempt; say whether the service was called for it."""
        if left <= 0:
            return self._failure(Code.SOURCE_TIMEOUT, "no time was left for the call"), False
        permit = self._breaker.admit()
        if permit is None:
            return self._failure(Code.SOURCE_CIRCUIT_OPEN, "the circuit is open"), False
        asked = self._clock.monotonic()
        try:
            async with self._bulkhead.slot(left):
                started = self._clock.monotonic()
                seconds = min(limit, left - (started - asked))
                answer = await attempt(seconds)
                took = self._clock.monotonic() - started
                failed = isinstance(answer, SourceError) and answer.code in UNHEALTHY
                permit.record(failed=failed, seconds=took)
                if not isinstance(answer, SourceError):
                    self._latencies.add(took)
                return answer, True
        except FullError as error:
            return self._failure(Code.SOURCE_OVERLOADED, str(error)), False
        finally:
            permit.release()  # says nothing unless nothing was said: cancelled, or not called

    def _failure(self, code: Code, detail: str) -> SourceError:
        """Name this source in a failure."""
        return SourceError(self.name, code, detail)
