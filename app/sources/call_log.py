"""The log lines of a call to a source, and of its attempts."""

from collections.abc import Mapping
from typing import Any

from structlog.typing import FilteringBoundLogger

from app.errors import SourceFailure
from app.resilience.pipeline import PipelineResult
from app.sources.base import RequestContext
from app.sources.seldom import requests_of


def log_attempt(
    log: FilteringBoundLogger,
    context: RequestContext,
    source: str,
    answer: object,
    *,
    keys: int,
    seconds: float,
    facts: Mapping[str, object],
) -> None:
    """Log an attempt, as a warning if it failed.

    Args:
        log: The log.
        context: The request context of the call.
        source: Name of the source, or of its endpoint.
        answer: What it brought: a value or a ``SourceFailure``.
        keys: The number of requested keys.
        seconds: How long it took.
        facts: Further log fields.
    """
    failed = answer if isinstance(answer, SourceFailure) else None
    fields: dict[str, object] = {
        **requests_of(context),
        "source": source,
        "keys": keys,
        **facts,
        "duration_ms": round(seconds * 1000, 2),
        "outcome": "ok" if failed is None else failed.code.value,
    }
    if failed is not None:
        fields["detail"] = failed.detail
    (log.info if failed is None else log.warning)("source.fetch", **fields)


def log_call(
    log: FilteringBoundLogger, context: RequestContext, source: str, result: PipelineResult[Any]
) -> None:
    """Log why a failed call made no attempt, or no further one.

    Args:
        log: The log. It has each attempt already.
        context: The request context of the call.
        source: Name of the source, or of its endpoint.
        result: The result of the call.
    """
    answer = result.answer
    if not isinstance(answer, SourceFailure):
        return
    code = answer.code.value
    if not result.attempts:
        log.debug("source.not_asked", **requests_of(context), source=source, outcome=code)
    elif result.not_retried is not None:
        log.info(
            "source.not_retried",
            **requests_of(context),
            source=source,
            outcome=code,
            reason=result.not_retried.value,
        )
