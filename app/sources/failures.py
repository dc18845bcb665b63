"""What it means when an exchange with a service goes wrong. Pure.

no answer in time                               SOURCE_TIMEOUT
no connection, connection lost, 5xx             SOURCE_UNAVAILABLE
429                                             SOURCE_OVERLOADED
any other 4xx                                   SOURCE_REJECTED
any other status, or a body that does not fit   SOURCE_MALFORMED

What the status of an answer means for a source that has words of its own for it. Pure.
"""

import os
import ssl
from http import HTTPStatus

import aiohttp
import httpx

from app.errors import Code, SourceFailure
from app.settings.response import AnswerSettings, Meaning
from app.transport.connections import BrokenAnswerError, LongHeadError

FOREIGN = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError)
"""What an exchange may raise: httpx's errors, and what its transport lets through."""

BAD_ANSWERS = (
    httpx.DecodingError,
    httpx.RemoteProtocolError,
    aiohttp.ClientResponseError,
    BrokenAnswerError,
)
"""Those of them that say that there was an answer, and that it was none."""

RETRYABLE = frozenset({429, 502, 503, 504})
"""Statuses after which the same call may succeed soon: the service was not there, or busy."""

DIVISIBLE = frozenset({400, 404, 413, 414, 422, 500})
"""Statuses that one key of many may be to blame for."""


def failure_of_status(source: str, status: int, retry_after: float | None) -> SourceFailure | None:
    """Tell whether an answer is a failure by its status.

    Args:
        source: Name of the source.
        status: An HTTP status.
        retry_after: Seconds that the source wants to be left alone.

    Returns:
        The failure, or ``None`` for 200, the one status with an answer in it.
    """
    code = code_of_status(status)
    if code is None:
        return None
    return SourceFailure(
        source,
        code,
        f"status {status}",
        retryable=status in RETRYABLE,
        retry_after=retry_after,
        divisible=status in DIVISIBLE,
        unauthorized=status == HTTPStatus.UNAUTHORIZED,
    )


def failure_of_exception(source: str, error: Exception) -> SourceFailure:
    """Tell what a foreign exception means. A connection that failed may succeed soon.

    Args:
        source: Name of the source.
        error: One of ``FOREIGN``.

    Returns:
        The failure.
    """
    code, detail = translate(error)
    no_connection = isinstance(error.__cause__, aiohttp.ConnectionTimeoutError) or (
        isinstance(error, httpx.ConnectTimeout)
    )
    retryable = code is Code.SOURCE_UNAVAILABLE or no_connection
    return SourceFailure(source, code, detail, retryable=retryable)


def code_of_status(status: int) -> Code | None:
    """Tell what a status means.

    Args:
        status: An HTTP status.

    Returns:
        The code of the failure that it is, or ``None`` for 200, the one with an answer in it. A
        redirect is not followed: it could lead to a host that nobody has named.
    """
    if status == HTTPStatus.OK:
        return None
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Code.SOURCE_OVERLOADED
    if httpx.codes.is_client_error(status):
        return Code.SOURCE_REJECTED
    if httpx.codes.is_server_error(status):
        return Code.SOURCE_UNAVAILABLE
    return Code.SOURCE_MALFORMED


def translate(error: Exception) -> tuple[Code, str]:
    """Tell what a foreign exception means.

    The transport renames aiohttp's exceptions, and calls a lost or refused connection a connect
    timeout; so the exception that it renamed decides.

    Args:
        error: One of ``FOREIGN``.

    Returns:
        The code of the failure, and what happened, for the log.
    """
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    # Never its text: it may quote the answer, and the URL with the users in it.
    detail = type(cause).__name__
    if (why := _why(cause)) is not None:
        detail += f": {why}"
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return Code.SOURCE_TIMEOUT, detail
    if isinstance(cause, aiohttp.ClientHttpProxyError):  # the service itself was not reached
        return Code.SOURCE_UNAVAILABLE, f"{detail}: status {cause.status}"
    if isinstance(cause, BAD_ANSWERS):
        return Code.SOURCE_MALFORMED, detail
    return Code.SOURCE_UNAVAILABLE, detail


def _why(cause: Exception) -> str | None:
    """Say in fixed words what a machine or TLS had against a connection, or we against a head."""
    if isinstance(cause, LongHeadError):
        return str(cause)
    inner = cause.__cause__  # of TLS, whose numbers are no errno
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message
    if isinstance(inner, ssl.SSLError):
        return inner.reason
    if isinstance(cause, OSError) and cause.errno is not None:
        return os.strerror(cause.errno)
    return None


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
) -> SourceFailure | None:
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
            return SourceFailure(
                source, Code.SOURCE_REJECTED, f"status {status}", unauthorized=True
            )
        case "retry":
            return SourceFailure(
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
