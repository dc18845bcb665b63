"""Knowing callers by tokens: what checks them is opened, and asked."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from joserfc.jwk import Key
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import Scope
from structlog.typing import FilteringBoundLogger

from app.graphql.caller import NOBODY, Caller
from app.http.authentication import Authenticate, Authentication, always, is_router
from app.http.tokens.bearer import no_token, read_bearer, unauthenticated
from app.http.tokens.keyring import open_keyring
from app.http.tokens.keys import KeySet, secret_keys
from app.http.tokens.verification import BadTokenError, FindKey, Verifier
from app.resilience.clock import Clock
from app.shapes.callers import JwtCallers
from app.sources.transport import TransportFactory


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
