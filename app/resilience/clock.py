"""Time as an argument, so that tests control it; and the deadline of a request."""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol

from msgspec import Struct


class Clock(Protocol):
    """The time, and ways to wait."""

    def monotonic(self) -> float:
        """Return the seconds since some fixed moment; they never decrease. For durations."""
        ...

    def now(self) -> datetime:
        """Return the time of day, in UTC. For people and for HTTP dates."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait.

        Args:
            seconds: How long.
        """
        ...

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return a context that bounds the time of what is awaited within it.

        Args:
            seconds: The bound; 0 or less cancels the first wait.

        Returns:
            The context. It raises ``TimeoutError`` at its end if the time ran out.
        """
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        """Schedule one call of a function.

        Args:
            seconds: When to call it, from now.
            callback: The function.

        Returns:
            A function that cancels the call.
        """
        ...


class SystemClock:
    """The clock of the machine: see ``Clock`` for its methods."""

    # Assigned without a wrapper: calling a wrapper would take longer than reading the time.
    monotonic = staticmethod(time.perf_counter)
    """Return the seconds since some fixed moment; they never decrease."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return a context that bounds the time of what is awaited within it; see ``Clock``."""
        return _Timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        """Schedule one call of a function, and return a function that cancels it; see ``Clock``."""
        return asyncio.get_running_loop().call_later(seconds, callback).cancel


class _Timeout:
    """A bound on what one task awaits within a context: ``asyncio.timeout`` at half the cost.

    Each call enters two of them. Nobody reads or moves their deadline: no state is kept for that.
    """

    __slots__ = ("_cancelling", "_expired", "_seconds", "_task", "_timer")

    _task: asyncio.Task[object]
    _timer: asyncio.Handle
    _cancelling: int

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a timeout works only within a task")
        self._task = task
        self._cancelling = task.cancelling()
        if self._seconds > 0:
            self._timer = loop.call_later(self._seconds, self._expire)
        else:
            self._timer = loop.call_soon(self._expire)  # what does not wait still runs

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if (
            self._expired
            # If other code cancelled the task too, the task must end with that cancellation.
            and self._task.uncancel() <= self._cancelling
            and isinstance(error, asyncio.CancelledError)
        ):
            raise TimeoutError from error

    def _expire(self) -> None:
        """Cancel what the task awaits."""
        self._expired = True
        self._task.cancel()


_DURATION = re.compile(r"(\d{1,9})(?:\.(\d{1,3}))?(ms|s)", re.ASCII)


class Deadline(Struct, frozen=True):
    """The moment by which a request has to be answered.

    Attributes:
        at: That moment, by the clock's ``monotonic``, in seconds.
        clock: The clock that ``at`` refers to.
    """

    at: float
    clock: Clock

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; negative when it has passed."""
        return self.at - self.clock.monotonic()


def read_duration(text: str) -> float | None:
    """Read a duration from a header.

    Args:
        text: A number with the unit ``ms`` or ``s``, such as ``800ms`` or ``1.5s``.

    Returns:
        Seconds; ``None`` when the text is not a duration, or is zero.
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
