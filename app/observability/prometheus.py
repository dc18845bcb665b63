"""Writes metrics for Prometheus: in its text format, or in OpenMetrics with exemplars.

Names become those that the specification "Prometheus and OpenMetrics Compatibility" of
OpenTelemetry says: dots become underscores, and the unit is a suffix.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as FamilyExemplar

from app.observability.metrics import Metric, MetricInfo, MetricKind, Point, Snapshot

_UNITS: Mapping[str, str] = {"s": "seconds", "By": "bytes"}
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]")

Bucket = tuple[str, float] | tuple[str, float, FamilyExemplar]


class Exposition(Struct, frozen=True):
    """Metrics as Prometheus reads them.

    Attributes:
        body: The metrics.
        media_type: The media type of the body.
    """

    body: bytes
    media_type: str


def exposition(snapshot: Snapshot, accept: str, target: Mapping[str, str]) -> Exposition:
    """Write metrics in the format that a client accepts.

    Args:
        snapshot: The metrics.
        accept: The header ``Accept``; OpenMetrics is only written for who asks for it.
        target: What the gateway is, for the metric ``target_info``: attributes by name.

    Returns:
        The metrics.
    """
    write, media_type = choose_encoder(accept)
    registry = CollectorRegistry()
    registry.register(_SnapshotCollector(snapshot, target))
    return Exposition(write(registry), media_type)


def prometheus_name(info: MetricInfo) -> str:
    """Return the name of a metric in Prometheus, without ``_total``, ``_bucket`` and the like.

    Args:
        info: The metric.

    Returns:
        The name.
    """
    name = _NOT_IN_NAMES.sub("_", info.name)
    unit = _UNITS.get(info.unit)
    return name if unit is None or name.endswith(f"_{unit}") else f"{name}_{unit}"


class _SnapshotCollector(Collector):
    """Collects the metrics of a snapshot."""

    def __init__(self, snapshot: Snapshot, target: Mapping[str, str]) -> None:
        self._snapshot = snapshot
        self._target = target

    def collect(self) -> Iterable[Family]:
        """Return the metrics as the library has them."""
        names = {_NOT_IN_NAMES.sub("_", name): value for name, value in self._target.items()}
        yield InfoMetricFamily("target", "What is measured.", value=names)
        for metric in self._snapshot.metrics:
            yield _family(metric)


def _family(metric: Metric) -> Family:
    """Convert a metric."""
    info = metric.info
    name = prometheus_name(info)
    labels = [_NOT_IN_NAMES.sub("_", one) for one in info.attributes]
    if info.kind is MetricKind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, info.description, labels=labels)
        for point in metric.points:
            histogram.add_metric(point.attributes, _buckets(info, point), point.value)
        return histogram
    of_kind = CounterMetricFamily if info.kind is MetricKind.COUNTER else GaugeMetricFamily
    family = of_kind(name, info.description, labels=labels)
    for point in metric.points:
        family.add_metric(point.attributes, point.value)
    return family


def _buckets(info: MetricInfo, point: Point) -> Sequence[Bucket]:
    """Return the cumulative buckets of a histogram, with their exemplars."""
    bounds = [*map(str, info.bounds), "+Inf"]
    buckets: list[Bucket] = []
    for place, (bound, count) in enumerate(zip(bounds, accumulate(point.buckets), strict=True)):
        exemplar = point.exemplars.get(place)
        if exemplar is None:
            buckets.append((bound, count))
        else:
            ids = {"trace_id": exemplar.trace_id, "span_id": exemplar.span_id}
            buckets.append((bound, count, FamilyExemplar(ids, exemplar.value, exemplar.time)))
    return buckets
