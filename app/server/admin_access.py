"""Who may use the admin port, and who may change something there.

Reading needs no token, because Prometheus and probes read. What changes something needs one even
on a loopback address: other programs of the machine reach that, too.

No page of a browser may read: ``Host`` has to be a name of the gateway (``head.py`` says why), or
an address. An address in ``Host`` cannot come from a page that was loaded under somebody's name,
and Prometheus finds processes by their addresses.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from hmac import compare_digest
from ipaddress import ip_address

from msgspec import Struct
from pydantic import SecretStr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Code
from app.server.head import ANY_HOST_PATHS, host_check, host_name, misdirected, no_host
from app.server.responses import error_response

AdminHandler = Callable[[Request], Awaitable[Response]]
"""Answers a request to the admin port."""

MAX_BODY_BYTES = 1_048_576
"""The most bytes of a request body: an invalidation may name many users."""

NOTHING_ALLOWED = (
    "nothing can be changed by this port until a token is set: expected the setting"
    " GATEWAY_ADMIN__TOKEN"
)
"""Why every client is refused while the settings have no token."""

CUT_SHORT = "the client has disconnected before all of the body was there"
"""What became of a request whose client has gone."""

NOT_ALLOWED = (
    "the request has not the token of this port: expected Authorization: Bearer, with the value of"
    " GATEWAY_ADMIN__TOKEN"
)
"""Why a client without the token is refused."""


class AdminAccess(Struct, frozen=True):
    """The check of the token.

    Attributes:
        token: Returns the token of the settings that are used now; ``None`` if they have none, and
            nobody may change anything.
    """

    token: Callable[[], SecretStr | None]

    def refusal(self, request: Request) -> Response | None:
        """Check a request.

        Args:
            request: The request.

        Returns:
            The response to a client that may change nothing; ``None`` if it may.
        """
        token = self.token()
        if token is None:
            return error_response(403, Code.FORBIDDEN, NOTHING_ALLOWED)
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        # Compared as bytes, in a time that does not depend on how many of them are right.
        expected = token.get_secret_value().encode()
        is_right = compare_digest(sent.strip().encode("latin-1"), expected)
        if scheme.lower() == "bearer" and is_right:
            return None
        challenge = {"WWW-Authenticate": 'Bearer realm="admin"'}
        return error_response(401, Code.UNAUTHENTICATED, NOT_ALLOWED, headers=challenge)

    def guarded(self, handle: AdminHandler) -> AdminHandler:
        """Let only clients with the token reach a handler.

        Args:
            handle: The handler.

        Returns:
            A handler that refuses other clients.
        """

        @wraps(handle)
        async def guarded(request: Request) -> Response:
            try:
                return self.refusal(request) or await handle(request)
            except ClientDisconnect:
                return error_response(400, Code.BAD_REQUEST, CUT_SHORT)  # nobody reads it

        return guarded


HostNames = Callable[[], Sequence[str]]
"""Returns the names of the gateway by the settings that are used now."""


class AdminHosts:
    """Refuses requests to the admin port that name another host. Pure ASGI.

    Args:
        app: The application.
        hosts: The names of the gateway.
    """

    def __init__(self, app: ASGIApp, hosts: HostNames) -> None:
        self._app = app
        self._hosts = hosts

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
        """Return the refusal of a request; ``None`` if its host is right."""
        if scope["path"] in ANY_HOST_PATHS:
            return None
        hosts: list[bytes] = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return no_host(len(hosts))
        [host] = hosts
        return None if _is_address(host) or host_check(self._hosts())(host) else misdirected(host)


def _is_address(host: bytes) -> bool:
    """Return whether a value of ``Host`` is an address, with or without a port."""
    try:
        ip_address(host_name(host))
    except ValueError:
        return False
    return True
