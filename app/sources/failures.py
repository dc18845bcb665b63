"""The failure that an exception or a status of an exchange means. Pure.

no answer in time                               SOURCE_TIMEOUT
no connection, connection lost, 5xx             SOURCE_UNAVAILABLE
429                                             SOURCE_OVERLOADED
any other 4xx                                   SOURCE_REJECTED
any other status, or a body that does not fit   SOURCE_MALFORMED

The settings of a source can give a status another meaning (``meaning_of``).
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
"""The exceptions of an exchange: httpx's errors, and those that its transport does not convert."""

BAD_ANSWERS = (
    httpx.DecodingError,
    httpx.RemoteProtocolError,
    aiohttp.ClientResponseError,
    BrokenAnswerError,
)
"""The exceptions for a response that is not valid."""

RETRYABLE = frozenset({429, 502, 503, 504})
"""Statuses after which the same call may succeed soon: the service was unavailable, or busy."""

DIVISIBLE = frozenset({400, 404, 413, 414, 422, 500})
"""Statuses that one key of many may have caused."""


def failure_of_status(source: str, status: int, retry_after: float | None) -> SourceFailure | None:
    """Return the failure that a status means by the default contract.

    Args:
        source: Name of the source.
        status: An HTTP status.
        retry_after: Seconds to wait before the next call, from ``Retry-After``; ``None`` if not
            given.

    Returns:
        The failure; ``None`` for 200.
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
    """Return the failure that a foreign exception means. A failed connection is retryable.

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
    """Return the error code for a status.

    Args:
        status: An HTTP status.

    Returns:
        The code; ``None`` for 200. A redirect is a failure, and is not followed: it could lead to a
        host that the settings do not name.
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
    """Return the code and the detail that a foreign exception means.

    The transport converts aiohttp's exceptions, and converts a lost or refused connection to a
    connect timeout. So the original exception decides.

    Args:
        error: One of ``FOREIGN``.

    Returns:
        The code of the failure, and its detail for the log.
    """
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    # Never the text of the exception: it may quote the response, or the URL with the keys.
    detail = type(cause).__name__
    if (reason := _reason(cause)) is not None:
        detail += f": {reason}"
    elif isinstance(cause, TimeoutError):  # of the gateway's own clock, not of the system
        detail = "no complete answer within the timeout"
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return Code.SOURCE_TIMEOUT, detail
    if isinstance(cause, aiohttp.ClientHttpProxyError):  # the proxy did not reach the service
        return Code.SOURCE_UNAVAILABLE, f"{detail}: status {cause.status}"
    if isinstance(cause, BAD_ANSWERS):
        return Code.SOURCE_MALFORMED, detail
    return Code.SOURCE_UNAVAILABLE, detail


def _reason(cause: Exception) -> str | None:
    """Return a fixed text for an error of the system, of TLS, or for a head that is too long."""
    if isinstance(cause, LongHeadError):
        return str(cause)
    inner = cause.__cause__  # a TLS error, whose ``errno`` is not one of the system
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
    """Return the meaning of a status by the settings of a source.

    Args:
        status: An HTTP status.
        settings: The settings for answers; ``None`` for the default contract.

    Returns:
        The meaning from the settings. 200 is ``rows``. With settings, 206 is ``partial`` unless
        they say otherwise. ``None`` if the status has no special meaning.
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
    """Return the failure that a status means by the settings of a source.

    Args:
        source: Name of the source.
        status: An HTTP status.
        settings: The settings for answers; ``None`` for the default contract.
        retry_after: Seconds to wait before the next call, from ``Retry-After``; ``None`` if not
            given.
        too_fast: Whether the service refused the call only for its rate. Some services use 403.

    Returns:
        The failure; ``None`` if a reader can read the response, also if it means "no such user".
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
        case "failure" | None:
            return failure_of_status(
                source, HTTPStatus.TOO_MANY_REQUESTS if too_fast else status, retry_after
            )
