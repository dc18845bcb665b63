"""Opens the export of traces and metrics that the variables of OpenTelemetry switch on.

The SDK is only imported if a variable switches it on, because that takes a third of a second.
"""

import os
import threading
from collections.abc import Callable, Generator, MutableMapping
from contextlib import contextmanager

from app.observability.metrics import Snapshot
from app.observability.otlp_variables import OtlpSettings
from app.observability.telemetry import GatewayMetrics, Telemetry


def open_telemetry(
    settings: OtlpSettings,
    metrics: GatewayMetrics,
    *,
    version: str,
    monotonic: Callable[[], float],
) -> Telemetry:
    """Open what exports traces and metrics. Each runs in a thread of its own.

    Args:
        settings: What is switched on.
        metrics: The metrics of this process.
        version: The version of the gateway.
        monotonic: Returns the time of spans, in seconds from any moment.

    Returns:
        What the gateway measures with. Its ``close`` sends what waits.
    """
    if not settings.traces and not settings.metrics:
        return Telemetry(metrics, baggage=settings.baggage)
    _unset_empty(os.environ)
    from app.observability.otlp_resource import gateway_resource  # noqa: PLC0415 # it is slow

    resource = gateway_resource(version)
    tracer = exports = None
    if settings.traces:
        from app.observability.otlp_traces import OtlpTracer  # noqa: PLC0415 # it is slow

        tracer = OtlpTracer(resource, monotonic=monotonic, version=version)
    if settings.metrics:
        from app.observability.otlp_metrics import OtlpMetrics  # noqa: PLC0415 # it is slow

        exports = OtlpMetrics(
            metrics.registry.snapshot, resource, version=version, seconds=settings.metrics_every
        )
    closers = tuple(one.close for one in (tracer, exports) if one is not None)
    return Telemetry(metrics, tracer, baggage=settings.baggage, closers=closers)


CLOSE_WITHIN = 2.0
"""Seconds in which the last metrics of a supervisor have to be sent."""


@contextmanager
def exporting_metrics(
    settings: OtlpSettings, snapshot: Callable[[], Snapshot], *, version: str
) -> Generator[None]:
    """Export metrics of a process that has no gateway: of the supervisor, for example.

    Args:
        settings: What is switched on.
        snapshot: Takes a snapshot of the metrics.
        version: The version of the gateway.

    Yields:
        Nothing. They are exported meanwhile.
    """
    if not settings.metrics:
        yield
        return
    _unset_empty(os.environ)
    from app.observability.otlp_metrics import OtlpMetrics  # noqa: PLC0415 # it is slow
    from app.observability.otlp_resource import gateway_resource  # noqa: PLC0415 # it is slow

    exports = OtlpMetrics(
        snapshot, gateway_resource(version), version=version, seconds=settings.metrics_every
    )
    try:
        yield
    finally:
        # A daemon: a collector that does not answer must not keep the process alive.
        closing = threading.Thread(target=exports.close, name="telemetry", daemon=True)
        closing.start()
        closing.join(CLOSE_WITHIN)


def _unset_empty(environ: MutableMapping[str, str]) -> None:
    """Remove empty variables: they count as not set, but the SDK fails to read some of them."""
    for name in [name for name in environ if name.startswith("OTEL_")]:
        if not environ[name].strip():
            del environ[name]
