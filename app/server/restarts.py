"""When a process that has died is started again: at once, or later if it dies again and again.

It is plain code, without a clock: its caller measures.
"""

from msgspec import Struct

LONG_LIFE = 60.0
"""Seconds after which the death of a process has nothing to do with its start."""

FIRST_PAUSE = 1.0
"""Seconds before the start that follows two short lives."""

LONGEST_PAUSE = 10.0
"""The longest pause, in seconds. A start takes about one second of a CPU."""


class Restarts(Struct):
    """How long one place of a server waits for its next process.

    The first process that dies is replaced at once. While processes die soon after their start, the
    pause before the next one doubles, from ``FIRST_PAUSE`` to ``LONGEST_PAUSE``.

    Attributes:
        short_lived: How many processes have died soon after their start, one after another.
    """

    short_lived: int = 0

    def pause_after(self, life: float) -> float:
        """Count a death.

        Args:
            life: Seconds from the start of the process to its death.

        Returns:
            Seconds until the next process may start.
        """
        if life >= LONG_LIFE:
            self.short_lived = 0
            return 0.0
        self.short_lived += 1
        if self.short_lived == 1:
            return 0.0
        doublings = min(self.short_lived - 2, 10)  # far beyond the longest pause
        return min(FIRST_PAUSE * 2.0**doublings, LONGEST_PAUSE)
