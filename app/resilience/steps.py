"""What a call through the resilience pipeline did, step by step. Data for traces and reports."""

from enum import StrEnum

from msgspec import Struct

from app.errors import Code

SHORTEST_WAIT = 0.001
"""The shortest wait that is a step, in seconds. Shorter ones are the time of the event loop."""


class StepKind(StrEnum):
    """What a step of a call is."""

    ATTEMPT = "attempt"
    """The service was called."""
    HEDGE = "hedge"
    """The service was called once more, while an attempt took long."""
    BACKOFF = "backoff"
    """The wait before a retry."""
    PACING = "pacing"
    """The wait for the turn that the service's rate limit allows."""
    BULKHEAD = "bulkhead"
    """The wait for a place, as too many calls were in flight."""


class CallStep(Struct):
    """One step of a call. All times are ``clock.monotonic()``.

    Attributes:
        kind: What it is.
        started: When it began.
        ended: When it ended; equal to ``started`` while it runs.
        code: Why it failed; ``None`` if it did not.
    """

    kind: StepKind
    started: float
    ended: float
    code: Code | None = None
