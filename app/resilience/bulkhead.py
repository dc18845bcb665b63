"""The bulkhead: a bound on what one service can hold up (M. Nygard, "Release It!", chapter 5)."""

import asyncio
from collections.abc import Awaitable
from types import TracebackType

from app.resilience.clock import Clock


class FullError(Exception):
    """There was no room within the time, or none to wait in. Ends in ``pipeline.py``."""


class Bulkhead:
    """Lets so many calls run at the same time, and so many more wait for as long as they can.

    Attributes:
        waiting: How many wait now.
    """

    def __init__(self, *, limit: int, queue: int, clock: Clock) -> None:
        self.waiting = 0
        self._inside = 0
        self._most = limit + queue
        self._room = asyncio.Semaphore(limit)
        self._clock = clock

    def slot(self, seconds: float) -> "Slot":
        """Have room for one call within a context.

        Args:
            seconds: How long to wait for it at most.

        Returns:
            The context: there is room until its end. Entering it raises ``FullError`` where as
            many wait as may, or where there was no room in time.
        """
        return Slot(self, seconds)

    async def enter(self, seconds: float) -> None:
        """Take room, waiting for it where there is none; see ``slot``."""
        # Counted here, since a semaphore is locked as long as anyone waits for it, even where room
        # has just been given to all who do.
        if self._inside >= self._most:
            raise FullError("as many calls wait as may")
        self._inside += 1
        try:
            if self._room.locked():
                await self._wait(seconds)
            else:
                await self._room.acquire()
        except BaseException:  # a wait that is cancelled is over, too
            self._inside -= 1
            raise

    def leave(self) -> None:
        """Give room back that was taken."""
        self._room.release()
        self._inside -= 1

    async def _wait(self, seconds: float) -> None:
        """Wait for room, and take it."""
        self.waiting += 1
        try:
            async with self._clock.timeout(seconds):
                await self._room.acquire()
        except TimeoutError as error:
            raise FullError("no call ended in time to make room") from error
        finally:
            self.waiting -= 1


class Slot:
    """Room for one call, within its context.

    Written out, since ``asynccontextmanager`` takes several times as long, and each call has one.
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
