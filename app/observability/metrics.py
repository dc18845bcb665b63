"""Metrics: counts and durations of this process, as plain numbers.

They are counted here and exported by libraries (``prometheus.py``, ``otlp.py``). A record of the
OpenTelemetry SDK takes longer than fifty of these (``docs/decisions/0017-telemetry.md``). Names,
units and attributes follow the semantic conventions of OpenTelemetry.

Recording is plain code on the event loop's thread. A snapshot may be taken by any thread.
"""

import math
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field

from app.observability.trace_context import TraceContext

Attributes: TypeAlias = tuple[str, ...]
"""The values of a metric's attributes, in the order of ``MetricInfo.attributes``. An empty text
stands for an attribute that is not set."""

DURATION_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds of the buckets of durations, in seconds (semantic conventions, "HTTP metrics")."""


class MetricKind(StrEnum):
    """How the values of a metric behave."""

    COUNTER = "counter"
    """A sum that never decreases while the process lives."""
    GAUGE = "gauge"
    """A number that may go up and down."""
    HISTOGRAM = "histogram"
    """How many values fell into each bucket."""


class MetricInfo(BaseModel):
    """What a metric is."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    name: str = Field(description="Its name in OpenTelemetry.")
    kind: MetricKind = Field(description="How its values behave.")
    unit: str = Field(description="Its unit (UCUM); in braces, what is counted.")
    description: str = Field(description="What it says, in one sentence.")
    attributes: tuple[str, ...] = Field(default=(), description="Names of its attributes.")
    bounds: tuple[float, ...] = Field(
        default=(), description="Upper bounds of the buckets of a histogram, in ascending order."
    )


class Exemplar(BaseModel):
    """One recorded value, and the trace that it belongs to."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    value: float = Field(description="The value.")
    trace_id: str = Field(description="Id of the trace, 32 characters.")
    span_id: str = Field(description="Id of the span, 16 characters.")
    time: float = Field(description="When it was recorded, in seconds since 1970.")


class Point(BaseModel):
    """The value of a metric for one set of attributes."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    attributes: Attributes = Field(description="The values of the attributes.")
    value: float = Field(description="The number; for a histogram, the sum of all values.")
    buckets: tuple[int, ...] = Field(
        default=(), description="How many values are in each bucket; the last has no upper bound."
    )
    least: float = Field(default=0.0, description="The least value of a histogram.")
    most: float = Field(default=0.0, description="The greatest value of a histogram.")
    exemplars: dict[int, Exemplar] = Field(
        default_factory=dict[int, Exemplar],
        description="The last value that belongs to a sampled trace, by bucket.",
    )

    @property
    def count(self) -> int:
        """How many values a histogram has."""
        return sum(self.buckets)


class Metric(BaseModel):
    """A metric and its values."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    info: MetricInfo = Field(description="What it is.")
    points: tuple[Point, ...] = Field(description="Its values, one for each set of attributes.")


class Snapshot(BaseModel):
    """All metrics of a process at one moment."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    started: float = Field(description="Since when counters count, in seconds since 1970.")
    metrics: tuple[Metric, ...] = Field(description="The metrics.")


class Counter:
    """A sum for each set of attributes.

    Args:
        info: What it counts.
    """

    __slots__ = ("_values", "info")

    def __init__(self, info: MetricInfo) -> None:
        self.info = info
        self._values: dict[Attributes, float] = {}

    def add(self, count: float, *attributes: str) -> None:
        """Add to the sum.

        Args:
            count: How much, not negative.
            attributes: The values of the attributes. There must be few of them over time.
        """
        self._values[attributes] = self._values.get(attributes, 0) + count

    def points(self) -> Iterable[Point]:
        """Return the sums.

        Returns:
            A point for each set of attributes.
        """
        return [Point(attributes=key, value=value) for key, value in [*self._values.items()]]


class _Series(Struct):
    """The values of a histogram for one set of attributes."""

    buckets: list[int]
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    exemplars: dict[int, Exemplar] = {}


class Histogram:
    """Counts values by buckets, for each set of attributes.

    Args:
        info: What it measures, with the bounds of its buckets.
    """

    __slots__ = ("_bounds", "_series", "info")

    def __init__(self, info: MetricInfo) -> None:
        self.info = info
        self._bounds = info.bounds
        self._series: dict[Attributes, _Series] = {}

    def record(self, value: float, *attributes: str, trace: TraceContext | None = None) -> None:
        """Count a value.

        Args:
            value: The value, in the unit of the metric.
            attributes: The values of the attributes. There must be few of them over time.
            trace: The span that it belongs to, for an exemplar; ``None`` if no span is exported.
        """
        series = self._series.get(attributes)
        if series is None:
            series = self._series[attributes] = _Series([0] * (len(self._bounds) + 1))
        bucket = bisect_left(self._bounds, value)
        series.buckets[bucket] += 1
        series.total += value
        series.least = min(series.least, value)
        series.most = max(series.most, value)
        if trace is not None:
            series.exemplars[bucket] = Exemplar(
                value=value, trace_id=trace.trace_id, span_id=trace.span_id, time=time.time()
            )

    def points(self) -> Iterable[Point]:
        """Return the counts.

        Returns:
            A point for each set of attributes.
        """
        return [
            Point(
                attributes=key,
                value=series.total,
                buckets=(*series.buckets,),
                least=series.least,
                most=series.most,
                exemplars={**series.exemplars},
            )
            for key, series in [*self._series.items()]
        ]


Observation: TypeAlias = tuple[Attributes, float]
"""A number that an object holds already, and the values of the attributes."""

Observe: TypeAlias = Callable[[], Iterable[Observation]]
"""Reads numbers when a snapshot is taken."""


class Observations:
    """Numbers of objects that end before the process does.

    Args:
        metrics: The metrics that show them.
    """

    def __init__(self, metrics: "Metrics") -> None:
        self.read: list[tuple[MetricInfo, Observe]] = []
        self._metrics = metrics

    def observe(self, info: MetricInfo, read: Observe) -> None:
        """Read numbers that other objects hold, until the end of the context.

        Args:
            info: What the numbers are. Several functions may read numbers of one metric.
            read: Returns the numbers. It must be fast, and must not raise.
        """
        self.read.append((info, read))
        self._metrics.observe(info, read)


class Metrics:
    """The metrics of one process.

    Args:
        now: Returns the time, in seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._started = now()
        self._instruments: list[Counter | Histogram] = []
        self._observed: list[tuple[MetricInfo, Observe]] = []
        self._ended: dict[str, Counter] = {}
        self._changing = threading.Lock()

    def counter(self, info: MetricInfo) -> Counter:
        """Make a counter.

        Args:
            info: What it counts.

        Returns:
            The counter.
        """
        counter = Counter(info)
        self._instruments.append(counter)
        return counter

    def histogram(self, info: MetricInfo) -> Histogram:
        """Make a histogram.

        Args:
            info: What it measures, with the bounds of its buckets.

        Returns:
            The histogram.
        """
        histogram = Histogram(info)
        self._instruments.append(histogram)
        return histogram

    def observe(self, info: MetricInfo, read: Observe) -> None:
        """Read numbers that other objects hold, whenever a snapshot is taken.

        Args:
            info: What the numbers are. Several functions may read numbers of one metric.
            read: Returns the numbers. It must be fast, and must not raise.
        """
        self._observed.append((info, read))

    @contextmanager
    def observing(self) -> Generator[Observations]:
        """Observe objects until the end of a context.

        Yields:
            The observations. At the end the last values of counters are kept, because a sum must
            not decrease while the process lives.
        """
        observations = Observations(self)
        try:
            yield observations
        finally:
            with self._changing:  # a snapshot must have each count once
                for info, read in observations.read:
                    if info.kind is MetricKind.COUNTER:
                        ended = self._ended.setdefault(info.name, Counter(info))
                        for attributes, value in read():
                            ended.add(value, *attributes)
                    self._observed.remove((info, read))

    def snapshot(self) -> Snapshot:
        """Read all metrics.

        Returns:
            Their values now. Metrics without a value are left out.
        """
        with self._changing:
            instruments = [*self._instruments, *self._ended.values()]
            metrics = [Metric(info=one.info, points=(*one.points(),)) for one in instruments]
            for info, read in self._observed:
                points = tuple(Point(attributes=key, value=value) for key, value in read())
                metrics.append(Metric(info=info, points=points))
        return summed([Snapshot(started=self._started, metrics=tuple(metrics))])


def summed(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Add up the snapshots of several processes.

    Args:
        snapshots: At least one snapshot.

    Returns:
        One snapshot. Each number is the sum of the numbers with the same metric and attributes,
        also of gauges: a gauge of the gateway is an amount in each process. Of two exemplars, the
        later one is kept.
    """
    infos: dict[str, MetricInfo] = {}
    points: dict[str, dict[Attributes, Point]] = {}
    for snapshot in snapshots:
        for metric in snapshot.metrics:
            infos.setdefault(metric.info.name, metric.info)
            known = points.setdefault(metric.info.name, {})
            for point in metric.points:
                before = known.get(point.attributes)
                known[point.attributes] = point if before is None else _added(before, point)
    return Snapshot(
        started=min(snapshot.started for snapshot in snapshots),
        metrics=tuple(
            Metric(info=info, points=tuple(points[name].values()))
            for name, info in infos.items()
            if points[name]
        ),
    )


def _added(one: Point, other: Point) -> Point:
    """Add two points with the same attributes."""
    exemplars = sorted([*one.exemplars.items(), *other.exemplars.items()], key=_recorded_at)
    return Point(
        attributes=one.attributes,
        value=one.value + other.value,
        buckets=tuple(map(sum, zip(one.buckets, other.buckets, strict=True))),
        least=min(one.least, other.least),
        most=max(one.most, other.most),
        exemplars=dict(exemplars),
    )


def _recorded_at(item: tuple[int, Exemplar]) -> float:
    """Return when an exemplar was recorded."""
    return item[1].time


def lasting(snapshot: Snapshot) -> Snapshot:
    """Return what stays true of a process after its end: counters and histograms, not gauges.

    Args:
        snapshot: The last snapshot of the process.

    Returns:
        The snapshot without gauges.
    """
    kept = (one for one in snapshot.metrics if one.info.kind is not MetricKind.GAUGE)
    return snapshot.model_copy(update={"metrics": tuple(kept)})
