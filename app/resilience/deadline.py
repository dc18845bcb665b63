"""How long a request may still take."""

import re

from app.readonly import readonly
from app.resilience.clock import Clock

_DURATION = re.compile(r"(\d{1,9})(?:\.(\d{1,3}))?(ms|s)", re.ASCII)


@readonly(frozen=True, slots=True)
class Deadline:
    """The moment by which a request has to be answered.

    Attributes:
        at: That moment, by the clock's ``monotonic``.
        clock: Tells the time.
    """

    at: float
    clock: Clock

    @property
    def remaining(self) -> float:
        """Seconds that are left; negative when it has passed."""
        return self.at - self.clock.monotonic()


def read_duration(text: str) -> float | None:
    """Read a duration as it stands in a header.

    Args:
        text: Such as ``800ms`` or ``1.5s``.

    Returns:
        Seconds, or ``None`` when it is no duration or no time at all.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        return None
    whole, fraction, unit = match.groups()
    seconds = float(f"{whole}.{fraction or 0}") / (1000 if unit == "ms" else 1)
    return seconds or None


def write_duration(seconds: float) -> str:
    """Write a duration for a header.

    Args:
        seconds: The duration, 0 or more.

    Returns:
        Whole milliseconds, at least one, such as ``800ms``.
    """
    return f"{max(1, int(seconds * 1000))}ms"
