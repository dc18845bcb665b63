"""What calls to a source add to metrics and traces.

A call through the resilience pipeline is a span, with an event for each wait and refusal. Each of
its attempts is a span below it, which the service can continue. A batch is a span above it.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from app.errors import Code, SourceFailure
from app.observability.telemetry import Telemetry
from app.observability.trace_context import TraceContext
from app.observability.tracing import Span, SpanAttributes, SpanEvent, SpanKind
from app.resilience.steps import CallStep, StepKind
from app.sources.trace import CallTrace

_ATTEMPT, _HEDGE = StepKind.ATTEMPT, StepKind.HEDGE

MAX_LINKS = 100
"""The most links of one span; a batch may serve more requests."""

_EVENTS: Final = {
    StepKind.HEDGE: "gateway.hedge",
    StepKind.BACKOFF: "gateway.retry",
    StepKind.PACING: "gateway.pacing.wait",
    StepKind.BULKHEAD: "gateway.bulkhead.wait",
}
"""The events of a call's span, by the steps of the call."""

_REFUSED: Final = {
    Code.SOURCE_CIRCUIT_OPEN: "gateway.circuit.refused",
    Code.SOURCE_OVERLOADED: "gateway.bulkhead.refused",
}
"""The events of a call that made no attempt, by the code of its failure."""


class HttpExchange(Struct, frozen=True):
    """One HTTP exchange with a service, as metrics and traces have it.

    Attributes:
        method: The method of the request.
        path: Its path, without keys.
        status: Status of the response; ``None`` if there was none.
        code: Why it failed; ``None`` if it did not.
        keys: Number of requested keys.
        started: When it began, by ``clock.monotonic()``.
        ended: When it ended.
        number: Which attempt of its call it is, from 1.
    """

    method: str
    path: str
    status: int | None
    code: Code | None
    keys: int
    started: float
    ended: float
    number: int


class SourceTelemetry(Struct, frozen=True):
    """Records what happens at one source.

    Attributes:
        telemetry: Metrics and traces.
        address: Host of the service; empty for a source of a module.
        port: Its port.
    """

    telemetry: Telemetry
    address: str = ""
    port: str = ""

    def begin_span(self, parent: TraceContext | None) -> TraceContext | None:
        """Begin a span.

        Args:
            parent: The span that it is part of.

        Returns:
            The span; ``None`` if the trace is not exported.
        """
        return parent.child() if parent is not None and parent.exported else None

    def record_exchange(
        self,
        source: str,
        exchange: HttpExchange,
        span: TraceContext | None,
        parent: TraceContext | None,
    ) -> None:
        """Record an HTTP exchange.

        Args:
            source: Name of the source, or of its endpoint.
            exchange: The exchange.
            span: The span that the service was sent; ``None`` if it was sent none.
            parent: The span of the call.
        """
        status = "" if exchange.status is None else str(exchange.status)
        is_exported = span is not None and span.exported
        self.telemetry.metrics.http_client.record(
            exchange.ended - exchange.started,
            exchange.method,
            self.address,
            self.port,
            status,
            "" if exchange.code is None else exchange.code.value,
            source,
            trace=span if is_exported else None,
        )
        tracer = self.telemetry.tracer
        if tracer is None or span is None or not is_exported:
            return
        attributes: dict[str, str | int] = {
            "http.request.method": exchange.method,
            "server.address": self.address,
            "server.port": int(self.port),
            "url.template": exchange.path,
            "gateway.source": source,
            "gateway.keys": exchange.keys,
        }
        if exchange.status is not None:
            attributes["http.response.status_code"] = exchange.status
        if exchange.number > 1:
            attributes["http.request.resend_count"] = exchange.number - 1
        tracer.export(
            Span(
                f"{exchange.method} {exchange.path}",
                SpanKind.CLIENT,
                span,
                parent,
                exchange.started,
                exchange.ended,
                attributes,
                error=None if exchange.code is None else exchange.code.value,
            )
        )

    def record_call(
        self, source: str, call: CallTrace, span: TraceContext | None, parent: TraceContext | None
    ) -> None:
        """Record a call through the resilience pipeline.

        Args:
            source: Name of the source, or of its endpoint.
            call: What it did.
            span: Its span; ``None`` if its trace is not exported.
            parent: The span that it is part of.
        """
        metrics = self.telemetry.metrics
        error = "" if call.code is None else call.code.value
        metrics.source_calls.add(1, source, error)
        attempt = "first"
        for step in call.steps:
            if step.kind is _ATTEMPT:
                metrics.source_attempts.add(1, source, attempt)
                attempt = "retry"
            elif step.kind is _HEDGE:
                metrics.source_attempts.add(1, source, "hedge")
        tracer = self.telemetry.tracer
        if tracer is None or span is None:
            return
        tracer.export(
            Span(
                "gateway.source.call",
                SpanKind.INTERNAL,
                span,
                parent,
                call.started,
                call.ended,
                {"gateway.source": source, "gateway.keys": call.keys},
                _events(call),
                error=error or None,
            )
        )

    def record_batch(
        self,
        source: str,
        results: Sequence[object],
        code: Code | None,
    ) -> None:
        """Count the keys and the results of a batch.

        Args:
            source: Name of the source, or of its endpoint.
            results: The source results.
            code: Code of a failure in the batch; ``None`` if no call failed.
        """
        metrics = self.telemetry.metrics
        count = len(results)
        metrics.batch_keys.record(count, source)
        if code is None and SourceFailure not in map(type, results):  # the common case
            metrics.source_results.add(count, source, "")
            return
        good = 0
        for result in results:
            if isinstance(result, SourceFailure):
                metrics.source_results.add(1, source, result.code.value)
            else:
                good += 1
        if good:
            metrics.source_results.add(good, source, "")

    def export_batch(self, span: Span) -> None:
        """Export the span of a batch.

        Args:
            span: The span, whose context is exported.
        """
        if self.telemetry.tracer is not None:
            self.telemetry.tracer.export(span)


def batch_span(
    source: str,
    span: TraceContext,
    parent: TraceContext,
    others: Sequence[TraceContext],
    *,
    started: float,
    ended: float,
    keys: int,
    requests: int,
    code: Code | None,
) -> Span:
    """Make the span of a batch.

    Args:
        source: Name of the source, or of its endpoint.
        span: Its context.
        parent: The span of the request whose trace it belongs to.
        others: The spans of all requests that waited for it.
        started: When it began, by ``clock.monotonic()``.
        ended: When its results were there.
        keys: Number of its keys.
        requests: Number of requests that waited for it.
        code: Code of its failure; ``None`` if it did not fail.

    Returns:
        The span. If several requests waited for it, it has a link to each.
    """
    attributes: SpanAttributes = {
        "graphql.processing.type": "dataloader_batch",
        "graphql.dataloader.name": source,
        "graphql.dataloader.batch.size": keys,
        "gateway.requests": requests,
    }
    return Span(
        f"GraphQL DataLoader Batch {source}",
        SpanKind.INTERNAL,
        span,
        parent,
        started,
        ended,
        attributes,
        links=others[:MAX_LINKS] if requests > 1 else (),
        error=None if code is None else code.value,
    )


def _events(call: CallTrace) -> Sequence[SpanEvent]:
    """List the waits, retries and refusals of a call as events."""
    events = [_event(step, _EVENTS[step.kind]) for step in call.steps if step.kind in _EVENTS]
    if (
        call.code is not None
        and call.code in _REFUSED
        and not any(one.kind in {_ATTEMPT, _HEDGE} for one in call.steps)
    ):
        events.append(SpanEvent(_REFUSED[call.code], call.ended))
    return events


def _event(step: CallStep, name: str) -> SpanEvent:
    """Make the event of a step: at its start, with its duration."""
    return SpanEvent(name, step.started, {"gateway.seconds": round(step.ended - step.started, 6)})
