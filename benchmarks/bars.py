"""The bars: what the gateway may cost at most, as ratios."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MISSED: Final = "**missed**"


@dataclass(frozen=True, slots=True)
class Bar:
    """What the gateway may cost under a workload.

    Attributes:
        first: The most that its CPU per request may be, over that of the aggregator.
        goal: What that is meant to become.
        beside: The most that it may be over the gateway's own under the workload beside, if that
            has a bar.
    """

    first: float
    goal: float
    beside: float | None = None

    def verdict(self, ratio: float, beside: float | None = None) -> str:
        """Say what was reached.

        Args:
            ratio: The median of the ratios to the aggregator.
            beside: That of the ratios to the workload beside, if there are any.
        """
        if ratio > self.first:
            return MISSED
        if self.beside is not None and beside is not None and beside > self.beside:
            return MISSED
        return "goal" if ratio <= self.goal else "first bar"


BARS: Final[Mapping[str, Bar]] = {
    "W1": Bar(first=1.9, goal=0.75),
    "W2": Bar(first=1.2, goal=0.8),
    "W3": Bar(first=1.5, goal=0.8),
    "W4": Bar(first=1.4, goal=0.7),
    "W3-down": Bar(first=1.0, goal=0.8, beside=1.0),
    "W6": Bar(first=1.2, goal=0.8),
    "W7": Bar(first=1.2, goal=0.9),
    "W8": Bar(first=0.9, goal=0.75),
    "W9": Bar(first=1.5, goal=1.0),
    "W11": Bar(first=0.45, goal=0.3, beside=0.5),
}
"""By the name of the workload. W10 and W12 are measured without a bar."""
