"""Time in the hands of a test: it passes when the test says so, and at once."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class ManualClock:
    """A clock that stands still until a test moves it. A ``Clock``.

    Attributes:
        seconds: What ``monotonic`` tells.
        pending: What is to be called once its time has come, by the number of the timer.
    """

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.pending: dict[int, Callable[[], object]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return self.seconds

    def now(self) -> datetime:
        """The time of day."""
        return datetime.fromtimestamp(self.seconds, UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has moved the clock that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        awake = asyncio.Event()
        call_off = self.call_at(self.seconds + seconds, awake.set)
        try:
            await awake.wait()
        finally:
            call_off()

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Bound what is awaited within."""
        return _ManualTimeout(self, seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], None]:
        """Have something called once so many seconds have passed; gives the way to call it off."""
        return self.call_at(self.seconds + seconds, callback)

    def call_at(self, when: float, callback: Callable[[], object]) -> Callable[[], None]:
        """Have something called when the clock gets there; gives the way to call it off."""
        number = next(self._numbers)
        self.pending[number] = callback

        def fire() -> None:
            if self.pending.pop(number, None) is not None:
                callback()

        def call_off() -> None:
            self.pending.pop(number, None)

        heapq.heappush(self._timers, (when, number, fire))
        return call_off

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.advance_to(self.seconds + seconds)

    def advance_to(self, end: float) -> None:
        """Let time pass until some moment."""
        while self._timers and self._timers[0][0] <= end:
            when, _, fire = heapq.heappop(self._timers)
            self.seconds = max(self.seconds, when)
            fire()
        self.seconds = end

    def stall(self, seconds: float) -> None:
        """Let time pass while the event loop does something else: what was due comes late."""
        self.seconds += seconds
        self.advance(0)

    async def settle(self) -> None:
        """Let everything happen that needs no time to pass."""
        # No public way tells whether anything else can run.
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined] # noqa: SLF001
        await asyncio.sleep(0)
        while ready:  # noqa: ASYNC110 # nothing here would set an event
            await asyncio.sleep(0)

    async def run(self, work: Awaitable[T]) -> T:
        """Do some work, letting time pass whenever that is all it waits for.

        The work may wait for nothing but this clock: on sockets, use ``advance``.
        """
        task = asyncio.ensure_future(work)
        try:
            while True:
                await self.settle()
                if task.done():
                    return task.result()
                assert self._timers, "the work waits for something that never comes"
                self.advance_to(self._timers[0][0])
        finally:
            task.cancel()


class _ManualTimeout(AbstractAsyncContextManager[object]):
    """A timeout that a ``ManualClock`` fires."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._scope = asyncio.timeout(None)
        self._call_off: Callable[[], None] = lambda: None

    async def __aenter__(self) -> object:
        if self._seconds <= 0:
            self._scope = asyncio.timeout(0)
        await self._scope.__aenter__()
        loop = asyncio.get_running_loop()
        self._call_off = self._clock.call_at(
            self._clock.seconds + self._seconds, lambda: self._scope.reschedule(loop.time())
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call_off()
        await self._scope.__aexit__(kind, error, traceback)
