"""The log lines of a call, besides those of its attempts."""

from typing import Any

from structlog.typing import FilteringBoundLogger

from app.errors import SourceFailure
from app.resilience.pipeline import PipelineResult
from app.sources.base import RequestContext
from app.sources.seldom import requests_of


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
