"""What metrics read of a resilience pipeline whenever a snapshot is taken."""

from app.observability import metric_list
from app.observability.metrics import Observation, Observations
from app.resilience.breaker import BreakerState
from app.resilience.pace import PaceState
from app.resilience.pipeline import ResiliencePipeline


def observe_pipeline(metrics: Observations, source: str, pipeline: ResiliencePipeline) -> None:
    """Let metrics read the state of a pipeline: circuit, pace, bulkhead, budget of retries.

    Args:
        metrics: Where they are observed.
        source: Name of the source.
        pipeline: The pipeline.
    """

    def circuit() -> list[Observation]:
        return [((source, one.value), float(pipeline.state is one)) for one in BreakerState]

    def pace() -> list[Observation]:
        return [((source, one.value), float(pipeline.pace_state is one)) for one in PaceState]

    bulkhead = pipeline.bulkhead
    metrics.observe(metric_list.CIRCUIT_STATE, circuit)
    metrics.observe(metric_list.PACE_STATE, pace)
    metrics.observe(metric_list.BULKHEAD_CALLS, lambda: [((source,), bulkhead.running)])
    metrics.observe(metric_list.BULKHEAD_WAITING, lambda: [((source,), bulkhead.waiting)])
    metrics.observe(metric_list.BULKHEAD_LIMIT, lambda: [((source,), bulkhead.limit)])
    budget = pipeline.retry_budget
    metrics.observe(metric_list.RETRY_BUDGET, lambda: [((source,), budget.remaining)])
    metrics.observe(metric_list.RETRY_USES, lambda: [((source,), budget.allowed)])
    metrics.observe(metric_list.RETRY_REFUSALS, lambda: [((source,), budget.refused)])
