"""Executing only what a page of another site cannot have sent.

Browsers let any page send a GET, a form, or a POST of plain text to anybody, with the cookies of
whoever looks at the page. Whatever else a page sends, the browser asks first whether it may (Fetch
Standard, "CORS-preflight fetch"). So a POST has to be JSON (``body.py``), and a GET has to have a
header that no page can add without being asked about.
"""

from collections.abc import Iterable

from app.errors import Code, RequestError

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
