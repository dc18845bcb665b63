"""What the gateway measures in a test: its spans by the SDK, kept in memory, and its metrics."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link

from app.observability.metrics import Point
from app.observability.otlp_traces import OtlpTracer
from app.observability.telemetry import GatewayMetrics, Telemetry


@dataclass
class Recorded:
    """Telemetry that a test can read.

    Attributes:
        telemetry: What the gateway is given.
        exporter: Keeps the exported spans.
    """

    telemetry: Telemetry
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """All exported spans, in the order of their ends."""
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> Sequence[ReadableSpan]:
        """List the spans with a name."""
        return [span for span in self.spans if span.name == name]

    def tree(self) -> str:
        """Draw the spans as a tree: each line is a span, indented below its parent."""
        return "\n".join(self._lines(None, 0))

    def _lines(self, parent: int | None, depth: int) -> list[str]:
        """Draw the spans below one."""
        lines: list[str] = []
        known = {id_of(span) for span in self.spans}
        below = [
            span
            for span in self.spans
            if (parent is None and parent_of(span) not in known)
            or (parent is not None and parent_of(span) == parent)
        ]
        for span in sorted(below, key=lambda one: (one.start_time or 0, one.name)):
            events = "".join(f" *{event.name}" for event in span.events)
            lines.append("  " * depth + span.name + events)
            lines += self._lines(id_of(span), depth + 1)
        return lines

    def points(self, name: str) -> Mapping[tuple[str, ...], Point]:
        """Return the values of a metric by the values of its attributes."""
        snapshot = self.telemetry.metrics.registry.snapshot()
        found = [metric for metric in snapshot.metrics if metric.info.name == name]
        return {point.attributes: point for metric in found for point in metric.points}

    def values(self, name: str) -> Mapping[tuple[str, ...], float]:
        """Return the numbers of a counter or a gauge."""
        return {key: point.value for key, point in self.points(name).items()}

    def counts(self, name: str) -> Mapping[tuple[str, ...], int]:
        """Return how many values a histogram has."""
        return {key: point.count for key, point in self.points(name).items()}


def recorded(
    monotonic: Callable[[], float], *, traces: bool = True, operation_names: int = 100
) -> Recorded:
    """Make telemetry that a test can read."""
    exporter = InMemorySpanExporter()
    tracer = OtlpTracer(
        Resource.create(),
        monotonic=monotonic,
        version="test",
        processor=SimpleSpanProcessor(exporter),
    )
    return Recorded(
        Telemetry(GatewayMetrics(operation_names), tracer if traces else None), exporter
    )


def outlets_of_telemetry(recorded: Recorded) -> Iterator[tuple[str, str]]:
    """List where something comes out in spans and metrics, and what."""
    for span in recorded.spans:
        yield "span name", span.name
        yield "span status", str(span.status.description)
        owners: list[ReadableSpan | Event | Link] = [span, *span.events, *span.links]
        for owner in owners:
            for name, value in (owner.attributes or {}).items():
                yield f"span {name}", str(value)
        for event in span.events:
            yield "span event", event.name
    for metric in recorded.telemetry.metrics.registry.snapshot().metrics:
        for point in metric.points:
            for name, value in zip(metric.info.attributes, point.attributes, strict=True):
                yield f"metric {name}", value


def id_of(span: ReadableSpan) -> int:
    """Return the id of a span."""
    assert span.context is not None
    return int(span.context.span_id)


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of the parent of a span."""
    return None if span.parent is None else span.parent.span_id


def facts(span: ReadableSpan) -> Mapping[str, object]:
    """Return the attributes of a span."""
    return dict(span.attributes or {})
