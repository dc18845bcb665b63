"""Counting what happened lately."""

from collections import deque
from collections.abc import Sequence

from app.resilience.clock import Clock

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
