"""The bulkhead: a bound on what one service can hold up (M. Nygard, "Release It!", chapter 5)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

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
        self._inside = 0
        self._most = limit + queue
        self._room = asyncio.Semaphore(limit)
        self._clock = clock

    @asynccontextmanager
    async def slot(self, seconds: float) -> AsyncGenerator[None]:
        """Have room for one call within the context.

        Args:
            seconds: How long to wait for it at most.

        Yields:
            Nothing; there is room until the end of the context.

        Raises:
            FullError: As many wait as may, or there was no room in time.
        """
        # Counted here, since a semaphore is locked as long as anyone waits for it, even where room
        # has just been given to all who do.
        if self._inside >= self._most:
            raise FullError("as many calls wait as may")
        self._inside += 1
        try:
            await self._enter(seconds)
            try:
                yield
            finally:
                self._room.release()
        finally:
            self._inside -= 1

    async def _enter(self, seconds: float) -> None:
        """Take room, waiting for it where there is none."""
        if not self._room.locked():
            await self._room.acquire()
            return
        self.waiting += 1
        try:
            async with self._clock.timeout(seconds):
                await self._room.acquire()
        except TimeoutError as error:
            raise FullError("no call ended in time to make room") from error
        finally:
            self.waiting -= 1
