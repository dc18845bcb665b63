"""Responses that the connection writes itself, to what the application never sees."""

from collections.abc import Iterable, Mapping
from logging import INFO, WARNING, Logger
from typing import Any, Protocol

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.errors import Code, without_quotes
from app.observability.logs import library_event
from app.server.responses import SECURITY_HEADERS, Refusal, RefusalResponse, error_response

COUNT_REFUSAL = "count_refusal"
"""The name in the server's state of the function that counts a refusal."""

RETRY_AFTER = 1
"""Seconds after which a refused client may try to connect again."""


def encode_last_response(
    response: Response, defaults: Iterable[tuple[bytes, bytes]], *, bodiless: bool = False
) -> bytes:
    """Encode the last response of a connection as HTTP/1.1, with ``Connection: close``.

    Args:
        response: The response.
        defaults: The server's own headers.
        bodiless: Whether to leave out the body, as in every response to HEAD.

    Returns:
        The bytes of the whole response.
    """
    headers = [*defaults, *response.raw_headers, *SECURITY_HEADERS, (b"connection", b"close")]
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    body = b"" if bodiless else bytes(response.body)
    return STATUS_LINE[response.status_code] + lines + b"\r\n" + body


class CountRefusal(Protocol):
    """Counts a refusal; see ``HttpTelemetry.count_connection_refusal``."""

    def __call__(self, refusal: Refusal, scheme: str, *, is_seen: bool) -> None:
        """Count a refusal."""
        ...


def log_refusal(
    logger: Logger, refusal: Refusal, state: Mapping[str, Any], scheme: str | None, *, is_seen: bool
) -> None:
    """Log and count a refusal that the application does not write.

    Args:
        logger: uvicorn's logger.
        refusal: Why the request is refused.
        state: The state that the lifespan of the application has given to the server.
        scheme: ``http`` or ``https``; ``None`` if the connection was never open.
        is_seen: Whether the application has begun to serve the request.
    """
    count: CountRefusal | None = state.get(COUNT_REFUSAL)
    if count is not None:
        count(refusal, scheme or "http", is_seen=is_seen)
    library_event(
        logger,
        WARNING if refusal.is_severe else INFO,
        "http.refused",
        status=refusal.status,
        code=refusal.code.value,
        reason=without_quotes(refusal.message),
    )


def too_late(what: str, seconds: float) -> RefusalResponse:
    """Make the response to a request that did not arrive in time.

    Args:
        what: The part that is missing: ``head`` or ``body``.
        seconds: The time limit of that part.

    Returns:
        A response with status 408.
    """
    return error_response(
        408,
        Code.BAD_REQUEST,
        f"the {what} of the request did not arrive within {seconds:g} s: expected all of it in this"
        " time",
        limit=f"connections.{what}_timeout",
    )


def too_much_framing() -> RefusalResponse:
    """Make the response to a body with too many bytes of chunks, extensions and trailers.

    Returns:
        A response with status 413.
    """
    return error_response(
        413,
        Code.BAD_REQUEST,
        "the framing of the body is too long: expected Content-Length, or larger chunks"
        " without extensions and trailers",
        limit="max_body_bytes",
    )


def too_many_connections(limit: int) -> RefusalResponse:
    """Make the response to a connection above the limit.

    Args:
        limit: The most connections that may be open.

    Returns:
        A response with status 503.
    """
    return error_response(
        503,
        Code.GATEWAY_OVERLOADED,
        f"{limit} connections are open, and no more are allowed: try again in a moment",
        retry_after=RETRY_AFTER,
        limit="connections.max_connections",
    )


def not_http() -> RefusalResponse:
    """Make the response to bytes that are not an HTTP request.

    Returns:
        A response with status 400.
    """
    return error_response(
        400,
        Code.BAD_REQUEST,
        "this is not an HTTP request: expected one of RFC 9112, such as a POST to /graphql with"
        " Content-Type: application/json and Content-Length",
    )


def no_tunnel() -> RefusalResponse:
    """Make the response to ``CONNECT`` (RFC 9110, section 9.3.6).

    Returns:
        A response with status 405.
    """
    return error_response(
        405,
        Code.BAD_REQUEST,
        "CONNECT is not served here: expected POST with a JSON body, or GET",
        headers={"Allow": "GET, POST"},
    )
