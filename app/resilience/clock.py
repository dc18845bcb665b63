"""Time as a dependency, so that tests decide what time it is and when it passes."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol


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
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        """Have something called once; gives the way to call it off."""
        return asyncio.get_running_loop().call_later(seconds, callback).cancel
