"""Exports spans by the OpenTelemetry SDK, as its standard variables say.

The SDK's own spans begin when a step begins. A span here is made when its step is over, because
only then it is known whether it is worth its cost; and its id was sent to a source before. So the
SDK gets the ids and both times from here. Only public interfaces of the SDK are used.

The SDK sends spans in a thread of its own. A collector that is slow or down costs spans, and never
a request.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import SpanKind as SdkKind

from app.observability.otlp_resource import SERVICE
from app.observability.trace_context import TraceContext, new_span_id, new_trace_id
from app.observability.tracing import Span, SpanAttributes, SpanKind

_KINDS: Mapping[SpanKind, SdkKind] = {
    SpanKind.SERVER: SdkKind.SERVER,
    SpanKind.CLIENT: SdkKind.CLIENT,
    SpanKind.INTERNAL: SdkKind.INTERNAL,
}


class _GivenIds(IdGenerator):
    """Gives the SDK the ids of the span that is exported now."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 1

    def generate_trace_id(self) -> int:
        """Return the id of the trace."""
        return self.trace_id

    def generate_span_id(self) -> int:
        """Return the id of the span."""
        return self.span_id


class OtlpTracer:
    """Exports spans to a collector. A ``Tracer``.

    Args:
        resource: What the gateway is, for the collector.
        monotonic: Returns the time of the spans, in seconds from any moment.
        version: The version of the gateway.
        processor: What spans are handed to; by default, batches that are sent by OTLP over HTTP.
    """

    def __init__(
        self,
        resource: Resource,
        *,
        monotonic: Callable[[], float],
        version: str,
        processor: SpanProcessor | None = None,
    ) -> None:
        # The variables of the sampler are read by the SDK.
        self._sampler = TracerProvider(resource=resource, shutdown_on_exit=False).sampler
        self._ids = _GivenIds()
        self._monotonic = monotonic
        self._provider = TracerProvider(
            # ``begin`` has decided already.
            sampler=ALWAYS_ON,
            resource=resource,
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SERVICE, version)

    def begin(
        self, parent: TraceContext | None, name: str, attributes: SpanAttributes
    ) -> TraceContext:
        """Begin the first span of a request, and decide whether its trace is recorded.

        Args:
            parent: The span of the caller; ``None`` if the caller has none.
            name: The name of the span.
            attributes: What the sampler may depend on.

        Returns:
            The context of the new span, with the sampler's decision in its flags.
        """
        trace_id = new_trace_id() if parent is None else parent.trace_id
        decision = self._sampler.should_sample(
            _context_with(parent), int(trace_id, 16), name, SdkKind.SERVER, attributes
        )
        is_sampled = decision.decision is Decision.RECORD_AND_SAMPLE
        state = decision.trace_state.to_header() if decision.trace_state else None
        return TraceContext(
            f"00-{trace_id}-{new_span_id()}-{is_sampled:02x}",
            state or (None if parent is None else parent.tracestate),
            exported=is_sampled,
        )

    def export(self, span: Span) -> None:
        """Hand a span to the SDK, which sends it later. It does not wait.

        Args:
            span: The span.
        """
        # A monotonic time has no date. Its distance to now gives the date.
        now_ns, now = time.time_ns(), self._monotonic()

        def at(moment: float) -> int:
            return now_ns - round((now - moment) * 1e9)

        self._ids.trace_id = int(span.context.trace_id, 16)
        self._ids.span_id = int(span.context.span_id, 16)
        attributes = dict(span.attributes)
        if span.error is not None:
            attributes["error.type"] = span.error
        exported = self._tracer.start_span(
            span.name,
            _context_with(span.parent),
            _KINDS[span.kind],
            attributes,
            _links(span.links),
            at(span.started),
        )
        for event in span.events:
            exported.add_event(event.name, event.attributes, at(event.at))
        if span.error is not None:
            exported.set_status(Status(StatusCode.ERROR))
        exported.end(at(span.ended))

    def close(self) -> None:
        """Send the waiting spans, and end the thread. It may wait for the collector."""
        self._provider.shutdown()


def _context_with(span: TraceContext | None) -> Context:
    """Return the SDK's context with a span as the parent."""
    empty = Context()
    if span is None:
        return empty
    return set_span_in_context(NonRecordingSpan(_sdk_context(span)), empty)


def _sdk_context(span: TraceContext) -> SpanContext:
    """Return the context of a span as the SDK has it."""
    state = TraceState.from_header([span.tracestate]) if span.tracestate else TraceState()
    flags = TraceFlags(TraceFlags.SAMPLED if span.is_sampled else TraceFlags.DEFAULT)
    trace_id, span_id = int(span.trace_id, 16), int(span.span_id, 16)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags, trace_state=state)


def _links(spans: Sequence[TraceContext]) -> Sequence[Link]:
    """Return links to spans."""
    return [Link(_sdk_context(span)) for span in spans]
