"""Time as a dependency, and how long a request may still take.

Time as a dependency, so that tests decide what time it is and when it passes.

How long a request may still take.
"""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol

from app.readonly import readonly


class Clock(Protocol):
    """Tells the time, and waits."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back. For durations."""
        ...

    def now(self) -> datetime:
        """The time of day, in UTC. For showing."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Bound what is awaited within; past it, ``TimeoutError`` is raised."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        """Have something called once; gives the way to call it off."""
        ...


class SystemClock:
    """The time of the machine."""

    # As it is: a function around it would take longer than it does.
    monotonic = staticmethod(time.perf_counter)
    """Seconds since some fixed moment; never goes back."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Bound what is awaited within."""
        return _Timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        """Have something called once; gives the way to call it off."""
        return asyncio.get_running_loop().call_later(seconds, callback).cancel


class _Timeout:
    """A bound on what one task awaits within a context; as ``asyncio.timeout``, for half of it.

    Each call has two of them, and none is looked at or moved: no state is kept for that.
    """

    __slots__ = ("_cancelling", "_expired", "_seconds", "_task", "_timer")

    _task: asyncio.Task[object]
    _timer: asyncio.Handle
    _cancelling: int

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only what a task awaits can be bounded")
        self._task = task
        self._cancelling = task.cancelling()
        loop = asyncio.get_running_loop()
        if self._seconds > 0:
            self._timer = loop.call_later(self._seconds, self._expire)
        else:
            self._timer = loop.call_soon(self._expire)  # what need not wait is still done

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if (
            self._expired
            # Whoever else has cancelled the task meanwhile means it to end, and not to go on.
            and self._task.uncancel() <= self._cancelling
            and isinstance(error, asyncio.CancelledError)
        ):
            raise TimeoutError from error

    def _expire(self) -> None:
        """Have the task wait no longer."""
        self._expired = True
        self._task.cancel()


_DURATION = re.compile(r"(\d{1,9})(?:\.(\d{1,3}))?(ms|s)", re.ASCII)


@readonly(frozen=True, slots=True)
class Deadline:
    """The moment by which a request has to be answered.

    Attributes:
        at: That moment, by the clock's ``monotonic``.
        clock: Tells the time.
    """

    at: float
    clock: Clock

    @property
    def remaining(self) -> float:
        """Seconds that are left; negative when it has passed."""
        return self.at - self.clock.monotonic()


def read_duration(text: str) -> float | None:
    """Read a duration as it stands in a header.

    Args:
        text: Such as ``800ms`` or ``1.5s``.

    Returns:
        Seconds, or ``None`` when it is no duration or no time at all.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        return None
    whole, fraction, unit = match.groups()
    seconds = float(f"{whole}.{fraction or 0}") / (1000 if unit == "ms" else 1)
    return seconds or None


def write_duration(seconds: float) -> str:
    """Write a duration for a header.

    Args:
        seconds: The duration, 0 or more.

    Returns:
        Whole milliseconds, at least one, such as ``800ms``.
    """
    return f"{max(1, int(seconds * 1000))}ms"
