"""Finding out who asks."""

import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import Scope
from structlog.typing import FilteringBoundLogger

from app.graphql.caller import EVERYBODY, Caller
from app.resilience.clock import Clock
from app.shapes.callers import CallersSettings, JwtCallers
from app.sources.transport import TransportFactory

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
            from app.http.tokens.by_token import open_tokens  # noqa: PLC0415

            tokens = open_tokens(settings, router_token, transports, clock=clock, log=log)
            opened = await stack.enter_async_context(tokens)
        yield Authentication(knowing_the_router(opened.authenticate, router_token), opened.ready)


def always() -> bool:
    """Need no keys of anybody else.

    Returns:
        That callers can be known at once.
    """
    return True
