"""Single flight: whom a source is being asked about for one request, no other asks about again.

A flight belongs to nobody who waits for it. It is a task of its own with a deadline and a trace of
its own, so that whoever began it can give up, be cancelled or run out of time without any harm to
the others. When the last one has gone, it is called off. Flights of two identities are never
shared: a source may answer them differently.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Generic, Self, TypeAlias, TypeVar

from structlog.typing import FilteringBoundLogger

from app.errors import Code, SourceError
from app.resilience.clock import Clock
from app.resilience.deadline import Deadline
from app.settings import DeadlineSettings
from app.sources.base import Call, Record, UserId
from app.sources.trace import Trace

R = TypeVar("R", bound=Record)

Answer: TypeAlias = R | SourceError | None
"""What a source says of one user: a record, that it failed, or that it knows no such user."""

Fetch: TypeAlias = Callable[[Sequence[UserId], Call], Awaitable[Sequence[Answer[R]]]]
"""Asks a source about users; ``Source.fetch_many`` is one."""


@dataclass(eq=False, slots=True)
class Flight(Generic[R]):
    """Some users that a source is being asked about.

    Attributes:
        keys: The users.
        call: With what it is asked.
        task: Asks it.
        waiters: How many wait for the answer.
        kept: Whether the answer is wanted even when nobody waits for it.
    """

    keys: Sequence[UserId]
    call: Call
    task: asyncio.Task[Mapping[UserId, Answer[R]]] = field(init=False)
    waiters: int = 0
    kept: bool = False


class Flights(Generic[R]):
    """All flights to one source, and their owner: leaving its context ends them.

    Attributes:
        name: The source.
        shared: How many users were found to be asked about already, so far.
    """

    def __init__(
        self,
        name: str,
        fetch: Fetch[R],
        *,
        deadlines: DeadlineSettings,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        """Make a place for flights.

        Args:
            name: The source.
            fetch: Asks it. What it raises, everybody who waits for it gets.
            deadlines: ``budget`` is the time of a flight; ``reserve`` is kept of a caller's.
            clock: Tells the time.
            log: Where a flight that raised is reported if there is nobody else to tell.
        """
        self.name = name
        self.shared = 0
        self._fetch = fetch
        self._deadlines = deadlines
        self._clock = clock
        self._log = log
        self._flying: dict[tuple[str, UserId], Flight[R]] = {}
        self._tasks: set[asyncio.Task[Mapping[UserId, Answer[R]]]] = set()
        self._closed = False

    @property
    def in_flight(self) -> int:
        """How many users the source is being asked about now."""
        return len(self._flying)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._flying.clear()

    async def fetch(
        self, keys: Sequence[UserId], call: Call, *, behind: Iterable[UserId] = ()
    ) -> Sequence[Answer[R]]:
        """Ask about users, with one call for all that nobody asks about already.

        Args:
            keys: Users, each once.
            call: Of the request that wants to know. Its deadline bounds the wait for the flights,
                not the flights; its trace takes note of those that it waited for.
            behind: More users, whose answers are wanted but not waited for.

        Returns:
            One answer a key, in the order of the keys. ``SOURCE_TIMEOUT`` for those that did not
            come in the call's time.
        """
        if self._closed:
            return [self._gone()] * len(keys)
        new = [key for key in (*keys, *behind) if (call.identity, key) not in self._flying]
        own = self._begin(new, call) if new else None
        for key in behind:
            self._flying[call.identity, key].kept = True
        flights = [self._flying[call.identity, key] for key in keys]
        self.shared += sum(flight is not own for flight in flights)
        joined = Counter(flights)
        began = self._clock.monotonic()
        await self._wait(joined, call)
        for flight, count in joined.items():
            self._note(flight, call, keys=count, began=began, is_own=flight is own)
        return [self._answer(flight, key) for flight, key in zip(flights, keys, strict=True)]

    def _begin(self, keys: Sequence[UserId], call: Call) -> Flight[R]:
        """Begin a flight."""
        deadline = Deadline(self._clock.monotonic() + self._deadlines.budget, self._clock)
        flight: Flight[R] = Flight(keys, replace(call, deadline=deadline, trace=Trace()))
        flight.task = asyncio.create_task(self._fly(flight, deadline), name=f"flight {self.name}")
        flight.task.add_done_callback(partial(self._ended, flight))
        self._tasks.add(flight.task)
        for key in keys:
            self._flying[call.identity, key] = flight
        return flight

    async def _fly(self, flight: Flight[R], deadline: Deadline) -> Mapping[UserId, Answer[R]]:
        """Ask the source; no longer than a flight may take, even if the source forgets that."""
        try:
            async with self._clock.timeout(deadline.remaining):
                answers = await self._fetch(flight.keys, flight.call)
        except TimeoutError:
            flight.call.trace.of(self.name).code = Code.SOURCE_TIMEOUT
            answers = [self._late()] * len(flight.keys)
        finally:
            self._forget(flight)
        return dict(zip(flight.keys, answers, strict=True))

    async def _wait(self, flights: Iterable[Flight[R]], call: Call) -> None:
        """Wait for flights as long as the caller can; call off those that nobody wants any more."""
        left = self._deadlines.budget  # no flight takes longer
        if call.deadline is not None:
            left = call.deadline.remaining - self._deadlines.reserve
        for flight in flights:
            flight.waiters += 1
        tasks = [flight.task for flight in flights]
        try:
            with suppress(TimeoutError):
                if tasks and left > 0:
                    async with self._clock.timeout(left):
                        await asyncio.wait(tasks)
        finally:
            for flight in flights:
                flight.waiters -= 1
                if not flight.waiters and not flight.kept and not flight.task.done():
                    self._forget(flight)  # at once: whoever comes now needs a new one
                    flight.task.cancel()

    def _forget(self, flight: Flight[R]) -> None:
        """Let nobody join a flight any more."""
        for key in flight.keys:
            if self._flying.get((flight.call.identity, key)) is flight:
                del self._flying[flight.call.identity, key]

    def _ended(self, flight: Flight[R], task: asyncio.Task[Mapping[UserId, Answer[R]]]) -> None:
        """Let go of a flight; report what it raised if nobody else can."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not flight.waiters:
            self._log.error("source.flight_failed", source=self.name, exc_info=error)

    def _note(
        self, flight: Flight[R], call: Call, *, keys: int, began: float, is_own: bool
    ) -> None:
        """Take note of a flight in the trace of a call that waited for it."""
        trace, flown = call.trace.of(self.name), flight.call.trace.of(self.name)
        if is_own:
            trace.calls += flown.calls
            trace.attempts += flown.attempts
        trace.keys += keys
        trace.started = began if trace.started is None else min(trace.started, began)
        trace.ended = self._clock.monotonic()
        trace.circuit = flown.circuit or trace.circuit
        if not flight.task.done():
            trace.code = Code.SOURCE_TIMEOUT
        elif flight.task.cancelled():
            trace.code = Code.SOURCE_UNAVAILABLE
        else:
            trace.code = flown.code or trace.code

    def _answer(self, flight: Flight[R], key: UserId) -> Answer[R]:
        """Find what a flight has brought for a user who was waited for."""
        if not flight.task.done():
            return self._late()
        if flight.task.cancelled():
            return self._gone()
        return flight.task.result()[key]

    def _late(self) -> SourceError:
        """Say that there was no answer in time."""
        return SourceError(self.name, Code.SOURCE_TIMEOUT, "no time was left to wait for it")

    def _gone(self) -> SourceError:
        """Say that the call was called off."""
        return SourceError(self.name, Code.SOURCE_UNAVAILABLE, "the call was called off")
