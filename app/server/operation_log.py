"""The log line of each operation: what it was, what it cost, and which sources it lost."""

from collections import Counter
from collections.abc import Mapping, Sequence

from graphql import GraphQLFormattedError
from structlog.typing import FilteringBoundLogger

from app.execution.request import GraphQLResponse


def log_operation(
    log: FilteringBoundLogger, answer: GraphQLResponse, *, status: int, client: str | None
) -> None:
    """Log an operation. It is a warning if a source failed for it.

    Args:
        log: The log.
        answer: The answer to the operation. Without a report, a bug of ours is logged already.
        status: The HTTP status of the response.
        client: Name and version of the client.
    """
    report = answer.report
    if report is None:
        return
    errors = [*answer.errors, *report.later_errors] if report.later_errors else answer.errors
    lost = _lost_sources(errors) if errors else None
    more: dict[str, object] = {}
    if lost:
        more["lost"] = lost
    if report.first_seconds is not None:
        more["payloads"] = report.payloads
        more["first_ms"] = round(report.first_seconds * 1000, 2)
    if report.executor is not None:
        more["executor"] = report.executor
    if report.reason is not None:
        more["reason"] = report.reason
    if client is not None:
        more["client"] = client
    (log.warning if lost else log.info)(
        "graphql.operation",
        name=report.name,
        hash=report.document,
        status=status,
        duration_ms=round(report.seconds * 1000, 2),
        errors=_codes(errors) if errors else {},
        cost=report.cost,
        sources=report.sources,
        compiled=report.compiled,
        document="kept" if report.document_kept else "new",
        **more,
    )


def _codes(errors: Sequence[GraphQLFormattedError]) -> Mapping[str, int]:
    """Count errors by their codes."""
    return dict(Counter(str(error.get("extensions", {}).get("code")) for error in errors))


def _lost_sources(errors: Sequence[GraphQLFormattedError]) -> Mapping[str, Sequence[str]]:
    """List the codes of the sources that failed, by name of the source."""
    lost: dict[str, dict[str, None]] = {}
    for error in errors:
        extensions = error.get("extensions", {})
        if (source := extensions.get("source")) is not None:
            lost.setdefault(str(source), {})[str(extensions.get("code"))] = None
    return {source: list(codes) for source, codes in lost.items()}
