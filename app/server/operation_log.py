"""The log line of each operation: what it was, what it cost, and which sources it lost."""

from collections.abc import Mapping, Sequence

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
    lost = _lost_sources(report.errors)
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
    if report.caller is not None:
        more["caller"] = report.caller
    if client is not None:
        more["client"] = client
    (log.warning if lost else log.info)(
        "graphql.operation",
        name=report.name,
        hash=report.document,
        status=status,
        duration_ms=round(report.seconds * 1000, 2),
        errors=_codes(report.errors),
        cost=report.cost,
        sources=report.sources,
        compiled=report.compiled,
        document="kept" if report.document_kept else "new",
        **more,
    )


def _codes(errors: Mapping[tuple[str, str], int]) -> Mapping[str, int]:
    """Count errors by their codes."""
    counts: dict[str, int] = {}
    for (code, _), number in errors.items():
        counts[code] = counts.get(code, 0) + number
    return counts


def _lost_sources(errors: Mapping[tuple[str, str], int]) -> Mapping[str, Sequence[str]]:
    """List the codes of the sources that failed, by name of the source."""
    lost: dict[str, list[str]] = {}
    for code, source in errors:
        if source:
            lost.setdefault(source, []).append(code)
    return lost
