"""Authentication by a bearer token. Only a gateway with tokens imports it: joserfc is large."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from joserfc.jwk import Key
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import Scope
from structlog.typing import FilteringBoundLogger

from app.auth.callers import Authenticate, Authentication, always_ready, is_router
from app.auth.issuer import open_keyring
from app.auth.keys import KeySet, secret_keys
from app.auth.policies import NOBODY, Caller
from app.auth.tokens import BadTokenError, FindKey, Verifier, no_token, read_bearer, unauthenticated
from app.resilience.clock import Clock
from app.settings.auth import JwtCallers
from app.transport.transport import TransportFactory


@asynccontextmanager
async def open_tokens(
    settings: JwtCallers,
    router_token: SecretStr | None,
    transports: TransportFactory,
    *,
    clock: Clock,
    log: FilteringBoundLogger,
) -> AsyncGenerator[Authentication]:
    """Open the authentication by tokens for the life of the process.

    Args:
        settings: How tokens are verified.
        router_token: The router's token. The router itself needs no bearer token.
        transports: Makes the transport to the issuer of the keys.
        clock: The clock.
        log: The log of key fetches and of refused callers.

    Yields:
        The authentication. Its connections are closed at the end.
    """
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
