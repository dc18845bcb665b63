"""What the head of a request may be: no longer than it may be, and meant for this gateway.

The name in ``Host`` is the one thing that a page cannot choose when it has a browser send a
request: it is the name that the page was loaded from. Whoever owns a name can let it lead to an
address of somebody else's, such as 127.0.0.1 or one within a company (DNS rebinding). To the
browser the gateway behind that address is then of the page's own site, and neither CORS nor CSRF
prevention keeps the page from reading what it answers. That the name is not one of the gateway's
does. Starlette's ``TrustedHostMiddleware`` is not used since it answers with plain text and knows
neither IPv6 addresses nor paths that are excepted.

A head that is never whole is none that an application sees: that is for ``protocol.py``.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Code, quote
from app.server.responses import error_response
from app.settings.server import EVERY_HOST, ConnectionSettings

NAMELESS = frozenset({"/healthz", "/readyz"})
"""What is asked for by address: by probes, which have no name to go by."""

_KNOWN = 1_024

_LONGEST = 300
"""Longest value of ``Host`` that can be a name with a port (RFC 1035, section 2.3.4)."""

Knows = Callable[[bytes], bool]
"""Tells whether the value of ``Host`` names the gateway."""


class HeadMiddleware:
    """Refuses heads that are too long, and those that are for somebody else. Pure ASGI.

    Args:
        app: What serves the requests.
        hosts: The names by which the gateway is known.
        limits: How long a head may be.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str], limits: ConnectionSettings) -> None:
        self._app = app
        self._knows = known(hosts)
        self._max_url = limits.max_url_bytes
        self._max_headers = limits.max_headers
        self._max_bytes = limits.max_head_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a request; not async, since there is nothing to be done afterwards."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        return (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """Find what is wrong with a head."""
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        host: bytes | None = None
        hosts = size = 0
        for name, value in headers:
            size += len(name) + len(value)
            if name == b"host":
                host = value
                hosts += 1
        limit = self._max_url
        path = scope.get("raw_path") or scope["path"]
        if limit and len(path) + len(scope["query_string"]) > limit:
            return url_too_long(limit)
        if self._max_headers and len(headers) > self._max_headers:
            return too_many_headers(self._max_headers)
        if self._max_bytes and size > self._max_bytes:
            return head_too_long(self._max_bytes)
        if scope["path"] in NAMELESS:
            return None
        if host is None or hosts > 1:
            return _no_host(hosts)
        return None if self._knows(host) else _misdirected(host)


def known(hosts: Sequence[str]) -> Knows:
    """Make what knows the gateway's names.

    Args:
        hosts: The names, as the setting has them.

    Returns:
        What knows them. It remembers some of what it was asked.
    """
    if EVERY_HOST in hosts:
        return lambda _: True
    names = frozenset(host for host in hosts if not host.startswith("*."))
    below = tuple(host[1:] for host in hosts if host.startswith("*."))

    @lru_cache(maxsize=_KNOWN)
    def knows(value: bytes) -> bool:
        name = name_of(value)
        return name in names or (name.endswith(below) and not name.startswith("."))

    # What is longer is not remembered either: it would be for the client to say how much that is.
    return lambda value: len(value) <= _LONGEST and knows(value)


def name_of(value: bytes) -> str:
    """Find the name in a value of ``Host`` (RFC 9110, section 7.2).

    Args:
        value: The value: a name or an address, perhaps with a port.

    Returns:
        It without the port, in lower case; an IPv6 address in its short form.
    """
    text = value.decode("latin-1").lower()
    if not text.startswith("["):
        return text.partition(":")[0]
    try:
        return str(ip_address(text[1:].partition("]")[0]))
    except ValueError:
        return ""


def url_too_long(limit: int) -> Response:
    """Refuse an address.

    Args:
        limit: Its longest length.

    Returns:
        The response.
    """
    return error_response(
        414,
        Code.BAD_REQUEST,
        f"the address is longer than {limit} bytes: expected a POST with a JSON body, which may be"
        " longer",
    )


def too_many_headers(limit: int) -> Response:
    """Refuse a head of many headers.

    Args:
        limit: The most there may be.

    Returns:
        The response.
    """
    return error_response(
        431,
        Code.BAD_REQUEST,
        f"the request has more than {limit} headers: expected only those that it needs, such as"
        " Content-Type, Accept and Authorization",
    )


def head_too_long(limit: int) -> Response:
    """Refuse a head of long headers.

    Args:
        limit: The longest that all of them may be.

    Returns:
        The response.
    """
    return error_response(
        431,
        Code.BAD_REQUEST,
        f"the headers are longer than {limit} bytes in all: expected shorter ones, perhaps without"
        " cookies, which are not read here",
    )


def _no_host(count: int) -> Response:
    """Refuse a request that does not say for whom it is (RFC 9112, section 3.2)."""
    return error_response(
        400,
        Code.BAD_REQUEST,
        f"the request has {count or 'no'} Host headers: expected one, with the gateway's name",
    )


def _misdirected(host: bytes) -> Response:
    """Refuse a request for somebody else (RFC 9110, section 15.5.20), and tell of no other name."""
    return error_response(
        421,
        Code.BAD_REQUEST,
        f"{quote(host.decode('latin-1'))} is no name of this gateway: expected in Host one that its"
        " setting `hosts` has",
    )
