"""The one place where everything is put together: the application and its lifespan.

The running gateway: what is opened at its start, and closed at its end.

The one place where everything is put together.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope
from structlog.typing import FilteringBoundLogger

from app import __version__
from app.auth.authentication import Authenticate, Authentication, open_authentication
from app.auth.policies import Caller, Policies
from app.errors import Code, quote
from app.execution.documents import Documents
from app.execution.engine import Engine
from app.execution.explain import Explainer
from app.execution.keys import InputLimits
from app.execution.load import OpenSources
from app.execution.planner import Planner
from app.execution.render import OperationCompiler
from app.execution.schema import GatewaySchema, build_schema
from app.execution.source_fit import misfits_in
from app.execution.trusted import document_store_of
from app.fastpath import responses, wire
from app.fastpath.compiled import Compiler
from app.fastpath.route import Shortcut
from app.fastpath.rows import struct_decoder
from app.observability.logs import make_log
from app.resilience.clock import Clock, SystemClock
from app.resilience.retry import Chance
from app.server.correlation import CorrelationMiddleware
from app.server.cross_site import cors
from app.server.endpoint import GraphQLEndpoint
from app.server.graphiql import GraphiQL
from app.server.head import HeadMiddleware
from app.server.health import Health
from app.server.process import log_uncaught, tune_collector
from app.server.protocol import protocol_for
from app.server.rate_limit import RateLimiter, by_subject
from app.server.responses import error_response, security_headers
from app.settings import environment
from app.settings.auth import callers_said
from app.settings.environment import ENV_FILE
from app.settings.models import Settings
from app.sources.base import Record, Source
from app.sources.batch_scheduler import BatchScheduler, Sharing
from app.sources.cache.entity_cache import CachedSource
from app.sources.cache.store import MemoryStore
from app.sources.client import ServiceClient, open_service
from app.sources.endpoints import endpoints_of, foreign_of, keys_of
from app.sources.field_selection import SelectingSource
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import validating_decoder
from app.sources.pages import RestPages
from app.sources.records_in_parts import Endpoint, partitions_of
from app.sources.rest import RestSource
from app.transport.client import client_transport
from app.transport.transport import TransportFactory


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """What lives from start to stop.

    Attributes:
        services: The clients of the sources, open.
        engine: Runs operations over them.
        routers: Runs those of a router, which may read the schema; the same where there is none.
        authentication: Finds out who asks.
    """

    services: Sequence[ServiceClient]
    engine: Engine
    routers: Engine
    authentication: Authentication


class Gateway:
    """The gateway: what its parts are made of, and what lives while it runs.

    Attributes:
        running: What lives from start to stop; ``None`` before and after.
    """

    def __init__(
        self,
        settings: Settings,
        log: FilteringBoundLogger,
        *,
        clock: Clock,
        chance: Chance,
        transports: TransportFactory,
        observer: Observer | None,
    ) -> None:
        self.running: RunningGateway | None = None
        self._settings = settings
        self._log = log
        self._clock = clock
        self._chance = chance
        self._transports = transports
        self._observer = observer
        self._limits = InputLimits.from_settings(settings)
        self._schema = build_schema(security_directives=settings.has_security_directives)
        self._callers = callers_said(settings.auth)
        self._documents = Documents.from_settings(
            self._schema.core, settings, size=settings.document_cache
        )
        self._document_store = document_store_of(settings)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncGenerator[None]:
        """Open the clients of all sources, and close them at the end."""
        async with AsyncExitStack() as stack:
            self.running = await self._open(stack)
            self._log.info(
                "gateway.started",
                version=__version__,
                auth=self._callers.mode,
                sources={one.name: one.settings.base_url for one in self.running.services},
            )
            try:
                yield
            finally:
                self.running = None
        self._log.info("gateway.stopped")

    def engine(self, caller: Caller) -> Engine:
        """Find the engine that runs the operations of a caller."""
        running = self._running()
        return running.routers if caller.router else running.engine

    def authenticate(self, scope: Scope) -> Awaitable[Caller]:
        """Find out who makes a request."""
        return self._running().authentication.authenticate(scope)

    def knows_callers(self) -> bool:
        """Tell whether the running gateway can find out who asks."""
        return self.running is not None and self.running.authentication.ready()

    def _running(self) -> RunningGateway:
        """Find what lives while the gateway runs."""
        if self.running is None:
            raise RuntimeError("the gateway is not running: its lifespan has to be entered first")
        return self.running

    def explainer(self) -> Explainer | None:
        """Make what explains operations, where the settings allow it."""
        if not self._settings.explain:
            return None
        return Explainer(
            schema=self._schema,
            documents=self._documents,
            store=self._document_store,
            settings=self._settings,
            compiler=compiler_of(self._settings, self._schema),
        )

    def services(self) -> Sequence[ServiceClient] | None:
        """Find the clients of the running gateway; ``None`` when it is not running."""
        return self.running.services if self.running is not None else None

    async def _open(self, stack: AsyncExitStack) -> RunningGateway:
        """Open one client for each source that ``User`` reads."""
        readings = self._schema.source_fields.values()
        pages = {reading.pages for reading in readings if reading.pages is not None}
        settings = dict(self._settings.sources)
        endpoints = endpoints_of(self._schema.specs, settings)
        services = {
            name: await stack.enter_async_context(
                open_service(
                    name,
                    settings[name],
                    self._transports,
                    deadlines=self._settings.deadline,
                    clock=self._clock,
                    chance=self._chance,
                    log=self._log,
                )
            )
            for name in dict.fromkeys(spec.service for spec in self._schema.specs)
        }
        keys = keys_of(endpoints, self._settings.key_from)
        key_from = {name: one.source for name, one in keys.items()}
        sources = OpenSources(
            users={
                one.spec.name: await self._schedulers(
                    one, services[one.spec.service], foreign_of(one.spec.name, keys), stack
                )
                for several in endpoints.values()
                for one in several
            },
            pages={spec: RestPages(spec, services[spec.name]) for spec in pages},
            key_from=key_from,
            partitions=partitions_of(endpoints),
        )
        reads = self._schema.reads(endpoints, key_from)
        planner = Planner(self._schema.core, reads, self._limits)
        authentication = await stack.enter_async_context(
            open_authentication(
                self._callers,
                self._settings.router_token,
                self._transports,
                clock=self._clock,
                log=self._log,
            )
        )
        engine = routers = self._engine(self._schema, sources, planner, self._documents)
        if self._settings.router_token is not None:
            # What a router may ask differs in what its documents may be, and they are kept apart.
            documents = Documents.from_settings(
                self._schema.core,
                self._settings,
                size=self._settings.document_cache,
                router=True,
                variants=self._documents.variants,
            )
            routers = self._engine(self._schema, sources, planner, documents)
        return RunningGateway(tuple(services.values()), engine, routers, authentication)

    async def _schedulers(
        self,
        endpoint: Endpoint[Record],
        service: ServiceClient,
        foreign: Mapping[str, str],
        stack: AsyncExitStack,
    ) -> BatchScheduler[Record]:
        """Put before a source what its settings have: a cache, and the sharing of calls."""
        spec, settings = endpoint.spec, endpoint.settings
        client = service.endpoint(spec.name, settings)
        # A source with keys of its own is not asked by users' ids.
        fold_case = self._limits.fold_case and spec.service not in self._settings.key_from
        decoders = struct_decoder if self._settings.fastpath.uses("rows") else validating_decoder
        source: Source[Record] = (
            SelectingSource(
                endpoint,
                client,
                self._log,
                foreign,
                observer=self._observer,
                fold_case=fold_case,
                decoders=decoders,
            )
            if endpoint.selects
            else RestSource(
                spec,
                client,
                self._log,
                foreign,
                observer=self._observer,
                fold_case=fold_case,
                decoders=decoders,
            )
        )
        sharing = Sharing.BATCHES if settings.coalesce.enabled else Sharing.NOTHING
        if settings.cache.enabled:
            source = await stack.enter_async_context(
                CachedSource(
                    source,
                    settings,
                    store=MemoryStore(settings.cache.max_entries),
                    deadlines=self._settings.deadline,
                    clock=self._clock,
                    log=self._log,
                    congested=client.is_congested,
                )
            )
            sharing = Sharing.NOTHING  # what is in the cache waits for no other request
        batches = BatchScheduler(
            source.name,
            source.fetch_many,
            sharing=sharing,
            settings=settings,
            deadlines=self._settings.deadline,
            clock=self._clock,
            log=self._log,
            congested=client.is_congested,
        )
        return await stack.enter_async_context(batches)

    def _engine(
        self, schema: GatewaySchema, sources: OpenSources, planner: Planner, documents: Documents
    ) -> Engine:
        """Make the engine over open sources."""
        settings = dict(self._settings.sources)
        return Engine(
            schema=schema,
            sources=sources,
            planner=planner,
            documents=documents,
            store=self._document_store,
            policies=Policies(schema.policies, fold_case=self._limits.fold_case),
            compiler=compiler_of(self._settings, schema),
            required=frozenset(
                name
                for name in sources.users
                if settings[name.partition(".")[0]].contract == "required"
            ),
            clock=self._clock,
            log=self._log,
        )


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
    observer: Observer | None = None,
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
        observer: Is shown how each record is made, where somebody watches (``app/probe/``).
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
        observer=observer,
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
        caller_key=by_subject(rate.trusted_proxies),
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


def load_settings(
    env_file: Path | None = ENV_FILE, *, config: Path | None = None, serving: bool = False
) -> Settings:
    """Read the settings from the environment, and from files for what that lacks.

    Args:
        env_file: A file of ``NAME=value`` lines, which is as good as the environment. It need not
            exist.
        config: The configuration file; the one that ``GATEWAY_CONFIG`` names by default, if any.
        serving: Whether requests are going to be answered, so that it has to be said who may ask.

    Returns:
        The settings, which fit the sources.

    Raises:
        ConfigurationError: They cannot be used; with one sentence a mistake.
    """
    return environment.load_settings(env_file, check=misfits_in, config=config, serving=serving)


def app_from_environment() -> Starlette:
    """Put the gateway together from the environment: what a server process starts from.

    Returns:
        The ASGI application.

    Raises:
        ConfigurationError: The settings cannot be used.
    """
    settings = load_settings(serving=True)
    app = create_app(settings, make_log(settings.log))
    log_uncaught()
    tune_collector()
    return app


async def _nothing_here(request: Request, _: Exception) -> Response:
    """Lead whoever has the wrong address to the right one."""
    message = f"nothing is served at {quote(request.url.path)}: expected /graphql"
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


def compiler_of(settings: Settings, schema: GatewaySchema) -> OperationCompiler | None:
    """Choose what compiles operations.

    Args:
        settings: All settings.
        schema: The schema.

    Returns:
        The compiler; ``None`` where all is left to Strawberry's executor.
    """
    return Compiler(schema) if settings.fastpath.uses("compiled") else None


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
