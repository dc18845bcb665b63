"""How long a source takes, told from how long we take to hear of it."""

from math import inf

WINDOW = 64
"""Calls of which the fastest counts."""


class RoundTrip:
    """The least time that calls to a source have taken lately.

    Under load a call also waits for its turn on the event loop, on both of its ways; the fastest of
    many has hardly waited (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue
    14(5), 2016, does the same with packets).
    """

    def __init__(self) -> None:
        self._before = self._now = inf
        self._left = WINDOW

    @property
    def seconds(self) -> float:
        """The least of the last 64 to 128 calls, in seconds; 0 while there were too few."""
        least = min(self._before, self._now)
        return 0.0 if least == inf else least

    @property
    def usual(self) -> float:
        """The same, in seconds, where it is known from 64 calls at least; 0 before."""
        return 0.0 if self._before == inf else self.seconds

    def add(self, seconds: float) -> None:
        """Take note of a call.

        Args:
            seconds: How long it took.
        """
        self._now = min(self._now, seconds)
        self._left -= 1
        if not self._left:
            self._before, self._now, self._left = self._now, inf, WINDOW
