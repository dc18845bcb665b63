"""When to ask again, how long to wait before, and how often at all.

The waits are exponential with full jitter, since clients that back off in step come back in step
(M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). The budget bounds
retries by a share of the calls, since during an outage every call would otherwise be multiplied
(Google SRE Book, chapter 21, "Handling Overload").
"""

from collections.abc import Callable

from app.resilience.clock import Clock
from app.resilience.window import SlidingWindow
from app.shapes.resilience import RetrySettings

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
