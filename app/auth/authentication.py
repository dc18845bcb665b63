"""Opens the authentication that the settings choose, and counts its results."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

from pydantic import SecretStr
from starlette.types import Scope
from structlog.typing import FilteringBoundLogger

from app.auth.callers import (
    Authenticate,
    Authentication,
    always_ready,
    everybody,
    recognizing_router,
)
from app.auth.policies import Caller
from app.errors import RequestError
from app.observability.telemetry import GatewayMetrics
from app.resilience.clock import Clock
from app.settings.auth import CallersSettings, JwtCallers
from app.transport.transport import TransportFactory


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
            from app.auth.by_token import open_tokens  # noqa: PLC0415 # it needs much memory

            tokens = open_tokens(settings, router_token, transports, clock=clock, log=log)
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
