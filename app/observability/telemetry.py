"""What the parts of the gateway measure with: its metrics, and the tracer if there is one."""

from collections.abc import Callable

from msgspec import Struct, field

from app.observability import metric_list
from app.observability.metrics import Metrics
from app.observability.operation_names import OperationNames
from app.observability.tracing import Tracer


class GatewayMetrics:
    """The metrics that parts of the gateway record. The others are observed (``Metrics.observe``).

    Args:
        operation_names: How many names of operations are shown, besides those of trusted documents.

    Attributes:
        registry: Where they are registered, and where numbers are observed.
        names: Chooses the names of operations that are shown.
    """

    def __init__(self, operation_names: int = 100) -> None:
        registry = self.registry = Metrics()
        self.names = OperationNames(operation_names)
        self.http_server = registry.histogram(metric_list.HTTP_SERVER_DURATION)
        self.http_client = registry.histogram(metric_list.HTTP_CLIENT_DURATION)
        self.graphql = registry.histogram(metric_list.GRAPHQL_DURATION)
        self.operations = registry.counter(metric_list.OPERATIONS)
        self.partial_operations = registry.counter(metric_list.PARTIAL_OPERATIONS)
        self.source_results = registry.counter(metric_list.SOURCE_RESULTS)
        self.source_calls = registry.counter(metric_list.SOURCE_CALLS)
        self.source_attempts = registry.counter(metric_list.SOURCE_ATTEMPTS)
        self.circuit_transitions = registry.counter(metric_list.CIRCUIT_TRANSITIONS)
        self.batch_keys = registry.histogram(metric_list.BATCH_KEYS)
        self.store = registry.histogram(metric_list.STORE_DURATION)
        self.store_lookups = registry.counter(metric_list.STORE_LOOKUPS)
        self.limit_refusals = registry.counter(metric_list.LIMIT_REFUSALS)
        self.authentication = registry.counter(metric_list.AUTHENTICATION_RESULTS)
        self.event_loop_lag = registry.histogram(metric_list.EVENT_LOOP_LAG)


class Telemetry(Struct, frozen=True):
    """What the parts of the gateway measure with.

    Attributes:
        metrics: The metrics. They are always counted, because that is cheap.
        tracer: Exports spans; ``None`` if traces are switched off.
        baggage: Whether the header ``baggage`` is sent on to sources.
        closers: Send what waits to be exported. They may wait for a collector.
    """

    metrics: GatewayMetrics = field(default_factory=GatewayMetrics)
    tracer: Tracer | None = None
    baggage: bool = True
    closers: tuple[Callable[[], None], ...] = ()
