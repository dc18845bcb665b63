"""Letting pages of other sites read answers, where the operator has listed them.

Starlette's middleware does it; here is which headers there are, and that a refusal is JSON as all
others are. It is not put in at all where nobody is listed.
"""

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from app.errors import Code
from app.http.answers import error_response
from app.http.budget import HEADER as TIMEOUT_HEADER
from app.http.csrf import PREFLIGHT_HEADERS
from app.shapes.edge import CorsSettings

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
