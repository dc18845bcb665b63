"""Answers that a connection gives itself, to what never becomes a request of the application."""

from collections.abc import Iterable

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.errors import Code
from app.server.responses import SECURITY_HEADERS, error_response

RETRY_AFTER = 1
"""Seconds after which a refused client may connect again."""


def written(
    response: Response, defaults: Iterable[tuple[bytes, bytes]], *, bodiless: bool = False
) -> bytes:
    """Write an answer as it goes over the wire, the last one of its connection.

    Args:
        response: The answer.
        defaults: The server's own headers.
        bodiless: Whether its body is left out, as in every answer to HEAD.

    Returns:
        All of it.
    """
    headers = [*defaults, *response.raw_headers, *SECURITY_HEADERS, (b"connection", b"close")]
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    body = b"" if bodiless else bytes(response.body)
    return STATUS_LINE[response.status_code] + lines + b"\r\n" + body


def too_late(what: str, seconds: float) -> Response:
    """Refuse a request that did not arrive in time.

    Args:
        what: The part that is missing: the head or the body.
        seconds: The time that it had.

    Returns:
        The response.
    """
    return error_response(
        408,
        Code.BAD_REQUEST,
        f"the {what} of the request was not there in {seconds:g} s: expected it faster, from its"
        " first to its last byte",
    )


def too_much_framing() -> Response:
    """Refuse a body whose chunks, extensions and trailers are far longer than the body may be.

    Returns:
        The response.
    """
    return error_response(
        413,
        Code.BAD_REQUEST,
        "what stands around the body is too long: expected Content-Length, or larger chunks"
        " without extensions and trailers",
    )


def too_many_connections(limit: int) -> Response:
    """Refuse a connection.

    Args:
        limit: The most connections that may be open.

    Returns:
        The response.
    """
    return error_response(
        503,
        Code.GATEWAY_OVERLOADED,
        f"{limit} connections are open, which is the most there may be: try again in a moment",
        retry_after=RETRY_AFTER,
    )


def not_http() -> Response:
    """Refuse bytes that are not an HTTP request.

    Returns:
        The response.
    """
    return error_response(
        400,
        Code.BAD_REQUEST,
        "this is no HTTP request: expected one as RFC 9112 has it, such as a POST to /graphql with"
        " Content-Type: application/json and Content-Length",
    )


def no_tunnel() -> Response:
    """Refuse ``CONNECT`` (RFC 9110, section 9.3.6).

    Returns:
        The response.
    """
    return error_response(
        405,
        Code.BAD_REQUEST,
        "CONNECT is not served here: expected POST with a JSON body, or GET",
        headers={"Allow": "GET, POST"},
    )
