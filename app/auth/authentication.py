"""Authentication: which caller a request comes from.

Finding out who asks.

Knowing callers by tokens: what checks them is opened, and asked.
"""

import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from joserfc.jwk import Key
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import Scope
from structlog.typing import FilteringBoundLogger

from app.auth.issuer import open_keyring
from app.auth.keys import KeySet, secret_keys
from app.auth.policies import EVERYBODY, NOBODY, Caller
from app.auth.tokens import BadTokenError, FindKey, Verifier, no_token, read_bearer, unauthenticated
from app.resilience.clock import Clock
from app.settings.auth import CallersSettings, JwtCallers
from app.transport.transport import TransportFactory

Authenticate = Callable[[Scope], Awaitable[Caller]]
"""Finds who makes a request, by its head alone.

Async, since the keys to check it by may have to be fetched.

Raises ``RequestError`` where it cannot be found out, or where what the client shows is not right.
"""

ROUTER_HEADER = "x-router-token"


async def everybody(_: Scope) -> Caller:
    """Let everyone in, where callers are not told apart.

    Returns:
        A caller who may see everything.
    """
    return EVERYBODY


def knowing_the_router(authenticate: Authenticate, token: SecretStr | None) -> Authenticate:
    """Know the router by the token that it shows, beside whoever it asks for.

    Args:
        authenticate: Finds out for whom it asks.
        token: The token; ``None`` where there is no router.

    Returns:
        What finds out who asks.
    """
    if token is None:
        return authenticate

    async def knowing(scope: Scope) -> Caller:
        caller = await authenticate(scope)
        return replace(caller, router=True) if is_router(Headers(scope=scope), token) else caller

    return knowing


def is_router(headers: Headers, token: SecretStr | None) -> bool:
    """Tell whether a request comes from the router.

    Args:
        headers: The request's headers.
        token: What the router shows; ``None`` where there is no router.

    Returns:
        Whether it shows that, and nothing beside it.
    """
    shown = headers.getlist(ROUTER_HEADER)
    if token is None or len(shown) != 1:
        return False
    return hmac.compare_digest(shown[0].encode(), token.get_secret_value().encode())


@dataclass(frozen=True, slots=True)
class Authentication:
    """What finds out who asks, while the gateway runs.

    Attributes:
        authenticate: Finds it out.
        ready: Tells whether it can: whether there are keys.
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
) -> AsyncGenerator[Authentication]:
    """Open what finds out who asks, for the life of the process.

    Args:
        settings: How callers are known.
        router_token: What the router shows, if there is one.
        transports: Makes the transport to where the keys are.
        clock: Tells the time.
        log: Where it is reported what became of fetching them, and who was not let in.

    Yields:
        It; the connections that it has are closed at the end.
    """
    async with AsyncExitStack() as stack:
        opened = Authentication(everybody, always)
        if isinstance(settings, JwtCallers):
            # Only here: cryptography takes 10 MB and a twentieth of a second to start.

            tokens = open_tokens(settings, router_token, transports, clock=clock, log=log)
            opened = await stack.enter_async_context(tokens)
        yield Authentication(knowing_the_router(opened.authenticate, router_token), opened.ready)


def always() -> bool:
    """Need no keys of anybody else.

    Returns:
        That callers can be known at once.
    """
    return True


@asynccontextmanager
async def open_tokens(
    settings: JwtCallers,
    router_token: SecretStr | None,
    transports: TransportFactory,
    *,
    clock: Clock,
    log: FilteringBoundLogger,
) -> AsyncGenerator[Authentication]:
    """Open what knows callers by their tokens.

    Args:
        settings: Which tokens are good.
        router_token: What the router shows, if there is one.
        transports: Makes the transport to where the keys are.
        clock: Tells the time.
        log: Where it is reported what became of fetching them, and who was not let in.

    Yields:
        It; the connections that it has are closed at the end.
    """
    async with AsyncExitStack() as stack:
        find: FindKey
        ready = always
        if settings.secret is not None:
            find = _among(secret_keys(settings.secret))
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
    """Let those in who show a good token.

    Args:
        verifier: Tells whether it is.
        anonymous: Whether those who show none get in as well, as nobody in particular.
        router_token: What the router shows, who may come without one.
        log: Where it is reported why somebody was not let in.

    Returns:
        What finds out who asks.
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


def _among(keys: KeySet) -> FindKey:
    """Find keys among those that never change."""

    async def find(name: str | None, algorithm: str) -> Key | None:
        return keys.find(name, algorithm)

    return find
