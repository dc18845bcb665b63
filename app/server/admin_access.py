"""Who may change something at the admin port: a client that has the token of the settings.

Reading needs no token, because Prometheus and probes read. What changes something needs one even
on a loopback address: other programs of the machine reach that, too.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from hmac import compare_digest

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from app.errors import Code
from app.server.responses import error_response

AdminHandler = Callable[[Request], Awaitable[Response]]
"""Answers a request to the admin port."""

NOTHING_ALLOWED = (
    "nothing can be changed by this port until a token is set: expected the setting"
    " GATEWAY_ADMIN__TOKEN"
)
"""Why every client is refused while the settings have no token."""

NOT_ALLOWED = (
    "the request has not the token of this port: expected Authorization: Bearer, with the value of"
    " GATEWAY_ADMIN__TOKEN"
)
"""Why a client without the token is refused."""


@dataclass(frozen=True, slots=True)
class AdminAccess:
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
            return self.refusal(request) or await handle(request)

        return guarded
