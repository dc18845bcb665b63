"""How long calls to a source usually take."""

from math import inf

WINDOW = 64
"""Number of calls in one window; the fastest of them counts."""


class RoundTrip:
    """The least time that recent calls to a source took.

    Under load a call also waits for the event loop, before it is sent and after its response. The
    fastest of many calls has hardly waited (Cardwell et al., "BBR: Congestion-Based Congestion
    Control", ACM Queue 14(5), 2016, does the same with packets).

    Attributes:
        seconds: The least of the last 64 to 128 calls, in seconds; 0 before the first call.
        usual: The same, but 0 until there were at least 64 calls.
    """

    def __init__(self) -> None:
        self.seconds = self.usual = 0.0
        self._previous = self._current = inf
        self._remaining = WINDOW

    def add(self, seconds: float) -> None:
        """Record a call.

        Args:
            seconds: How long the call took.
        """
        self._current = min(self._current, seconds)
        self._remaining -= 1
        if not self._remaining:
            self._previous, self._current, self._remaining = self._current, inf, WINDOW
        self.seconds = min(self._previous, self._current)
        self.usual = 0.0 if self._previous == inf else self.seconds
