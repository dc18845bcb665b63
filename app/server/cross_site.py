"""Requests from pages of other sites: what they may read (CORS), what is refused (CSRF).

Executing only what a page of another site cannot have sent.

Browsers let any page send a GET, a form, or a POST of plain text to anybody, with the cookies of
whoever looks at the page. Whatever else a page sends, the browser asks first whether it may (Fetch
Standard, "CORS-preflight fetch"). So a POST has to be JSON (``request.py``), and a GET has to have
a header that no page can add without being asked about.

Letting pages of other sites read answers, where the operator has listed them.

Starlette's middleware does it; here is which headers there are, and that a refusal is JSON as all
others are. It is not put in at all where nobody is listed.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from app.errors import Code, RequestError
from app.server.correlation import HEADER as TIMEOUT_HEADER
from app.server.responses import error_response
from app.settings.server import CorsSettings

PREFLIGHT_HEADERS = (
    "Apollo-Require-Preflight",
    "X-Apollo-Operation-Name",
    "GraphQL-Require-Preflight",
)
"""The headers that clients send to be asked about; which of them is all the same."""

_NAMES = frozenset(name.lower().encode() for name in PREFLIGHT_HEADERS)


def check_get(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Let only a GET through that a browser would have asked about.

    Args:
        headers: Its headers, as ASGI has them.

    Raises:
        RequestError: It has none of the headers that make a browser ask.
    """
    for name, value in headers:
        if name in _NAMES and value.strip():
            return
        if name == b"content-type" and value.split(b";")[0].strip().lower() == b"application/json":
            return
    raise RequestError(
        Code.BAD_REQUEST,
        "a GET like this could come from a page of another site: expected the header"
        f" {PREFLIGHT_HEADERS[-1]}: 1, or a POST with Content-Type: application/json",
    )


READ = (
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
"""Headers of a request that mean something here."""

TOLD = (
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
    "WWW-Authenticate",
    "X-Request-ID",
)
"""Headers of an answer that a page may read, beside those that it always may."""


class Cors(CORSMiddleware):
    """Starlette's middleware, which says in JSON what it does not allow."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a browser that asks whether a page may send a request."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:  # noqa: PLR2004 # it is allowed
            return response
        told = {"Vary": response.headers["vary"], **_allowed(response)}
        return error_response(
            response.status_code,
            Code.BAD_REQUEST,
            f"{bytes(response.body).decode()}: expected a listed origin, with the methods and"
            " headers that are allowed",
            headers=told,
        )


def _allowed(response: Response) -> dict[str, str]:
    """Keep what the answer says of what is allowed."""
    return {name: value for name, value in response.headers.items() if name.startswith("access-")}


def cors(settings: CorsSettings) -> list[Middleware]:
    """Make the middleware, where there is anybody to let in.

    Args:
        settings: Whom.

    Returns:
        The middleware, or nothing.
    """
    if not settings.origins:
        return []
    return [
        Middleware(
            Cors,
            allow_origins=settings.origins,
            allow_methods=("GET", "POST"),
            allow_headers=(*READ, *settings.headers),
            allow_credentials=settings.credentials,
            expose_headers=TOLD,
            max_age=settings.max_age,
        )
    ]
