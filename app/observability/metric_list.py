"""All metrics of the gateway. ``docs/operations/metrics.md`` lists the same.

Names, units and attributes follow the semantic conventions of OpenTelemetry for HTTP and for
processes, and the draft of the GraphQL working group (graphql/otel-wg, ``spec/metrics.yaml``). The
gateway's own names begin with ``gateway.``.

Each attribute has few values: names from the settings, codes, statuses. No word of a client is a
value, except for names of operations, whose number is bounded (``operation_names.py``).
"""

from app.observability.metrics import DURATION_BOUNDS, MetricInfo, MetricKind

SOURCE = "gateway.source"
"""The attribute with the name of a source, or of one of its endpoints (``billing.balance``)."""

ERROR = "error.type"
"""The attribute with the code of a failure; not set if nothing failed."""

LAG_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
STORE_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
KEY_BOUNDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)


def _counter(name: str, unit: str, description: str, *attributes: str) -> MetricInfo:
    """Describe a counter."""
    return MetricInfo(
        name=name,
        kind=MetricKind.COUNTER,
        unit=unit,
        description=description,
        attributes=attributes,
    )


def _gauge(name: str, unit: str, description: str, *attributes: str) -> MetricInfo:
    """Describe a gauge."""
    return MetricInfo(
        name=name,
        kind=MetricKind.GAUGE,
        unit=unit,
        description=description,
        attributes=attributes,
    )


def _histogram(
    name: str,
    unit: str,
    description: str,
    *attributes: str,
    bounds: tuple[float, ...] = DURATION_BOUNDS,
) -> MetricInfo:
    """Describe a histogram."""
    return MetricInfo(
        name=name,
        kind=MetricKind.HISTOGRAM,
        unit=unit,
        description=description,
        attributes=attributes,
        bounds=bounds,
    )


HTTP_SERVER_DURATION = _histogram(
    "http.server.request.duration",
    "s",
    "Duration of HTTP requests to the gateway.",
    "http.request.method",
    "url.scheme",
    "http.route",
    "http.response.status_code",
    ERROR,
)
HTTP_CLIENT_DURATION = _histogram(
    "http.client.request.duration",
    "s",
    "Duration of HTTP requests to sources; each attempt is one.",
    "http.request.method",
    "server.address",
    "server.port",
    "http.response.status_code",
    ERROR,
    SOURCE,
)
GRAPHQL_DURATION = _histogram(
    "graphql.server.request.duration",
    "s",
    "Duration of GraphQL operations. `error.type` is the code of the first error.",
    "graphql.operation.type",
    "graphql.operation.name",
    ERROR,
)
GRAPHQL_ACTIVE = _gauge(
    "graphql.server.active_requests", "{request}", "GraphQL operations that run now."
)
OPERATIONS = _counter(
    "gateway.operations",
    "{operation}",
    "Operations that were executed, by what rendered their answers: `compiled` or `executor`.",
    "gateway.renderer",
    "gateway.executor.reason",
)
PARTIAL_OPERATIONS = _counter(
    "gateway.operations.partial",
    "{operation}",
    "Operations that lost a source. One that lost two sources counts for each.",
    SOURCE,
    ERROR,
)
SOURCE_RESULTS = _counter(
    "gateway.source.results",
    "{result}",
    "Results of keys that a source was asked for.",
    SOURCE,
    ERROR,
)
SOURCE_CALLS = _counter(
    "gateway.source.calls",
    "{call}",
    "Calls to a source: one for each batch and page, however many attempts it took.",
    SOURCE,
    ERROR,
)
SOURCE_ATTEMPTS = _counter(
    "gateway.source.attempts",
    "{attempt}",
    "Attempts of calls: `first`, `retry` or `hedge`.",
    SOURCE,
    "gateway.attempt",
)
RETRY_BUDGET = _gauge(
    "gateway.retry_budget.remaining", "{retry}", "Retries that the budget allows now.", SOURCE
)
RETRY_USES = _counter(
    "gateway.retry_budget.uses",
    "{call}",
    "Extra calls that the budget allowed: retries, hedges, and halves of failed calls.",
    SOURCE,
)
RETRY_REFUSALS = _counter(
    "gateway.retry_budget.refusals",
    "{call}",
    "Extra calls that the budget did not allow: retries, hedges, and halves of failed calls.",
    SOURCE,
)
CIRCUIT_STATE = _gauge(
    "gateway.circuit.state",
    "{process}",
    "Processes whose circuit breaker is in this state: `closed`, `open` or `half-open`.",
    SOURCE,
    "gateway.circuit.state",
)
CIRCUIT_TRANSITIONS = _counter(
    "gateway.circuit.transitions",
    "{transition}",
    "Changes of a circuit breaker to this state.",
    SOURCE,
    "gateway.circuit.state",
    "gateway.circuit.reason",
)
PACE_STATE = _gauge(
    "gateway.pace.state",
    "{process}",
    "Processes whose rate pacing is in this state: `free`, `slowed` or `paused`.",
    SOURCE,
    "gateway.pace.state",
)
BULKHEAD_CALLS = _gauge(
    "gateway.bulkhead.calls", "{call}", "Calls that have a place in the bulkhead now.", SOURCE
)
BULKHEAD_WAITING = _gauge(
    "gateway.bulkhead.waiting", "{call}", "Calls that wait for a place in the bulkhead.", SOURCE
)
BULKHEAD_LIMIT = _gauge(
    "gateway.bulkhead.limit", "{call}", "Places of the bulkhead (`max_calls`).", SOURCE
)
BATCH_KEYS = _histogram(
    "gateway.batch.keys", "{key}", "Keys in a batch.", SOURCE, bounds=KEY_BOUNDS
)
COALESCED_KEYS = _counter(
    "gateway.coalesced.keys",
    "{key}",
    "Requested keys that were in flight already, for another request.",
    SOURCE,
)
ENTITY_CACHE_LOOKUPS = _counter(
    "gateway.entity_cache.lookups",
    "{key}",
    "Keys looked up in the entity cache: `hit`, `miss` or `stale`.",
    SOURCE,
    "gateway.cache.result",
)
ENTITY_CACHE_ENTRIES = _gauge(
    "gateway.entity_cache.entries", "{entry}", "Entries in the entity cache.", SOURCE
)
ENTITY_CACHE_EVICTIONS = _counter(
    "gateway.entity_cache.evictions",
    "{entry}",
    "Entries that were removed because the entity cache was full.",
    SOURCE,
)
STORE_DURATION = _histogram(
    "gateway.store.operation.duration",
    "s",
    "Duration of commands to the shared store, by what they are for. `error.type` is `timeout`,"
    " `connection`, `full`, `refused`, or `not_asked` if the circuit is open.",
    "gateway.store.operation",
    ERROR,
    bounds=STORE_BOUNDS,
)
STORE_LOOKUPS = _counter(
    "gateway.store.lookups",
    "{key}",
    "Keys looked up in the shared store: `hit`, `miss`, `unreadable`, or `unavailable` if the store"
    " did not answer in time. Documents have no source.",
    SOURCE,
    "gateway.cache.result",
)
STORE_CIRCUIT = _gauge(
    "gateway.store.circuit.state",
    "{process}",
    "Processes whose circuit breaker of the shared store is in this state: `closed`, `open` or"
    " `half-open`.",
    "gateway.circuit.state",
)
INVALIDATIONS = _counter(
    "gateway.cache.invalidations",
    "{invalidation}",
    "Invalidations of the entity cache that a process has carried out.",
)
DOCUMENT_CACHE_LOOKUPS = _counter(
    "gateway.document_cache.lookups",
    "{document}",
    "Documents looked up in the cache of prepared documents: `hit` or `miss`.",
    "gateway.cache.result",
)
DOCUMENT_CACHE_SIZE = _gauge(
    "gateway.document_cache.size", "By", "Bytes of all prepared documents, by estimate."
)
LIMIT_REFUSALS = _counter(
    "gateway.limit.refusals",
    "{request}",
    "Requests and operations that a limit refused, by the name of its setting.",
    "gateway.limit",
)
AUTHENTICATION_RESULTS = _counter(
    "gateway.authentication.results",
    "{request}",
    "Requests by their caller: `known`, `anonymous`, `router`, `refused`, or `unavailable` if the"
    " keys were not there.",
    "gateway.authentication.result",
)
EVENT_LOOP_LAG = _histogram(
    "gateway.event_loop.lag",
    "s",
    "How much later than due the event loop ran a timer.",
    bounds=LAG_BOUNDS,
)
FASTPATHS = _gauge(
    "gateway.fastpath.in_use", "{process}", "Processes that use this fast path.", "gateway.fastpath"
)
WORKERS = _gauge("gateway.workers", "{process}", "Processes that report metrics.")
WORKERS_HANGING = _gauge(
    "gateway.workers.hanging", "{process}", "Processes that have not reported for 10 s."
)
WORKER_DEATHS = _counter(
    "gateway.worker.deaths",
    "{process}",
    "Processes that ended though they should run, by the signal or the exit code.",
    "gateway.worker.reason",
)
RELOADS = _counter(
    "gateway.reloads",
    "{reload}",
    "Reloads of the settings: `reloaded` or `refused`.",
    "gateway.reload.outcome",
)
CPU_TIME = _counter(
    "process.cpu.time", "s", "CPU seconds of the processes: `user` or `system`.", "cpu.mode"
)
MEMORY_USAGE = _gauge("process.memory.usage", "By", "Resident memory of the processes.")

ALL_METRICS: tuple[MetricInfo, ...] = (
    HTTP_SERVER_DURATION,
    HTTP_CLIENT_DURATION,
    GRAPHQL_DURATION,
    GRAPHQL_ACTIVE,
    OPERATIONS,
    PARTIAL_OPERATIONS,
    SOURCE_RESULTS,
    SOURCE_CALLS,
    SOURCE_ATTEMPTS,
    RETRY_BUDGET,
    RETRY_USES,
    RETRY_REFUSALS,
    CIRCUIT_STATE,
    CIRCUIT_TRANSITIONS,
    PACE_STATE,
    BULKHEAD_CALLS,
    BULKHEAD_WAITING,
    BULKHEAD_LIMIT,
    BATCH_KEYS,
    COALESCED_KEYS,
    ENTITY_CACHE_LOOKUPS,
    ENTITY_CACHE_ENTRIES,
    ENTITY_CACHE_EVICTIONS,
    STORE_DURATION,
    STORE_LOOKUPS,
    STORE_CIRCUIT,
    INVALIDATIONS,
    DOCUMENT_CACHE_LOOKUPS,
    DOCUMENT_CACHE_SIZE,
    LIMIT_REFUSALS,
    AUTHENTICATION_RESULTS,
    EVENT_LOOP_LAG,
    FASTPATHS,
    WORKERS,
    WORKERS_HANGING,
    WORKER_DEATHS,
    RELOADS,
    CPU_TIME,
    MEMORY_USAGE,
)
"""All metrics, in the order in which they are listed."""
