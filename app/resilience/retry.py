"""Retries: when to repeat a call, how long to wait before it, and how often at all.

The waits are exponential with full jitter, because clients that wait equally long come back at
the same moment (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). The
budget bounds retries by a share of the calls, because during an outage every call would be
multiplied without it (Google SRE Book, chapter 21, "Handling Overload").
"""

from collections import deque
from collections.abc import Callable, Sequence

from app.resilience.clock import Clock
from app.settings.resilience import RetrySettings

SLOTS = 10
"""The window has so many parts, and slides by one part at a time."""


class SlidingWindow:
    """Counts events of a few kinds over the last seconds.

    The window slides in steps of a tenth of its length, so its memory does not grow with the number
    of events.

    Args:
        kinds: How many kinds of events there are; a kind is a number from 0.
        seconds: The length of the window.
        clock: The time.
    """

    def __init__(self, *, kinds: int, seconds: float, clock: Clock) -> None:
        self._width = seconds / SLOTS
        self._clock = clock
        self._slots: deque[tuple[int, list[int]]] = deque()
        self._totals = [0] * kinds

    def add(self, *kinds: int) -> Sequence[int]:
        """Count one event of each of these kinds.

        Args:
            kinds: The kinds.

        Returns:
            The events within the window, one count for each kind.
        """
        slot = int(self._clock.monotonic() // self._width)
        # A slot leaves the window only when another one begins.
        if not self._slots or self._slots[-1][0] != slot:
            self._forget(slot)
            self._slots.append((slot, [0] * len(self._totals)))
        counts = self._slots[-1][1]
        for kind in kinds:
            counts[kind] += 1
            self._totals[kind] += 1
        return tuple(self._totals)

    def totals(self) -> Sequence[int]:
        """Return the events within the window, one count for each kind.

        Returns:
            The counts.
        """
        self._forget(int(self._clock.monotonic() // self._width))
        return tuple(self._totals)

    def clear(self) -> None:
        """Forget all events."""
        self._slots.clear()
        self._totals = [0] * len(self._totals)

    def _forget(self, slot: int) -> None:
        """Drop the slots that have left the window, of which the last slot has this number."""
        while self._slots and self._slots[0][0] <= slot - SLOTS:
            _, counts = self._slots.popleft()
            for kind, count in enumerate(counts):
                self._totals[kind] -= count


_CALL, _RETRY = range(2)

Chance = Callable[[], float]
"""Returns a random number from 0 up to, but not including, 1; uniformly distributed."""


class RetryBudget:
    """Allows retries up to a share of the calls, and a minimum beyond it.

    Args:
        settings: The share, the minimum, and the window in seconds.
        clock: The time.

    Attributes:
        allowed: How many retries it has allowed, in total.
        refused: How many retries it has not allowed, in total.
    """

    def __init__(self, settings: RetrySettings, clock: Clock) -> None:
        self.allowed = 0
        self.refused = 0
        self._settings = settings
        self._window = SlidingWindow(kinds=2, seconds=settings.budget_window, clock=clock)

    def count_call(self) -> None:
        """Count a call that is not a retry."""
        self._window.add(_CALL)

    def take(self, count: int = 1) -> bool:
        """Take retries from the budget: all of them or none.

        Args:
            count: How many.

        Returns:
            Whether the budget had so many.
        """
        calls, retries = self._window.totals()
        beyond = retries + count - self._settings.budget_minimum
        if beyond > 0 and (not calls or beyond / calls > self._settings.budget_share):
            self.refused += count
            return False
        self.allowed += count
        self._window.add(*[_RETRY] * count)
        return True

    @property
    def remaining(self) -> int:
        """How many retries it allows now."""
        calls, retries = self._window.totals()
        share = int(calls * self._settings.budget_share)
        return max(0, self._settings.budget_minimum + share - retries)


def backoff(
    attempt: int, retry_after: float | None, settings: RetrySettings, chance: Chance
) -> float:
    """Compute the wait before a retry.

    Args:
        attempt: How many attempts were made so far, at least 1.
        retry_after: Seconds that the service asked for; ``None`` if it did not.
        settings: Base and bound of the waits.
        chance: Random numbers for the jitter.

    Returns:
        Seconds. The wait that the service asked for is used as it is, but not less than
        ``base_delay``: a service that asks for no wait would otherwise be called in a loop.
    """
    if retry_after is not None:
        return max(retry_after, settings.base_delay)
    longest = min(settings.max_delay, settings.base_delay * 2.0 ** (attempt - 1))
    return chance() * longest
