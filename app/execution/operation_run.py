"""One operation that runs: what it needs, and what is known of it so far."""

from collections.abc import Mapping

from msgspec import Struct, field

from app.auth.policies import Caller
from app.execution.documents import Document
from app.execution.incremental import Payload
from app.execution.limits.budget import CostBudget
from app.execution.load import Loaders
from app.execution.request import Delivery, GraphQLRequest, OperationReport
from app.execution.source_report import OperationTimes, extensions_of, timings_of
from app.observability.trace_context import TraceContext
from app.sources.base import RequestContext


class OperationRun(Struct):
    """One operation that runs.

    Attributes:
        request: The request.
        context: The request context, for the calls to sources. Its span is the operation's, if the
            trace is exported.
        caller: The caller.
        loaders: Ask the sources.
        budget: What the operation may cost.
        parent: The span of the HTTP request; ``None`` if it belongs to no trace.
        times: When its phases began and ended.
        report_sources: Whether the answer reports what became of the request at each source.
        safe: Whether the HTTP method is safe, so that only queries may run.
        delivery: Whether its answer may come in several payloads.
        text: The text of its document, once it is found.
        document: Its document, once it is prepared.
        report: What is known of it so far.
    """

    request: GraphQLRequest
    context: RequestContext
    caller: Caller
    loaders: Loaders
    budget: CostBudget
    parent: TraceContext | None
    times: OperationTimes
    report_sources: bool
    safe: bool = False
    delivery: Delivery = Delivery.WHOLE
    text: str = ""
    document: Document | None = None
    report: OperationReport = field(default_factory=OperationReport)

    @property
    def span(self) -> TraceContext | None:
        """Its span; ``None`` if its trace is not exported."""
        trace = self.context.trace
        return trace if trace is not None and trace.exported else None

    def measure(self, now: float) -> None:
        """Note how long it has taken so far, and the sources so far.

        Args:
            now: The time, by ``clock.monotonic()``.
        """
        self.times.ended = now
        self.report.seconds = now - self.times.started
        self.report.sources = sorted(self.loaders.used)

    def add(self, payload: Payload, now: float) -> None:
        """Add a payload after the first to the report.

        Args:
            payload: The payload.
            now: When it is ready, by ``clock.monotonic()``.
        """
        report = self.report
        if report.first_seconds is None:
            report.first_seconds = report.seconds
        self.measure(now)
        report.payloads += 1
        report.count(payload.errors)

    def extensions(self) -> Mapping[str, object] | None:
        """Return the ``extensions`` of the answer, or of its last payload."""
        return extensions_of(self.loaders.trace, self.times, report_sources=self.report_sources)

    def timings(self) -> Mapping[str, float] | None:
        """Return the seconds that each source took; ``None`` if they are not reported."""
        return timings_of(self.loaders.trace) if self.report_sources else None
