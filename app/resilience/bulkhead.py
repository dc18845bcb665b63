"""The bulkhead: it bounds the calls to one service (M. Nygard, "Release It!", chapter 5)."""

import asyncio
from collections.abc import Awaitable
from types import TracebackType

from app.resilience.clock import Clock


class FullError(Exception):
    """There is no place for the call: none came free in time, or the queue is full.

    ``pipeline.py`` turns it into a ``SourceFailure``.
    """


class Bulkhead:
    """Bounds the calls that run at the same time, and the calls that wait for a place.

    Args:
        limit: The most calls that run at the same time.
        queue: The most calls that wait.
        clock: The time.

    Attributes:
        limit: The most calls that run at the same time.
        waiting: How many calls wait now.
    """

    def __init__(self, *, limit: int, queue: int, clock: Clock) -> None:
        self.limit = limit
        self.waiting = 0
        self._admitted = 0
        self._capacity = limit + queue
        self._semaphore = asyncio.Semaphore(limit)
        self._clock = clock

    @property
    def running(self) -> int:
        """How many calls have a place now."""
        return self._admitted - self.waiting

    def slot(self, seconds: float) -> "Slot":
        """Return a context that holds a place for one call.

        Args:
            seconds: The longest wait for the place.

        Returns:
            The context. Entering it raises ``FullError`` when the queue is full, or when no place
            came free in time.
        """
        return Slot(self, seconds)

    async def enter(self, seconds: float) -> None:
        """Take a place; wait for one if all are taken. ``leave`` gives it back.

        Args:
            seconds: The longest wait for the place.

        Raises:
            FullError: The queue is full, or no place came free in time.
        """
        # Counted here: a semaphore is locked as long as a task waits for it, even when each of
        # these tasks has just been given a place.
        if self._admitted >= self._capacity:
            raise FullError("the queue of waiting calls is full")
        self._admitted += 1
        try:
            if self._semaphore.locked():
                await self._wait(seconds)
            else:
                await self._semaphore.acquire()
        except BaseException:  # also when the wait is cancelled
            self._admitted -= 1
            raise

    def leave(self) -> None:
        """Give back a place that ``enter`` took."""
        self._semaphore.release()
        self._admitted -= 1

    async def _wait(self, seconds: float) -> None:
        """Wait for a place, and take it."""
        self.waiting += 1
        try:
            async with self._clock.timeout(seconds):
                await self._semaphore.acquire()
        except TimeoutError as error:
            raise FullError("no running call ended in time") from error
        finally:
            self.waiting -= 1


class Slot:
    """A place for one call, for as long as its context.

    A class, because ``asynccontextmanager`` takes several times as long and each call enters one.

    Args:
        bulkhead: The bulkhead whose place it is.
        seconds: The longest wait for the place.
    """

    __slots__ = ("_bulkhead", "_seconds")

    def __init__(self, bulkhead: Bulkhead, seconds: float) -> None:
        self._bulkhead = bulkhead
        self._seconds = seconds

    def __aenter__(self) -> Awaitable[None]:
        return self._bulkhead.enter(self._seconds)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bulkhead.leave()
