"""What the status of an answer means for a source that has words of its own for it. Pure."""

from http import HTTPStatus

from app.errors import Code, SourceError
from app.shapes.answer import AnswerSettings, Meaning
from app.sources.failures import failure_of_status

_OK = 200
_PARTIAL = 206


def meaning_of(status: int, settings: AnswerSettings | None) -> Meaning | None:
    """Tell what a status means, where it is not a failure by itself.

    Args:
        status: An HTTP status.
        settings: How the source's answers are read; ``None`` for the default contract.

    Returns:
        The meaning that the settings give it; by default 200 is ``rows`` and 206 ``partial``;
        ``None`` where it means what it does everywhere.
    """
    if settings is None:
        return "rows" if status == _OK else None
    if status == _OK:
        return "rows"
    if status in settings.status:
        return settings.status[status]
    return "partial" if status == _PARTIAL else None


def failure_of_answer(
    source: str,
    status: int,
    settings: AnswerSettings | None,
    retry_after: float | None,
    *,
    too_fast: bool = False,
) -> SourceError | None:
    """Tell whether an answer is a failure by its status.

    Args:
        source: Name of the source.
        status: An HTTP status.
        settings: How the source's answers are read; ``None`` for the default contract.
        retry_after: Seconds that the source wants to be left alone.
        too_fast: Whether the call was refused for its rate alone, which some say by 403.

    Returns:
        The failure, or ``None`` for an answer that a reader can read, one that says "not known"
        among them.
    """
    match meaning_of(status, settings):
        case "rows" | "partial" | "absent":
            return None
        case "auth":
            return SourceError(source, Code.SOURCE_REJECTED, f"status {status}", unauthorized=True)
        case "retry":
            return SourceError(
                source,
                Code.SOURCE_UNAVAILABLE,
                f"status {status}",
                retryable=True,
                retry_after=retry_after,
            )
        case None:
            return failure_of_status(
                source, HTTPStatus.TOO_MANY_REQUESTS if too_fast else status, retry_after
            )
