"""The bulkhead: a bound on what one service can hold up (M. Nygard, "Release It!", chapter 5)."""

import asyncio
from types import TracebackType

from app.resilience.clock import Clock


class FullError(Exception):
    """There was no room within the time, or none to wait in. Ends in ``guard.py``."""


class Bulkhead:
    """Lets so many calls run at the same time, and so many more wait for as long as they can.

    Attributes:
        waiting: How many wait now.
    """

    def __init__(self, *, limit: int, queue: int, clock: Clock) -> None:
        self.waiting = 0
        self._queue = queue
        self._room = asyncio.Semaphore(limit)
        self._clock = clock

    def slot(self, seconds: float) -> "Slot":
        """Ask for room.

        Args:
            seconds: How long to wait for it at most.

        Returns:
            A context in which there is room; entering it raises ``FullError`` when there is none.
        """
        return Slot(self, seconds)

    async def enter(self, seconds: float) -> None:
        """Take room, waiting for it where that can help."""
        if not self._room.locked():
            await self._room.acquire()
            return
        if self.waiting >= self._queue:
            raise FullError("as many calls wait as may")
        self.waiting += 1
        try:
            async with self._clock.timeout(seconds):
                await self._room.acquire()
        except TimeoutError as error:
            raise FullError("no call ended in time to make room") from error
        finally:
            self.waiting -= 1

    def leave(self) -> None:
        """Give room back."""
        self._room.release()


class Slot:
    """Room for one call."""

    __slots__ = ("_bulkhead", "_seconds")

    def __init__(self, bulkhead: Bulkhead, seconds: float) -> None:
        self._bulkhead = bulkhead
        self._seconds = seconds

    async def __aenter__(self) -> None:
        await self._bulkhead.enter(self._seconds)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bulkhead.leave()
