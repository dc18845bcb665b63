"""What a response reports of its sources, in ``extensions`` and in ``Server-Timing``. Pure.

All times of a report are in milliseconds, and moments count from the start of the operation.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from app.resilience.pace import PaceState
from app.resilience.steps import CallStep
from app.sources.trace import CallTrace, SourceTrace, Trace


class _Report(BaseModel):
    """Base of the parts of a report. Their names are public."""

    model_config = ConfigDict(
        defer_build=True, frozen=True, alias_generator=to_camel, validate_by_name=True
    )


class StepReport(_Report):
    """A step of a call."""

    kind: str = Field(
        description="`attempt` or `hedge` (the service was called); or a wait: `backoff` (before a"
        " retry), `pacing` (by the service's rate limit), `bulkhead` (for a place)."
    )
    start_ms: float = Field(description="When it began.")
    ms: float = Field(description="How long it took.")
    code: str | None = Field(default=None, description="The code of its failure.")


class CallReport(_Report):
    """A call to a source. Several requests may share it."""

    keys: int = Field(description="How many keys it asked for.")
    start_ms: float = Field(
        description="When it began; below zero if another request began it before this one came."
    )
    ms: float = Field(description="How long it took, with all its steps.")
    code: str | None = Field(default=None, description="The code of its failure.")
    steps: list[StepReport] = Field(description="Its attempts, and the waits before them.")


class SourceReport(_Report):
    """What became of the request at one source."""

    status: str = Field(description="`ok`, `failed` or `stale`.")
    code: str | None = Field(default=None, description="The code of the last failure.")
    calls: int | None = Field(default=None, description="How many calls this request began.")
    keys: int | None = Field(default=None, description="How many keys were asked for.")
    cached: int | None = Field(default=None, description="How many of them the cache had.")
    coalesced: int | None = Field(
        default=None, description="How many of them were in calls that another request began."
    )
    attempts: int | None = Field(
        default=None, description="How many attempts its calls took, retries included."
    )
    start_ms: float | None = Field(
        default=None, description="When the source was asked; missing if the cache had all keys."
    )
    ms: float | None = Field(default=None, description="How long it took, waits included.")
    circuit: str | None = Field(default=None, description="The state of its circuit breaker.")
    pace: str | None = Field(
        default=None, description="The state of its rate pacing, unless it is free."
    )
    age_ms: int | None = Field(default=None, description="The age of a stale record.")
    timeline: list[CallReport] | None = Field(default=None, description="The calls.")


class RequestReport(_Report):
    """The times of the operation."""

    ms: float = Field(description="How long it took until its answer was ready.")
    deadline_ms: float | None = Field(
        default=None, description="When it has to be answered at the latest."
    )


class OperationTimes(Struct):
    """The times of an operation, by ``clock.monotonic()``.

    Attributes:
        started: When it began.
        deadline: When it has to be answered; ``None`` if there is no limit.
        planning: When it began to be planned; ``None`` if it was refused before.
        executing: When it began to be executed; ``None`` if it was refused before.
        ended: When its answer was ready.
    """

    started: float
    deadline: float | None
    planning: float | None = None
    executing: float | None = None
    ended: float = 0.0

    def since_start(self, moment: float) -> float:
        """Return the milliseconds from the start to a moment."""
        return round((moment - self.started) * 1000, 2)


def extensions_of(
    trace: Trace, times: OperationTimes, *, report_sources: bool
) -> Mapping[str, object] | None:
    """Return the ``extensions`` that report the sources.

    Args:
        trace: What became of the request at each source.
        times: The times of the operation.
        report_sources: Whether to report everything. Stale records are always reported, since a
            client should know that it shows old values.

    Returns:
        The answer's ``extensions``; ``None`` if there is nothing to report.
    """
    if not report_sources:
        stale = {
            name: _written(SourceReport(status=source.status, age_ms=int(source.stale * 1000)))
            for name, source in trace.sources.items()
            if source.stale is not None
        }
        return {"sources": stale} if stale else None
    reports = {name: _written(_report(source, times)) for name, source in trace.sources.items()}
    deadline = None if times.deadline is None else times.since_start(times.deadline)
    request = RequestReport(ms=times.since_start(times.ended), deadline_ms=deadline)
    return {"request": _written(request), **({"sources": reports} if reports else {})}


def timings_of(trace: Trace) -> Mapping[str, float]:
    """Return how long each source took.

    Args:
        trace: What became of the request at each source.

    Returns:
        Seconds, by name of the source.
    """
    return {name: source.seconds for name, source in trace.sources.items()}


def _written(report: _Report) -> Mapping[str, object]:
    """Return a report as JSON values, without what is not known."""
    return report.model_dump(by_alias=True, exclude_none=True)


def _report(source: SourceTrace, times: OperationTimes) -> SourceReport:
    """Make the report of one source."""
    return SourceReport(
        status=source.status,
        code=source.code,
        calls=source.calls,
        keys=source.keys,
        cached=source.cached or None,
        coalesced=source.coalesced or None,
        attempts=source.attempts,
        start_ms=None if source.started is None else times.since_start(source.started),
        ms=round(source.seconds * 1000, 2),
        circuit=source.circuit,
        pace=None if source.pace == PaceState.FREE else source.pace,
        age_ms=None if source.stale is None else int(source.stale * 1000),
        timeline=[_call(one, times) for one in source.timeline],
    )


def _call(call: CallTrace, times: OperationTimes) -> CallReport:
    """Make the report of one call."""
    return CallReport(
        keys=call.keys,
        start_ms=times.since_start(call.started),
        ms=round((call.ended - call.started) * 1000, 2),
        code=call.code,
        steps=_steps(call.steps, times),
    )


def _steps(steps: Sequence[CallStep], times: OperationTimes) -> list[StepReport]:
    """Make the reports of the steps of a call."""
    return [
        StepReport(
            kind=step.kind,
            start_ms=times.since_start(step.started),
            ms=round((step.ended - step.started) * 1000, 2),
            code=step.code,
        )
        for step in steps
    ]
