"""The resilience pipeline of a source: it is opened here, and its circuit and pace are reported."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from structlog.typing import FilteringBoundLogger

from app.observability.telemetry import GatewayMetrics
from app.resilience.breaker import BreakerState, CallCounts, StateChange
from app.resilience.clock import Clock
from app.resilience.observation import observe_pipeline
from app.resilience.pacer import Slowdown
from app.resilience.pipeline import ResiliencePipeline
from app.resilience.retry import Chance
from app.settings.resilience import BreakerSettings
from app.settings.source import SourceSettings


@contextmanager
def open_pipeline(
    name: str,
    settings: SourceSettings,
    *,
    clock: Clock,
    chance: Chance,
    log: FilteringBoundLogger,
    metrics: GatewayMetrics,
) -> Generator[ResiliencePipeline]:
    """Make the resilience pipeline of a source, and show its state until the end of the context.

    Args:
        name: Name of the source.
        settings: Settings of the source.
        clock: The clock.
        chance: Random numbers for the jitter of retries.
        log: Where changes of the circuit and slowdowns are logged.
        metrics: Where changes of the circuit are counted, and its state is shown.

    Yields:
        The pipeline.
    """
    breaker = settings.breaker

    def report(change: StateChange) -> None:
        metrics.circuit_transitions.add(1, name, change.after.value, change.reason.value)
        (log.warning if change.after is BreakerState.OPEN else log.info)(
            "source.circuit",
            source=name,
            before=change.before.value,
            state=change.after.value,
            reason=change.reason.value,
            **({} if change.counts is None else _counts_of(change.counts, breaker)),
            **({} if change.open_for is None else {"open_for_s": round(change.open_for, 3)}),
        )

    def report_pace(slowdown: Slowdown) -> None:
        log.warning(
            "source.paced",
            source=name,
            max_calls=slowdown.limit,
            pause_s=round(slowdown.pause, 3),
            signals=slowdown.signals,
        )

    pipeline = ResiliencePipeline(
        name, settings, clock=clock, chance=chance, on_change=report, on_slow=report_pace
    )
    with metrics.registry.observing() as observations:
        observe_pipeline(observations, name, pipeline)
        yield pipeline


def _counts_of(counts: CallCounts, settings: BreakerSettings) -> Mapping[str, object]:
    """Return the log fields that say why a circuit opened: what was counted, and the thresholds."""
    return {
        "calls": counts.calls,
        "failures": counts.failed,
        "codes": {code.value: count for code, count in counts.failures.items()},
        "slow_calls": counts.slow,
        "window_s": settings.window,
        "min_calls": settings.min_calls,
        "failure_rate": settings.failure_rate,
        "slow_rate": settings.slow_rate,
    }
