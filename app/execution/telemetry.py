"""What operations add to metrics and traces.

Spans follow the draft of the GraphQL working group (graphql/otel-wg, ``spec/spans.yaml``): a span
of the operation; below it parsing and validation if the document is new, planning and execution;
and the batches of the sources (``app/sources/telemetry.py``). Errors are events without their texts
and paths, because these may contain words of the client.
"""

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from app.execution.operation_run import OperationRun
from app.execution.request import GraphQLResponse
from app.observability.operation_names import LONGEST
from app.observability.telemetry import Telemetry
from app.observability.trace_context import TraceContext
from app.observability.tracing import Span, SpanAttributes, SpanEvent, SpanKind
from app.sources.base import RequestContext
from app.sources.trace import Trace

MAX_EVENTS = 10
"""The most error events of a span; the draft asks for a limit, and proposes this one."""

OPERATION_TYPE = "query"
"""The type of all operations that are executed: validation refuses other types."""


class OperationTelemetry(Struct, frozen=True):
    """Records operations.

    Attributes:
        telemetry: Metrics and traces.
        documents: Whether spans have the texts of documents.
    """

    telemetry: Telemetry
    documents: bool = False

    def begin(self, call: RequestContext) -> RequestContext:
        """Begin the span of an operation.

        Args:
            call: The request context, with the span of the HTTP request.

        Returns:
            The context, with the span of the operation if the trace is exported.
        """
        if call.trace is None or not call.trace.exported:
            return call
        return replace(call, trace=call.trace.child())

    def record(self, run: OperationRun, answer: GraphQLResponse) -> None:
        """Count an operation that is over, and export its spans.

        Args:
            run: The operation.
            answer: Its answer.
        """
        report, metrics = run.report, self.telemetry.metrics
        error = next((code for code, _ in report.errors), "")
        name = metrics.names.shown(report.name, trusted=report.trusted)
        kind = "" if report.cost is None else OPERATION_TYPE
        metrics.graphql.record(report.seconds, kind, name, error, trace=run.span)
        if answer.executed:
            renderer = "compiled" if report.compiled else "executor" if report.executor else ""
            metrics.operations.add(1, renderer, report.executor or "")
        if report.limit is not None:
            metrics.limit_refusals.add(1, report.limit)
        for code, source in report.errors:
            if source:
                metrics.partial_operations.add(1, source, code)
        tracer = self.telemetry.tracer
        if tracer is not None and run.span is not None:
            for span in (*_phases(run, run.span, error), self._span(run, run.span, error)):
                tracer.export(span)

    def _span(self, run: OperationRun, span: TraceContext, error: str) -> Span:
        """Make the span of an operation."""
        report, times = run.report, run.times
        attributes: dict[str, str | int | float | bool] = {"gateway.compiled": report.compiled}
        if report.document is not None:
            attributes["graphql.document.hash"] = f"sha256:{report.document}"
        if report.name is not None:
            # A client chooses it, and spans wait in memory.
            attributes["graphql.operation.name"] = report.name[:LONGEST]
        if report.cost is not None:
            attributes["graphql.operation.type"] = OPERATION_TYPE
        if report.errors:
            attributes["graphql.error.count"] = report.errors.total()
        if report.payloads > 1:
            attributes["gateway.payloads"] = report.payloads
        if self.documents:
            attributes["graphql.document"] = run.text
        events = [*_source_events(run.loaders.trace, times.ended)]
        events += _error_events(report.errors, times.ended)
        return Span(
            OPERATION_TYPE if report.cost is not None else "GraphQL Operation",
            SpanKind.SERVER,
            span,
            run.parent,
            times.started,
            times.ended,
            attributes,
            events,
            error=error or None,
        )


def _phases(run: OperationRun, span: TraceContext, error: str) -> Iterator[Span]:
    """Make the spans of the phases of an operation."""
    preparation = run.document.preparation if run.document is not None else None
    if preparation is not None and not run.report.document_kept:
        parsed = preparation.parsed
        refused = run.document is not None and bool(run.document.errors)
        failed = error if refused else ""
        yield _phase(
            "Document Parsing",
            "parse",
            span,
            (preparation.started, parsed or preparation.ended),
            error=failed if parsed is None else "",
        )
        if parsed is not None:
            period = parsed, preparation.ended
            yield _phase("Document Validation", "validate", span, period, error=failed)
    planning, executing, ended = run.times.planning, run.times.executing, run.times.ended
    if planning is not None:
        failed = error if executing is None else ""
        period = planning, executing or ended
        yield _phase("Operation Planning", "plan", span, period, error=failed)
    if executing is not None:
        yield _phase("Operation Execution", "execute", span, (executing, ended), error=error)


def _phase(
    name: str, kind: str, parent: TraceContext, period: tuple[float, float], *, error: str
) -> Span:
    """Make the span of a phase; the period is its start and its end."""
    return Span(
        f"GraphQL {name}",
        SpanKind.INTERNAL,
        parent.child(),
        parent,
        *period,
        {"graphql.processing.type": kind},
        error=error or None,
    )


def _source_events(sources: Trace, at: float) -> Iterator[SpanEvent]:
    """List what the entity cache and other requests have spared the operation."""
    for name, one in sources.sources.items():
        for event, keys in (("cached", one.cached), ("coalesced", one.coalesced)):
            if keys:
                facts: SpanAttributes = {"gateway.source": name, "gateway.keys": keys}
                yield SpanEvent(f"gateway.{event}", at, facts)
        if one.stale is not None:
            facts = {"gateway.source": name, "gateway.seconds": round(one.stale, 3)}
            yield SpanEvent("gateway.stale", at, facts)


def _error_events(errors: Counter[tuple[str, str]], at: float) -> Iterator[SpanEvent]:
    """List the errors by code and source, with their numbers."""
    for (code, source), number in errors.most_common(MAX_EVENTS):
        facts: dict[str, str | int] = {"graphql.error.code": code, "graphql.error.count": number}
        if source:
            facts["gateway.source"] = source
        yield SpanEvent("graphql.error", at, facts)
