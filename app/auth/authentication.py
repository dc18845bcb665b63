"""Authentication: which caller a request comes from, by its token or without one."""

import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus

from joserfc.jwk import Key
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import Scope
from structlog.typing import FilteringBoundLogger

from app.auth.issuer import open_keyring
from app.auth.keys import KeySet, secret_keys
from app.auth.policies import EVERYBODY, NOBODY, Caller
from app.auth.tokens import BadTokenError, FindKey, Verifier, no_token, read_bearer, unauthenticated
from app.errors import RequestError
from app.observability.telemetry import GatewayMetrics
from app.resilience.clock import Clock
from app.settings.auth import CallersSettings, JwtCallers
from app.transport.transport import TransportFactory

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


@dataclass(frozen=True, slots=True)
class Authentication:
    """The authentication of a running gateway.

    Attributes:
        authenticate: Returns the caller of a request.
        ready: Returns whether callers can be authenticated: whether there are keys.
    """

    authenticate: Authenticate
    ready: Callable[[], bool]


@asynccontextmanager
async def open_authentication(
    settings: CallersSettings,
    router_token: SecretStr | None,
    transports: TransportFactory,
    *,
    clock: Clock,
    log: FilteringBoundLogger,
    metrics: GatewayMetrics,
) -> AsyncGenerator[Authentication]:
    """Open the authentication for the life of the process.

    Args:
        settings: How callers are authenticated.
        router_token: The router's token; ``None`` if there is no router.
        transports: Makes the transport to the issuer of the keys.
        clock: The clock.
        log: The log of key fetches and of refused callers.
        metrics: Where callers are counted.

    Yields:
        The authentication. Its connections are closed at the end.
    """
    async with AsyncExitStack() as stack:
        opened = Authentication(everybody, always_ready)
        if isinstance(settings, JwtCallers):
            tokens = _open_tokens(settings, router_token, transports, clock=clock, log=log)
            opened = await stack.enter_async_context(tokens)
        authenticate = recognizing_router(opened.authenticate, router_token)
        if authenticate is not everybody:
            authenticate = counting(authenticate, metrics)
        yield Authentication(authenticate, opened.ready)


def counting(authenticate: Authenticate, metrics: GatewayMetrics) -> Authenticate:
    """Count callers by the result of their authentication.

    Args:
        authenticate: Returns the caller of a request.
        metrics: Where callers are counted.

    Returns:
        The same, which counts.
    """
    count = metrics.authentication.add

    async def authenticate_and_count(scope: Scope) -> Caller:
        try:
            caller = await authenticate(scope)
        except RequestError as error:
            is_refused = error.status < HTTPStatus.INTERNAL_SERVER_ERROR
            count(1, "refused" if is_refused else "unavailable")
            raise
        if caller.router:
            count(1, "router")
        else:
            count(1, "anonymous" if caller.subject is None else "known")
        return caller

    return authenticate_and_count


def always_ready() -> bool:
    """Return whether callers can be authenticated, for authentication without an issuer.

    Returns:
        Always true: no keys have to be fetched.
    """
    return True


@asynccontextmanager
async def _open_tokens(
    settings: JwtCallers,
    router_token: SecretStr | None,
    transports: TransportFactory,
    *,
    clock: Clock,
    log: FilteringBoundLogger,
) -> AsyncGenerator[Authentication]:
    """Open the authentication by tokens."""
    async with AsyncExitStack() as stack:
        find: FindKey
        ready = always_ready
        if settings.secret is not None:
            find = _find_in(secret_keys(settings.secret))
        else:
            keyring = open_keyring(settings, transports, clock=clock, log=log)
            opened = await stack.enter_async_context(keyring)
            find, ready = opened.find, opened.ready
        verifier = Verifier(settings, find, clock)
        yield Authentication(
            by_token(verifier, anonymous=settings.anonymous, router_token=router_token, log=log),
            ready,
        )


def by_token(
    verifier: Verifier,
    *,
    anonymous: bool,
    router_token: SecretStr | None,
    log: FilteringBoundLogger,
) -> Authenticate:
    """Authenticate callers by a bearer token.

    Args:
        verifier: Verifies tokens.
        anonymous: Whether callers without a token are accepted, as ``NOBODY``.
        router_token: The router's token. The router itself needs no bearer token.
        log: The log of refused callers.

    Returns:
        A function that returns the caller of a request.
    """

    async def authenticate(scope: Scope) -> Caller:
        headers = Headers(scope=scope)
        token = read_bearer(headers)
        if token is None:
            if anonymous or is_router(headers, router_token):
                return NOBODY
            log.info("auth.refused", why="there is no token")
            raise no_token()
        try:
            return await verifier.verify(token)
        except BadTokenError as error:
            log.info("auth.refused", why=error.why)
            raise unauthenticated(error.why) from error

    return authenticate


def _find_in(keys: KeySet) -> FindKey:
    """Make a ``FindKey`` over keys that never change."""

    async def find(name: str | None, algorithm: str) -> Key | None:
        return keys.find(name, algorithm)

    return find
