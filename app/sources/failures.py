"""What it means when an exchange with a service goes wrong. Pure.

no answer in time                               SOURCE_TIMEOUT
no connection, connection lost, 5xx             SOURCE_UNAVAILABLE
429                                             SOURCE_OVERLOADED
any other 4xx                                   SOURCE_REJECTED
any other status, or a body that does not fit   SOURCE_MALFORMED
"""

import os
import ssl
from http import HTTPStatus

import aiohttp
import httpx

from app.errors import Code, SourceError
from app.sources.connections import BrokenAnswerError, LongHeadError

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


def failure_of_status(source: str, status: int, retry_after: float | None) -> SourceError | None:
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
    return SourceError(
        source,
        code,
        f"status {status}",
        retryable=status in RETRYABLE,
        retry_after=retry_after,
        divisible=status in DIVISIBLE,
        unauthorized=status == HTTPStatus.UNAUTHORIZED,
    )


def failure_of_exception(source: str, error: Exception) -> SourceError:
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
    return SourceError(source, code, detail, retryable=retryable)


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
