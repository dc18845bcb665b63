"""Retries: when, how often, and a budget over what happened lately.

Counting what happened lately.

When to ask again, how long to wait before, and how often at all.

The waits are exponential with full jitter, since clients that back off in step come back in step
(M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). The budget bounds
retries by a share of the calls, since during an outage every call would otherwise be multiplied
(Google SRE Book, chapter 21, "Handling Overload").
"""

from collections import deque
from collections.abc import Callable, Sequence

from app.resilience.clock import Clock
from app.settings.resilience import RetrySettings

SLOTS = 10
"""Into how many parts the window is cut: it slides by one part at a time."""


class SlidingWindow:
    """Counts events of a few kinds over the last seconds.

    The window slides in steps of a tenth of its length, so that it takes the same small memory
    however much happens in it.
    """

    def __init__(self, *, kinds: int, seconds: float, clock: Clock) -> None:
        self._width = seconds / SLOTS
        self._clock = clock
        self._slots: deque[tuple[int, list[int]]] = deque()
        self._totals = [0] * kinds

    def add(self, *kinds: int) -> Sequence[int]:
        """Count one event of each of these kinds.

        Returns:
            All within the window, by kind.
        """
        slot = self._forget()
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append((slot, [0] * len(self._totals)))
        counts = self._slots[-1][1]
        for kind in kinds:
            counts[kind] += 1
            self._totals[kind] += 1
        return tuple(self._totals)

    def totals(self) -> Sequence[int]:
        """Count the events within the window, by kind."""
        self._forget()
        return tuple(self._totals)

    def clear(self) -> None:
        """Forget everything."""
        self._slots.clear()
        self._totals = [0] * len(self._totals)

    def _forget(self) -> int:
        """Drop what has left the window; give the number of the present slot."""
        slot = int(self._clock.monotonic() // self._width)
        while self._slots and self._slots[0][0] <= slot - SLOTS:
            _, counts = self._slots.popleft()
            for kind, count in enumerate(counts):
                self._totals[kind] -= count
        return slot


_CALL, _RETRY = range(2)

Chance = Callable[[], float]
"""Gives a number from 0 up to 1, each as likely as the other."""


class RetryBudget:
    """Lets a share of the calls be repeated, and a few more."""

    def __init__(self, settings: RetrySettings, clock: Clock) -> None:
        self._settings = settings
        self._window = SlidingWindow(kinds=2, seconds=settings.budget_window, clock=clock)

    def count_call(self) -> None:
        """Count a call that was no repetition."""
        self._window.add(_CALL)

    def take(self, count: int = 1) -> bool:
        """Take repetitions out of the budget: all of them or none.

        Args:
            count: How many.

        Returns:
            Whether so many were left.
        """
        calls, retries = self._window.totals()
        beyond = retries + count - self._settings.budget_minimum
        if beyond > 0 and (not calls or beyond / calls > self._settings.budget_share):
            return False
        self._window.add(*[_RETRY] * count)
        return True


def backoff(
    attempt: int, retry_after: float | None, settings: RetrySettings, chance: Chance
) -> float:
    """Find how long to wait before asking again.

    Args:
        attempt: How often it was asked so far, at least once.
        retry_after: Seconds that the service asked for, if it did.
        settings: Base and bound of the waits.
        chance: Gives the jitter.

    Returns:
        Seconds. What the service asked for counts as it is, but for a floor under it: a service
        that says "at once" would otherwise be asked in a loop.
    """
    if retry_after is not None:
        return max(retry_after, settings.base_delay)
    longest = min(settings.max_delay, settings.base_delay * 2.0 ** (attempt - 1))
    return chance() * longest
