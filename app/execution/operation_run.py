"""One operation that runs: what it needs, and what is known of it so far."""

from dataclasses import dataclass, field

from app.auth.policies import Caller
from app.execution.documents import Document
from app.execution.limits.budget import CostBudget
from app.execution.load import Loaders
from app.execution.request import GraphQLRequest, OperationReport
from app.execution.source_report import OperationTimes
from app.observability.trace_context import TraceContext
from app.sources.base import RequestContext


@dataclass(slots=True)
class OperationRun:
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
    text: str = ""
    document: Document | None = None
    report: OperationReport = field(default_factory=OperationReport)

    @property
    def span(self) -> TraceContext | None:
        """Its span; ``None`` if its trace is not exported."""
        trace = self.context.trace
        return trace if trace is not None and trace.exported else None
