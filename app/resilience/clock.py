"""Time as a dependency, so that tests decide what time it is."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back. For durations."""
        ...

    def now(self) -> datetime:
        """The time of day, in UTC. For showing."""
        ...


class SystemClock:
    """The time of the machine."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return time.perf_counter()

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)
