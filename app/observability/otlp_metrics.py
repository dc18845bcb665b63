"""Exports metrics by OTLP over HTTP, as the standard variables of OpenTelemetry say.

The metrics are counted in ``metrics.py``. Here a thread takes a snapshot of them at intervals, and
hands it to the SDK's exporter. It is a thread because the exporter waits for the collector.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    DataT,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from app.observability.metrics import Metric as OwnMetric
from app.observability.metrics import MetricInfo, MetricKind, Point, Snapshot
from app.observability.otlp_resource import SERVICE

_CUMULATIVE = AggregationTemporality.CUMULATIVE


class OtlpMetrics:
    """Sends snapshots to a collector at intervals.

    Args:
        snapshot: Takes a snapshot.
        resource: What the gateway is, for the collector.
        version: The version of the gateway.
        seconds: The interval.
        exporter: Sends metrics; by default by OTLP over HTTP.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        resource: Resource,
        *,
        version: str,
        seconds: float,
        exporter: MetricExporter | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._resource = resource
        self._scope = InstrumentationScope(SERVICE, version)
        self._seconds = seconds
        self._exporter = exporter or OTLPMetricExporter()
        self._closing = threading.Event()
        # A daemon: a collector that does not answer must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="otlp metrics", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """Send a snapshot at each interval, and one at the end."""
        while not self._closing.wait(self._seconds):
            self._send()
        self._send()
        self._exporter.shutdown()  # pyright: ignore[reportUnknownMemberType] # takes anything

    def _send(self) -> None:
        """Send a snapshot. The exporter logs what goes wrong."""
        data = metrics_data(self._snapshot(), self._resource, self._scope)
        self._exporter.export(data)  # pyright: ignore[reportUnknownMemberType] # takes anything

    def close(self) -> None:
        """Send a last snapshot, and end the thread. It may wait for the collector."""
        self._closing.set()
        self._thread.join()


def metrics_data(
    snapshot: Snapshot, resource: Resource, scope: InstrumentationScope
) -> MetricsData:
    """Convert a snapshot to the data model of the SDK.

    Args:
        snapshot: The snapshot.
        resource: What the gateway is.
        scope: The name and version of the gateway.

    Returns:
        The same metrics. Counters and histograms are cumulative since the start of the process.
    """
    start, now = round(snapshot.started * 1e9), time.time_ns()
    metrics = [_metric(one, start, now) for one in snapshot.metrics]
    scoped = ScopeMetrics(scope, metrics, "")
    return MetricsData([ResourceMetrics(resource, [scoped], "")])


def _metric(metric: OwnMetric, start: int, now: int) -> Metric:
    """Convert a metric."""
    info, data = metric.info, _data(metric, start, now)
    return Metric(info.name, info.description, info.unit, data)


def _data(metric: OwnMetric, start: int, now: int) -> DataT:
    """Convert the points of a metric."""
    info, points = metric.info, metric.points
    if info.kind is MetricKind.HISTOGRAM:
        return Histogram([_histogram(info, one, start, now) for one in points], _CUMULATIVE)
    numbers = [NumberDataPoint(_attributes(info, one), start, now, one.value) for one in points]
    if info.kind is MetricKind.GAUGE:
        return Gauge(numbers)
    return Sum(numbers, _CUMULATIVE, is_monotonic=True)


def _histogram(info: MetricInfo, point: Point, start: int, now: int) -> HistogramDataPoint:
    """Convert a point of a histogram."""
    return HistogramDataPoint(
        _attributes(info, point),
        start,
        now,
        point.count,
        point.value,
        point.buckets,
        info.bounds,
        point.least,
        point.most,
        _exemplars(point),
    )


def _attributes(info: MetricInfo, point: Point) -> Mapping[str, str]:
    """Return the attributes that are set."""
    pairs = zip(info.attributes, point.attributes, strict=True)
    return {name: value for name, value in pairs if value}


def _exemplars(point: Point) -> Sequence[SdkExemplar]:
    """Convert the exemplars of a point."""
    return [
        SdkExemplar(
            {}, one.value, round(one.time * 1e9), int(one.span_id, 16), int(one.trace_id, 16)
        )
        for one in point.exemplars.values()
    ]
