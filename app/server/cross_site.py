"""Requests from pages of other sites: CSRF prevention and CORS.

CSRF: a browser lets any page send a GET, a form, or a POST of plain text to any site, with the
user's cookies. For every other request the browser first sends a preflight (Fetch Standard,
"CORS-preflight fetch"). So a POST must be JSON (``request.py``), and a GET must have a header that
causes a preflight.

CORS: pages of the origins that the operator lists may read responses. Starlette's middleware does
that. This module lists the headers, and writes refusals as JSON. Without listed origins the
middleware is not installed.
"""

import re
from collections.abc import Iterable, Sequence

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from app.errors import Code, RequestError
from app.server.correlation import HEADER as TIMEOUT_HEADER
from app.server.responses import error_response
from app.settings.server import ANY_PORT, CorsSettings

PREFLIGHT_HEADERS = (
    "Apollo-Require-Preflight",
    "X-Apollo-Operation-Name",
    "X-Requested-With",
    "GraphQL-Require-Preflight",
)
"""Headers that clients send only to cause a preflight. One of them is enough."""

_BEARER = b"bearer "
"""How ``Authorization`` begins that no browser adds by itself, as it does with passwords."""

_PREFLIGHT_NAMES = frozenset(name.lower().encode() for name in PREFLIGHT_HEADERS)


def check_get(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a GET that a browser would send without a preflight.

    Args:
        headers: The request's headers, as ASGI has them.

    Raises:
        RequestError: None of the headers causes a preflight.
    """
    for name, value in headers:
        if name in _PREFLIGHT_NAMES and value.strip():
            return
        if name == b"content-type" and value.split(b";")[0].strip().lower() == b"application/json":
            return
        if name == b"authorization" and value.lower().startswith(_BEARER):
            return
    raise RequestError(
        Code.BAD_REQUEST,
        "a GET like this could come from a page of another site: expected the header"
        f" {PREFLIGHT_HEADERS[-1]}: 1, or a POST with Content-Type: application/json (in urql:"
        f' fetchOptions: {{ headers: {{ "{PREFLIGHT_HEADERS[-1]}": "1" }} }}, or preferGetMethod:'
        " false)",
    )


REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    *PREFLIGHT_HEADERS,
    "Traceparent",
    "X-Gateway-Cost",
    "X-Gateway-Explain",
    "X-Gateway-Trace",
    "X-Request-ID",
    TIMEOUT_HEADER,
)
"""Request headers that the gateway reads."""

EXPOSED_HEADERS = (
    "ETag",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
    "WWW-Authenticate",
    "X-Request-ID",
)
"""Response headers that a page may read, besides those that CORS always allows."""


class Cors(CORSMiddleware):
    """Starlette's middleware, with refusals in JSON."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight.

        Args:
            request_headers: The headers of the preflight.

        Returns:
            Starlette's response if the request is allowed, else a JSON error with the same status.
        """
        response = super().preflight_response(request_headers)
        if response.status_code < 400:  # noqa: PLR2004 # success
            return response
        headers = {"Vary": response.headers["vary"], **_cors_headers(response)}
        return error_response(
            response.status_code,
            Code.BAD_REQUEST,
            f"{bytes(response.body).decode()}: expected a listed origin, with the methods and"
            " headers that are allowed",
            headers=headers,
        )


def _cors_headers(response: Response) -> dict[str, str]:
    """Return the ``Access-Control-*`` headers of a response."""
    return {name: value for name, value in response.headers.items() if name.startswith("access-")}


def _any_port(origins: Sequence[str]) -> str | None:
    """Return the pattern of the origins of which every port is allowed; ``None`` without any."""
    hosts = [re.escape(one.removesuffix(ANY_PORT)) for one in origins if one.endswith(ANY_PORT)]
    return f"({'|'.join(hosts)})(:[0-9]{{1,5}})?" if hosts else None


def cors(settings: CorsSettings) -> list[Middleware]:
    """Return the CORS middleware.

    Args:
        settings: The origins and headers that are allowed.

    Returns:
        The middleware; an empty list if no origin is allowed.
    """
    if not settings.origins:
        return []
    return [
        Middleware(
            Cors,
            allow_origins=[one for one in settings.origins if not one.endswith(ANY_PORT)],
            allow_origin_regex=_any_port(settings.origins),
            allow_methods=("GET", "POST"),
            allow_headers=(*REQUEST_HEADERS, *settings.headers),
            allow_credentials=settings.credentials,
            expose_headers=EXPOSED_HEADERS,
            max_age=settings.max_age,
        )
    ]
