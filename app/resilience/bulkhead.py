"""The bulkhead: it bounds the calls to one service (M. Nygard, "Release It!", chapter 5)."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType

from msgspec import Struct

from app.resilience.clock import Clock


class FullError(Exception):
    """There is no place for the call: none came free in time, or the queue is full.

    ``pipeline.py`` turns it into a ``SourceFailure``.
    """


class Bulkhead:
    """Bounds the calls that run at the same time, and the calls that wait for a place.

    A call that ends gives its place to the call that has waited longest. So a place is free only
    while no call waits. All calls that wait have one timer. ``asyncio.Semaphore`` with a timeout
    for each does the same, and takes several times as long for a call that waits.

    Args:
        limit: The most calls that run at the same time.
        queue: The most calls that wait.
        clock: The time.

    Attributes:
        limit: The most calls that run at the same time.
        running: How many calls have a place now.
    """

    def __init__(self, *, limit: int, queue: int, clock: Clock) -> None:
        self.limit = limit
        self.running = 0
        self._queue = queue
        self._waiters: deque[_Waiter] = deque()
        self._clock = clock
        self._timer_at = math.inf
        self._call_off: Callable[[], object] | None = None

    @property
    def waiting(self) -> int:
        """How many calls wait now."""
        return len(self._waiters)

    def slot(self, seconds: float) -> "Slot":
        """Return a context that holds a place for one call.

        Args:
            seconds: The longest wait for the place.

        Returns:
            The context. Entering it raises ``FullError`` when the queue is full, or when no place
            came free in time.
        """
        return Slot(self, seconds)

    def try_enter(self) -> bool:
        """Take a place if one is free. ``leave`` gives it back.

        Returns:
            Whether a place was free.
        """
        if self.running >= self.limit:
            return False
        self.running += 1
        return True

    async def enter(self, seconds: float) -> None:
        """Take a place; wait for one if all are taken. ``leave`` gives it back.

        Args:
            seconds: The longest wait for the place.

        Raises:
            FullError: The queue is full, or no place came free in time.
        """
        if self.try_enter():
            return
        if len(self._waiters) >= self._queue:
            raise FullError("the queue of waiting calls is full")
        if seconds <= 0 or not await self._wait(seconds):
            raise FullError("no running call ended in time")

    def leave(self) -> None:
        """Give back a place that ``try_enter`` or ``enter`` took."""
        while self._waiters:
            place = self._waiters.popleft().place
            if not place.done():  # it is done if its call was cancelled in this turn of the loop
                place.set_result(True)
                break
        else:
            self.running -= 1
        self._stop_timer_if_idle()

    async def _wait(self, seconds: float) -> bool:
        """Wait for a place, and return whether one came."""
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(self._clock.monotonic() + seconds, place)
        self._waiters.append(waiter)
        if waiter.ends_at < self._timer_at:
            self._set_timer(waiter.ends_at)
        try:
            return await place
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                self._stop_timer_if_idle()
            if not place.cancelled() and place.result():  # it came just before the cancellation
                self.leave()
            raise

    def _set_timer(self, at: float) -> None:
        """Set the timer to a moment."""
        if self._call_off is not None:
            self._call_off()
        self._timer_at = at
        self._call_off = self._clock.call_later(at - self._clock.monotonic(), self._end_late_waits)

    def _stop_timer_if_idle(self) -> None:
        """Stop the timer once no call waits."""
        if self._call_off is not None and not self._waiters:
            self._call_off()
            self._call_off, self._timer_at = None, math.inf

    def _end_late_waits(self) -> None:
        """End the waits whose time is over."""
        now = max(self._timer_at, self._clock.monotonic())
        self._call_off, self._timer_at = None, math.inf
        late = [one for one in self._waiters if one.ends_at <= now]
        self._waiters = deque(one for one in self._waiters if one.ends_at > now)
        for one in late:
            if not one.place.done():
                one.place.set_result(False)
        if self._waiters:
            self._set_timer(min(one.ends_at for one in self._waiters))


class _Waiter(Struct, eq=False):
    """A call that waits for a place.

    Attributes:
        ends_at: When its wait ends, by ``clock.monotonic()``.
        place: Gets ``True`` with a place, and ``False`` if none came free in time.
    """

    ends_at: float
    place: "asyncio.Future[bool]"


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
