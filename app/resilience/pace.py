"""How fast a service may be asked, as it says itself. Pure.

Calls at the same time are bounded as TCP bounds what is under way: halved when the service says
"slower", one more for each round of good answers (D.-M. Chiu and R. Jain, "Analysis of the Increase
and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989). Calls that were under
way at a cut say nothing new: they do not cut again.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from app.resilience.retry import Chance
from app.resilience.signals import Signal
from app.shapes.source import SourceSettings


class Tempo(StrEnum):
    """How a service is asked, in a word."""

    FREE = "free"
    SLOWED = "slowed"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a service may be asked.

    Attributes:
        limit: Calls at the same time, at least 1; a fraction is on its way to one more.
        until: The moment before which there is none, by the clock's ``monotonic``.
        cut_at: The moment of the last cut.
        refusals: Times that it refused since it last took a call.
    """

    limit: float
    until: float = -math.inf
    cut_at: float = -math.inf
    refusals: int = 0

    def tempo(self, now: float, most: int) -> Tempo:
        """Say it in a word.

        Args:
            now: The moment.
            most: Calls at the same time where the service says nothing.

        Returns:
            The word.
        """
        if now < self.until:
            return Tempo.PAUSED
        return Tempo.SLOWED if self.limit < most else Tempo.FREE


def slowed(
    pace: Pace,
    signal: Signal,
    settings: SourceSettings,
    *,
    began: float,
    now: float,
    chance: Chance,
) -> Pace:
    """Heed what a service says.

    Args:
        pace: The pace before.
        signal: What the service says.
        settings: The bounds of the waits.
        began: When the call was begun that it says so to.
        now: The moment.
        chance: Gives the jitter.

    Returns:
        The pace from now on. Never more calls at the same time than it still takes. Where it
        refuses, it is left alone for longer each time, or as long as it asks for if that is longer:
        who says "at once" and refuses again is not believed twice.
    """
    wait = signal.wait or 0.0
    if signal.left is not None and not wait:  # after a wait there is more than was left
        pace = replace(pace, limit=max(1.0, min(pace.limit, float(signal.left))))
    if not signal.refused and not wait:
        return pace
    if began > pace.cut_at:
        pace = replace(
            pace,
            limit=max(1.0, pace.limit / 2),
            cut_at=now,
            refusals=pace.refusals + signal.refused,
        )
    if signal.refused:
        doublings = min(pace.refusals - 1, 30)
        longest = min(settings.retry.max_delay, settings.retry.base_delay * 2.0**doublings)
        told = signal.wait is not None
        wait = max(wait, longest) if told else longest * (0.5 + chance() / 2)
    wait = min(wait, settings.pacing.max_pause)
    return replace(pace, until=max(pace.until, now + wait))


def sped_up(pace: Pace, *, began: float, most: int) -> Pace:
    """Take note of a good answer.

    Args:
        pace: The pace before.
        began: When its call was begun.
        most: Calls at the same time where the service says nothing.

    Returns:
        The pace from now on: one more call after as many good answers as there may be calls.
    """
    if began <= pace.cut_at:
        return pace
    return replace(pace, limit=min(float(most), pace.limit + 1 / pace.limit), refusals=0)
