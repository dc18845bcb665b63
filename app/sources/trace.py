"""What a request, a batch or a call did at the sources. All times are ``clock.monotonic()``."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from app.errors import Code, SourceFailure
from app.resilience.breaker import BreakerState
from app.resilience.pace import PaceState
from app.resilience.pipeline import PipelineResult
from app.resilience.steps import CallStep
from app.sources.cache.lifetime import SeenResponse


class CallTrace(Struct, frozen=True):
    """What one call did.

    Attributes:
        keys: Number of requested keys.
        started: When it was handed to the resilience pipeline.
        ended: When its result was there.
        steps: Its attempts, and the waits before them.
        code: Code of its failure; ``None`` if it did not fail.
    """

    keys: int
    started: float
    ended: float
    steps: Sequence[CallStep]
    code: Code | None


class SourceTrace(Struct):
    """What one request, batch or call did at one source.

    Attributes:
        calls: Number of calls: one for each batch and page.
        attempts: Number of attempts of these calls, retries included.
        keys: Number of requested keys.
        started: When the first call began, by ``clock.monotonic()``.
        ended: When the last call ended, by ``clock.monotonic()``.
        code: Code of the last failure; ``None`` if there was none.
        circuit: State of the circuit breaker after the last call.
        pace: State of the rate pacing after the last call.
        stale: Age in seconds of the oldest stale record that was used; ``None`` if none was.
        cached: Number of keys that the entity cache had.
        coalesced: Number of keys that another request's batch fetched.
        timeline: What the calls did. Of a shared batch, each of its requests has the same calls.
        seen: The responses whose data was used, with their cache headers. One that had several keys
            may be there several times.
    """

    calls: int = 0
    attempts: int = 0
    keys: int = 0
    started: float | None = None
    ended: float = 0.0
    code: Code | None = None
    circuit: str | None = None
    pace: str | None = None
    stale: float | None = None
    cached: int = 0
    coalesced: int = 0
    timeline: list[CallTrace] = []
    seen: list[SeenResponse] = []

    @property
    def seconds(self) -> float:
        """Seconds from the start of the first call to the end of the last; 0 without calls."""
        return 0.0 if self.started is None else self.ended - self.started

    @property
    def status(self) -> str:
        """The result in one word: ``stale``, ``failed`` or ``ok``."""
        if self.stale is not None:
            return "stale"
        return "failed" if self.code is not None else "ok"

    def add(self, later: "SourceTrace") -> None:
        """Add what a later call did.

        Args:
            later: The trace of the call. It is not changed.
        """
        self.calls += later.calls
        self.attempts += later.attempts
        self.keys += later.keys
        if self.started is None or (later.started is not None and later.started < self.started):
            self.started = later.started
        self.ended = max(self.ended, later.ended)
        self.code = later.code or self.code
        self.circuit = later.circuit or self.circuit
        self.pace = later.pace or self.pace
        if later.stale is not None:
            self.stale = max(self.stale or 0.0, later.stale)
        self.cached += later.cached
        self.coalesced += later.coalesced
        self.timeline += later.timeline
        self.seen += later.seen


def trace_of_call(
    result: PipelineResult[Any],
    *,
    keys: int,
    started: float,
    ended: float,
    circuit: BreakerState,
    pace: PaceState,
) -> SourceTrace:
    """Make the trace of one call.

    Args:
        result: What the resilience pipeline returned.
        keys: Number of requested keys.
        started: When the call was handed to the pipeline.
        ended: When its result was there.
        circuit: State of the circuit breaker after it.
        pace: State of the rate pacing after it.

    Returns:
        The trace.
    """
    answer = result.answer
    code = answer.code if isinstance(answer, SourceFailure) else None
    return SourceTrace(
        calls=1,
        attempts=result.attempts,
        keys=keys,
        started=started,
        ended=ended,
        code=code,
        circuit=str(circuit),  # faster than ``.value``
        pace=str(pace),
        timeline=[CallTrace(keys, started, ended, result.steps, code)],
    )


class Trace(Struct, frozen=True):
    """What one request did at each source.

    Attributes:
        sources: The traces by name of the source, in the order of their first calls.
    """

    sources: dict[str, SourceTrace] = {}

    def add(self, name: str, later: SourceTrace) -> None:
        """Add what the request did at a source.

        Args:
            name: Name of the source.
            later: What it did. It belongs to this trace from now on.
        """
        known = self.sources.get(name)
        if known is None:
            self.sources[name] = later
        else:
            known.add(later)
