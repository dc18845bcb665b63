"""Limits on the head of a request, and a check of its ``Host``.

The check of ``Host`` prevents DNS rebinding: the owner of a name lets it resolve to an address of
someone else, such as 127.0.0.1 or one inside a company. A page that was loaded under that name is
then of the same origin as the gateway at that address, so neither CORS nor CSRF prevention stops it
from reading responses. But the page cannot choose ``Host``: the browser sends the name that the
page was loaded from. So the gateway refuses names that are not its own. Starlette's
``TrustedHostMiddleware`` is not used: it answers in plain text and supports neither IPv6 addresses
nor exempt paths.

An application never sees an incomplete head: ``protocol.py`` limits those.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Code, quote
from app.server.responses import RefusalResponse, error_response
from app.settings.server import EVERY_HOST, ConnectionSettings

ANY_HOST_PATHS = frozenset({"/healthz", "/readyz"})
"""Paths whose ``Host`` is not checked: probes use the address of the process, not a name."""

_CACHED_HOSTS = 1_024

_MAX_HOST = 300
"""Most bytes of ``Host`` that can be a name with a port (RFC 1035, section 2.3.4)."""

HostCheck = Callable[[bytes], bool]
"""Returns whether the value of ``Host`` is a name of the gateway."""


class HeadMiddleware:
    """Refuses heads that are too long or that name another host. Pure ASGI.

    Args:
        app: The application.
        hosts: The gateway's names, as in the setting ``hosts``.
        limits: The limits of a head.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str], limits: ConnectionSettings) -> None:
        self._app = app
        self._is_own_host = host_check(hosts)
        self._max_url = limits.max_url_bytes
        self._max_headers = limits.max_headers
        self._max_bytes = limits.max_head_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a request. Not async, because nothing is done after the application.

        Args:
            scope: The ASGI scope.
            receive: The ASGI channel of incoming messages.
            send: The ASGI channel of outgoing messages.

        Returns:
            What to await until the request is served.
        """
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        return (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the refusal of a head; ``None`` if the head is valid."""
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
        if scope["path"] in ANY_HOST_PATHS:
            return None
        if host is None or hosts > 1:
            return no_host(hosts)
        return None if self._is_own_host(host) else misdirected(host)


def host_check(hosts: Sequence[str]) -> HostCheck:
    """Make the check of ``Host``.

    Args:
        hosts: The gateway's names, as in the setting ``hosts``.

    Returns:
        The check. It caches its last 1,024 results.
    """
    if EVERY_HOST in hosts:
        return lambda _: True
    names = frozenset(host for host in hosts if not host.startswith("*."))
    suffixes = tuple(host[1:] for host in hosts if host.startswith("*."))

    @lru_cache(maxsize=_CACHED_HOSTS)
    def is_own_host(value: bytes) -> bool:
        name = host_name(value)
        return name in names or (name.endswith(suffixes) and not name.startswith("."))

    # Longer values are not cached, either: clients must not decide the size of the cache.
    return lambda value: len(value) <= _MAX_HOST and is_own_host(value)


def host_name(value: bytes) -> str:
    """Return the name in a value of ``Host`` (RFC 9110, section 7.2).

    Args:
        value: A name or an address, with or without a port.

    Returns:
        The name without the port, in lower case. An IPv6 address is in its short form; an invalid
        one gives an empty text.
    """
    text = value.decode("latin-1").lower()
    if not text.startswith("["):
        return text.partition(":")[0]
    try:
        return str(ip_address(text[1:].partition("]")[0]))
    except ValueError:
        return ""


def url_too_long(limit: int) -> RefusalResponse:
    """Make the response to a URL that is too long.

    Args:
        limit: The most bytes of a URL.

    Returns:
        A response with status 414.
    """
    return error_response(
        414,
        Code.BAD_REQUEST,
        f"the address is longer than {limit} bytes: expected a POST with a JSON body, which may be"
        " longer",
        limit="connections.max_url_bytes",
    )


def too_many_headers(limit: int) -> RefusalResponse:
    """Make the response to a head with too many headers.

    Args:
        limit: The most headers of a request.

    Returns:
        A response with status 431.
    """
    return error_response(
        431,
        Code.BAD_REQUEST,
        f"the request has more than {limit} headers: expected only those that it needs, such as"
        " Content-Type, Accept and Authorization",
        limit="connections.max_headers",
    )


def head_too_long(limit: int) -> RefusalResponse:
    """Make the response to a head whose headers are too long in all.

    Args:
        limit: The most bytes of all headers together.

    Returns:
        A response with status 431.
    """
    return error_response(
        431,
        Code.BAD_REQUEST,
        f"the headers are longer than {limit} bytes in all: expected shorter ones, perhaps without"
        " cookies, which are not read here",
        limit="connections.max_head_bytes",
    )


def no_host(count: int) -> RefusalResponse:
    """Refuse a request that has no ``Host``, or several (RFC 9112, section 3.2).

    Args:
        count: How many it has.

    Returns:
        A response with status 400.
    """
    return error_response(
        400,
        Code.BAD_REQUEST,
        f"the request has {count or 'no'} Host headers: expected one, with the gateway's name",
    )


def misdirected(host: bytes) -> RefusalResponse:
    """Refuse another host (RFC 9110, section 15.5.20) without naming the gateway's own hosts.

    Args:
        host: The value of ``Host``.

    Returns:
        A response with status 421.
    """
    return error_response(
        421,
        Code.BAD_REQUEST,
        f"{quote(host.decode('latin-1'))} is not a name of this gateway: expected in Host a name"
        " that its setting `hosts` has",
    )
