"""The one place where everything is put together."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from structlog.typing import FilteringBoundLogger

from app.environment import load_settings
from app.errors import Code, shown
from app.fastpath import responses, wire
from app.fastpath.route import Shortcut
from app.gateway import Gateway
from app.http.answers import error_response
from app.http.authentication import Authenticate
from app.http.caller import by_subject
from app.http.correlation import CorrelationMiddleware
from app.http.cors import cors
from app.http.graphiql import GraphiQL
from app.http.head import HeadMiddleware
from app.http.health import Health
from app.http.protocol import protocol_for
from app.http.rate import RateLimiter
from app.http.security import security_headers
from app.http.view import GraphQLEndpoint
from app.observability.logs import make_log
from app.process import log_strays, tune_collector
from app.resilience.clock import Clock, SystemClock
from app.resilience.retry import Chance
from app.settings import Settings
from app.sources.client_transport import client_transport
from app.sources.seen import See
from app.sources.transport import TransportFactory

PATH = "/graphql"


class _App(Starlette):
    """Starlette without its own last resort for exceptions: ``CorrelationMiddleware`` is ours."""

    def build_middleware_stack(self) -> ASGIApp:
        """Leave out what Starlette puts around all middleware."""
        outermost = super().build_middleware_stack()
        return outermost.app if isinstance(outermost, ServerErrorMiddleware) else outermost


def create_app(
    settings: Settings,
    log: FilteringBoundLogger,
    *,
    clock: Clock | None = None,
    chance: Chance = random.random,
    transports: TransportFactory | None = None,
    see: See | None = None,
    authenticate: Authenticate | None = None,
    version_of: Callable[[str], str] = version,
) -> Starlette:
    """Put the gateway together.

    Args:
        settings: All settings.
        log: Where everything is reported.
        clock: Tells the time; the machine's by default.
        chance: Gives the jitter of waits.
        transports: Makes the transport to each service; as the settings say by default.
        see: Is shown how each record is made, where somebody watches (``app/probe/``).
        authenticate: Finds out who asks; as the settings say by default.
        version_of: Tells the version of an installed package, for the fast paths.

    Returns:
        The ASGI application. Its lifespan opens and closes the clients of the sources.

    Raises:
        ConfigurationError: It was not said who may ask.
    """
    time = clock or SystemClock()
    settings, missing = usable(settings, version_of)
    for name, reason in missing.items():
        log.warning("fastpath.unavailable", fastpath=name, reason=reason)
    gateway = Gateway(
        settings,
        log,
        clock=time,
        chance=chance,
        transports=transports or _transports_of(settings),
        see=see,
    )
    health = Health(gateway.services, gateway.knows_callers)
    graphiql = GraphiQL() if settings.graphiql else None
    page = graphiql.page if graphiql is not None else None
    rate = settings.limits.rate
    endpoint = GraphQLEndpoint(
        gateway.engine,
        page,
        explainer=gateway.explainer(),
        authenticate=authenticate or gateway.authenticate,
        rate=RateLimiter(rate) if rate.enabled else None,
        who=by_subject(rate.trusted_proxies),
        settings=settings,
        clock=time,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        """Open the gateway, and close at its end what the endpoint holds."""
        async with gateway.lifespan(app):
            with closing(endpoint):
                yield

    hsts = settings.tls.hsts if settings.tls is not None else 0
    forwards = frozenset[str]().union(*(source.auth.forwards for _, source in settings.sources))
    return _App(
        routes=[
            Route(PATH, endpoint),
            Route("/healthz", health.alive),
            Route("/readyz", health.ready),
            Route("/", _home),
            *(graphiql.routes if graphiql is not None else ()),
        ],
        middleware=[
            Middleware(
                CorrelationMiddleware, log=log, forwards=forwards, headers=security_headers(hsts)
            ),
            Middleware(HeadMiddleware, hosts=settings.hosts, limits=settings.connections),
            *cors(settings.cors),
            *(
                [Middleware(Shortcut, path=PATH, to=endpoint)]
                if settings.fastpath.uses("route")
                else ()
            ),
        ],
        exception_handlers={404: _nothing_here, 405: _wrong_method},
        lifespan=lifespan,
    )


def app_from_environment() -> Starlette:
    """Put the gateway together from the environment: what a server process starts from.

    Returns:
        The ASGI application.

    Raises:
        ConfigurationError: The settings cannot be used.
    """
    settings = load_settings(serving=True)
    app = create_app(settings, make_log(settings.log))
    log_strays()
    tune_collector()
    return app


async def _nothing_here(request: Request, _: Exception) -> Response:
    """Lead whoever has the wrong address to the right one."""
    message = f"nothing is served at {shown(request.url.path)}: expected /graphql"
    return error_response(404, Code.BAD_REQUEST, message)


async def _wrong_method(request: Request, error: Exception) -> Response:
    """Lead whoever uses the wrong method to the right one."""
    headers = error.headers if isinstance(error, HTTPException) else None
    allowed = ", ".join(sorted((headers or {}).get("Allow", "GET").split(", ")))
    message = f"{request.method} is not served here: expected {allowed}"
    return error_response(405, Code.BAD_REQUEST, message, headers={"Allow": allowed})


async def _home(_: Request) -> Response:
    """Lead a person who opens the bare address to GraphiQL."""
    return RedirectResponse("graphql")


def usable(
    settings: Settings, version_of: Callable[[str], str] = version
) -> tuple[Settings, Mapping[str, str]]:
    """Switch off the fast paths whose libraries are not what they were written for.

    Args:
        settings: All settings.
        version_of: Tells the version of an installed package.

    Returns:
        The settings, and by name why each fast path that was on was switched off.
    """
    fastpath = settings.fastpath
    missing = {
        one.name: reason
        for one in (responses.REQUIRES, wire.REQUIRES)
        if fastpath.uses(one.name) and (reason := one.missing(version_of)) is not None
    }
    if missing:
        off = fastpath.model_copy(update=dict.fromkeys(missing, False))
        settings = settings.model_copy(update={"fastpath": off})
    return settings, missing


def protocol_of(settings: Settings) -> type[asyncio.Protocol]:
    """Choose what uvicorn takes as its ``http``.

    Args:
        settings: All settings.

    Returns:
        What makes a protocol for each connection; it can be handed to other processes.
    """
    chosen, _ = usable(settings)
    write = responses.whole_response if chosen.fastpath.uses("responses") else None
    return protocol_for(chosen, write)


def _transports_of(settings: Settings) -> TransportFactory:
    """Choose what sends requests to services."""
    return wire.wire_transport if settings.fastpath.uses("wire") else client_transport
