"""Which caller a request comes from: the interface, and what needs no token."""

import hmac
from collections.abc import Awaitable, Callable

from msgspec import Struct
from msgspec.structs import replace
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import Scope

from app.auth.policies import EVERYBODY, Caller

Authenticate = Callable[[Scope], Awaitable[Caller]]
"""Returns the caller of a request, from the head of the request only.

Async, because the keys to verify a token may have to be fetched.

Raises ``RequestError`` if the token is not valid, or the caller cannot be determined.
"""

ROUTER_HEADER = "x-router-token"


async def everybody(_: Scope) -> Caller:
    """Authenticate without tokens: every client is the same caller.

    Returns:
        A caller that may see everything.
    """
    return EVERYBODY


def recognizing_router(authenticate: Authenticate, token: SecretStr | None) -> Authenticate:
    """Mark callers whose requests come through the router.

    Args:
        authenticate: Returns the caller that the router forwards the request of.
        token: The router's token; ``None`` if there is no router.

    Returns:
        A function that returns the caller, with ``router`` set if the router sent the request.
    """
    if token is None:
        return authenticate

    async def authenticate_with_router(scope: Scope) -> Caller:
        caller = await authenticate(scope)
        return replace(caller, router=True) if is_router(Headers(scope=scope), token) else caller

    return authenticate_with_router


def is_router(headers: Headers, token: SecretStr | None) -> bool:
    """Return whether a request comes from the router. The comparison takes constant time.

    Args:
        headers: The request's headers.
        token: The router's token; ``None`` if there is no router.

    Returns:
        Whether the request has exactly one ``X-Router-Token``, and it is the router's token.
    """
    values = headers.getlist(ROUTER_HEADER)
    if token is None or len(values) != 1:
        return False
    return hmac.compare_digest(values[0].encode(), token.get_secret_value().encode())


class Authentication(Struct, frozen=True):
    """The authentication of a running gateway.

    Attributes:
        authenticate: Returns the caller of a request.
        ready: Returns whether callers can be authenticated: whether there are keys.
    """

    authenticate: Authenticate
    ready: Callable[[], bool]


def always_ready() -> bool:
    """Return whether callers can be authenticated, for authentication without an issuer.

    Returns:
        Always true: no keys have to be fetched.
    """
    return True
