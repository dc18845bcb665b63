"""Assembles the application and its lifespan. No other module does."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, nullcontext
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
from app.auth.authentication import open_authentication
from app.auth.callers import Authenticate, Authentication
from app.auth.policies import Caller
from app.errors import Code, ConfigurationError, LibraryError, quote
from app.execution.documents import Documents
from app.execution.engine import Engine
from app.execution.explain import Explainer
from app.execution.freshness import FreshnessRules
from app.execution.keys import InputLimits
from app.execution.load import OpenSources
from app.execution.observation import observe_documents
from app.execution.open_sources import OpenService, SourceOpener
from app.execution.planner import Planner
from app.execution.render import OperationCompiler
from app.execution.schema import GatewaySchema, policies_of, schema_for
from app.execution.shared_documents import SharedDocuments
from app.execution.source_fit import completed, misfits_in
from app.execution.telemetry import OperationTelemetry
from app.execution.trusted import document_store_of
from app.expressions.expression import compile_expression
from app.fastpath import responses, wire
from app.fastpath.compiled import Compiler
from app.fastpath.expressions import compile_to_function
from app.fastpath.records import record_maker
from app.fastpath.route import Shortcut
from app.fastpath.rows import struct_decoder
from app.fastpath.scan import scanner_at_once
from app.observability.logs import make_log
from app.observability.otlp import open_telemetry
from app.observability.otlp_variables import read_otlp
from app.observability.telemetry import GatewayMetrics, Telemetry
from app.resilience.clock import Clock, SystemClock
from app.resilience.retry import Chance
from app.schema.default import DEFAULT_SCHEMA
from app.schema.examples import ExampleQuery, example_queries
from app.server import pipelining
from app.server.commands import CommandHandlers, InvalidateCache
from app.server.control import ControlAddress
from app.server.correlation import CorrelationMiddleware
from app.server.cross_site import cors
from app.server.endpoint import GraphQLEndpoint
from app.server.graphiql import GraphiQL
from app.server.head import HeadMiddleware
from app.server.health import Health, WatchedService
from app.server.invalidating import carry_out
from app.server.observation import observe_server
from app.server.process import log_uncaught, tune_collector
from app.server.protocol import protocol_for
from app.server.rate_limit import RateLimiter, by_subject
from app.server.refusals import COUNT_REFUSAL
from app.server.responses import error_response, security_headers, wrong_method
from app.server.serving import STARTUP_FAILURE, UNUSABLE, log_unusable
from app.server.telemetry import HttpTelemetry
from app.server.token_buckets import MemoryBuckets, SharedBuckets, TokenBuckets
from app.server.watch import watching
from app.settings import environment
from app.settings.auth import require_callers
from app.settings.environment import ENV_FILE
from app.settings.models import LogSettings, Settings
from app.sources.cache.feed import InvalidationFeed, horizon_of
from app.sources.cache.invalidation import Invalidations
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import ReadMethods, each_row, validating_decoder
from app.sources.mapping.scan import scan
from app.sources.observation import observe_invalidations
from app.store.redis_client import connect
from app.store.shared import SharedStore
from app.transport.client import client_transport
from app.transport.transport import TransportFactory


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """The parts of the gateway that exist from start to stop.

    Attributes:
        services: The open clients of the sources.
        engine: Executes the operations of callers.
        router_engine: Executes the operations of a router, which may read the schema. It is
            ``engine`` if there is no router.
        authentication: Returns the callers of requests.
    """

    services: Sequence[OpenService]
    engine: Engine
    router_engine: Engine
    authentication: Authentication


class Gateway:
    """The gateway: the settings of its parts, and the parts that exist while it runs.

    Args:
        settings: All settings.
        log: The log.
        clock: The clock.
        chance: Returns random numbers, for the jitter of waits.
        transports: Makes the transport to each service.
        observer: Gets each record and how it was made; ``None`` for no observer.
        schema: The schema that was built of the settings, which then have the expressions of its
            fields; ``None`` to build it here.
        telemetry: What its parts measure with.
        store: The shared store; ``None`` if there is none.

    Attributes:
        invalidations: Which source results must not be used any more.
        running: The parts that exist from start to stop; ``None`` before and after.
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
        schema: GatewaySchema | None,
        telemetry: Telemetry,
        store: SharedStore | None,
    ) -> None:
        self.running: RunningGateway | None = None
        self._log = log
        self._clock = clock
        self._chance = chance
        self._transports = transports
        self._observer = observer
        self._telemetry = telemetry
        self._store = store
        self._feed: InvalidationFeed | None = None
        self._limits = InputLimits.from_settings(settings)
        self.invalidations = Invalidations(clock, fold_case=self._limits.fold_case)
        if schema is None:
            schema, settings = schema_for(settings)
        self._schema = schema
        self._settings = settings
        observe_invalidations(telemetry.metrics.registry, self.invalidations)
        self._callers = require_callers(settings.auth)
        self._documents = Documents.from_settings(
            self._schema.core,
            settings,
            size=settings.document_cache,
            monotonic=clock.monotonic,
        )
        observe_documents(telemetry.metrics.registry, self._documents)
        shared_documents = None
        if store is not None and settings.store.documents:
            shared_documents = SharedDocuments(store, telemetry.metrics.store_lookups)
        self._document_store = document_store_of(settings, shared_documents)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncGenerator[None]:
        """Open the clients of all sources, and close them at the end.

        Yields:
            Nothing. The gateway runs meanwhile.
        """
        async with AsyncExitStack() as stack:
            self.running = await self._open(stack)
            self._log.info(
                "gateway.opened",
                version=__version__,
                auth=self._callers.mode,
                sources={service.name: service.address for service in self.running.services},
            )
            for one in self._schema.definition.outdated:
                self._log.warning(
                    "extension.deprecated", module=one.module, name=one.name, instead=one.instead
                )
            try:
                yield
            finally:
                self.running = None
        self._log.info("gateway.stopped")

    def engine(self, caller: Caller) -> Engine:
        """Return the engine that executes the operations of a caller.

        Args:
            caller: The caller.

        Returns:
            The engine.

        Raises:
            RuntimeError: The gateway is not running.
        """
        running = self._running()
        return running.router_engine if caller.router else running.engine

    def authenticate(self, scope: Scope) -> Awaitable[Caller]:
        """Return the caller of a request. An ``Authenticate``.

        Args:
            scope: The ASGI scope of the request.

        Returns:
            An awaitable of the caller. It raises ``RequestError`` if the token is not valid.

        Raises:
            RuntimeError: The gateway is not running.
        """
        return self._running().authentication.authenticate(scope)

    def can_authenticate(self) -> bool:
        """Return whether callers can be authenticated.

        Returns:
            Whether the gateway runs and has the keys that it needs.
        """
        return self.running is not None and self.running.authentication.ready()

    def _running(self) -> RunningGateway:
        """Return the running parts, or raise if the gateway does not run."""
        if self.running is None:
            raise RuntimeError("the gateway is not running: its lifespan has to be entered first")
        return self.running

    def graphiql(self) -> GraphiQL | None:
        """Make the page for browsers.

        Returns:
            The page; ``None`` if the settings do not allow it.
        """
        settings = self._settings
        if not settings.graphiql:
            return None
        if not settings.introspection:
            self._log.warning(
                "gateway.odd_settings",
                hint="GraphiQL cannot read the schema, so it neither completes nor checks queries:"
                " set GATEWAY_INTROSPECTION=true, or GATEWAY_GRAPHIQL=false",
            )
        trace = settings.trace != "never"
        return GraphiQL(examples=self.examples(), trace=trace, explain=settings.explain)

    def explainer(self) -> Explainer | None:
        """Make the explainer of operations.

        Returns:
            The explainer; ``None`` if the settings do not allow it.
        """
        if not self._settings.explain:
            return None
        return Explainer(
            schema=self._schema,
            documents=self._documents,
            store=self._document_store,
            settings=self._settings,
            compiler=compiler_of(self._settings, self._schema),
        )

    async def invalidate(self, command: InvalidateCache) -> Sequence[str]:
        """Carry out an invalidation of the entity cache.

        Args:
            command: The invalidation.

        Returns:
            Why it is not done, a sentence for each reason; empty if it is.
        """
        return await carry_out(command, os.getpid(), self.invalidations, self._feed)

    def examples(self) -> Sequence[ExampleQuery]:
        """Write queries to explore the schema with.

        Returns:
            The queries; none for the default schema, which the page has queries for.
        """
        definition = self._schema.definition
        return () if definition == DEFAULT_SCHEMA else example_queries(definition)

    def services(self) -> Sequence[WatchedService] | None:
        """Return the clients of the sources.

        Returns:
            The open clients; ``None`` if the gateway is not running.
        """
        return self.running.services if self.running is not None else None

    async def _open(self, stack: AsyncExitStack) -> RunningGateway:
        """Open the sources that ``User`` reads, and make the running parts."""
        store = self._store if self._settings.store.entities else None
        if store is not None:
            sources = self._settings.sources
            self._feed = InvalidationFeed(
                store,
                self.invalidations,
                sources=sources.keys(),
                horizon=horizon_of(sources.values()),
                clock=self._clock,
                log=self._log,
            )
            await stack.enter_async_context(self._feed)
        opener = SourceOpener(
            settings=self._settings,
            fold_case=self._limits.fold_case,
            transports=self._transports,
            methods=read_methods(self._settings),
            observer=self._observer,
            clock=self._clock,
            chance=self._chance,
            log=self._log,
            telemetry=self._telemetry,
            invalidations=self.invalidations,
            store=store,
        )
        opened = await stack.enter_async_context(opener.opened(self._schema.definition))
        reads = self._schema.reads(opened.endpoints, opened.sources.key_from)
        planner = Planner(self._schema.core, reads, self._limits)
        authentication = await stack.enter_async_context(
            open_authentication(
                self._callers,
                self._settings.router_token,
                self._transports,
                clock=self._clock,
                log=self._log,
                metrics=self._telemetry.metrics,
            )
        )
        engine = router_engine = self._engine(opened.sources, planner, self._documents)
        if self._settings.router_token is not None:
            # A router may send other documents than clients may, so they are cached separately.
            documents = Documents.from_settings(
                self._schema.core,
                self._settings,
                size=self._settings.document_cache,
                monotonic=self._clock.monotonic,
                router=True,
                variants=self._documents.variants,
            )
            observe_documents(self._telemetry.metrics.registry, documents)
            router_engine = self._engine(opened.sources, planner, documents)
        return RunningGateway(opened.services, engine, router_engine, authentication)

    def _engine(self, sources: OpenSources, planner: Planner, documents: Documents) -> Engine:
        """Make an engine over open sources."""
        schema, settings = self._schema, self._settings.sources
        return Engine(
            schema=schema,
            sources=sources,
            planner=planner,
            documents=documents,
            store=self._document_store,
            policies=policies_of(schema.definition, fold_case=self._limits.fold_case),
            compiler=compiler_of(self._settings, schema),
            freshness=FreshnessRules.of(self._settings),
            required=frozenset(
                name
                for name in sources.users
                if settings[name.partition(".")[0]].contract == "required"
            ),
            clock=self._clock,
            log=self._log,
            telemetry=OperationTelemetry(
                self._telemetry, documents=self._settings.telemetry.documents
            ),
        )


PATH = "/graphql"


class _App(Starlette):
    """Starlette without its outermost error handler; ``CorrelationMiddleware`` replaces it."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return the middleware stack without ``ServerErrorMiddleware``."""
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
    schema: GatewaySchema | None = None,
    authenticate: Authenticate | None = None,
    telemetry: Telemetry | None = None,
    control: ControlAddress | None = None,
    version_of: Callable[[str], str] = version,
) -> Starlette:
    """Assemble the gateway.

    Args:
        settings: All settings.
        log: The log.
        clock: The clock; the system's by default.
        chance: Returns random numbers between 0 and 1, for the jitter of waits.
        transports: Makes the transport to each service; by default the one of the settings.
        observer: Gets each record and how it was made, for ``app/probe/``.
        schema: The schema, if ``schema_for`` has built it of the settings; ``settings`` are those
            that it returned. By default, it is built here.
        authenticate: Returns the caller of a request; by default as the settings say.
        telemetry: What the parts of the gateway measure with; by default metrics that are counted
            and not exported.
        control: Where the supervisor of this process listens; ``None`` if it has none.
        version_of: Returns the version of an installed package, for the fast paths.

    Returns:
        The ASGI application. Its lifespan opens and closes the clients of the sources. Its
        ``state.readiness`` returns the ``Readiness``, with the states of sources.

    Raises:
        ConfigurationError: The settings do not say how callers are authenticated, or their schema
            does not fit together.
    """
    time = clock or SystemClock()
    settings, missing = usable(settings, version_of)
    for name, reason in missing.items():
        log.warning("fastpath.unavailable", fastpath=name, reason=reason)
    telemetry = telemetry or Telemetry(GatewayMetrics(settings.telemetry.operation_names))
    http_telemetry = HttpTelemetry(telemetry)
    store = (
        SharedStore(
            connect,
            settings.store,
            clock=time,
            chance=chance,
            log=log,
            metrics=telemetry.metrics,
        )
        if settings.store.url is not None
        else None
    )
    gateway = Gateway(
        settings,
        log,
        clock=time,
        chance=chance,
        transports=transports or _transports_of(settings),
        observer=observer,
        schema=schema,
        telemetry=telemetry,
        store=store,
    )
    health = Health(gateway.services, gateway.can_authenticate)
    commands = CommandHandlers().having(InvalidateCache, gateway.invalidate)
    graphiql = gateway.graphiql()
    page = graphiql.page if graphiql is not None else None
    rate = settings.limits.rate
    endpoint = GraphQLEndpoint(
        gateway.engine,
        page,
        explainer=gateway.explainer(),
        authenticate=authenticate or gateway.authenticate,
        rate=RateLimiter(rate, buckets=buckets_of(settings, store)) if rate.enabled else None,
        caller_key=by_subject(rate.trusted_proxies),
        settings=settings,
        clock=time,
        log=log,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[Mapping[str, object]]:
        """Open the gateway, and close the endpoint at the end."""
        watched = watching(telemetry, health.readiness, control, commands, log)
        async with watched, store or nullcontext(), gateway.lifespan(app):
            with closing(endpoint):
                yield {COUNT_REFUSAL: http_telemetry.count_connection_refusal}

    registry = telemetry.metrics.registry
    observe_server(registry, endpoint, settings.fastpath)

    hsts = settings.tls.hsts if settings.tls is not None else 0
    forwards = frozenset[str]().union(
        *(source.auth.forwards for source in settings.sources.values())
    )
    made = _App(
        routes=[
            Route(PATH, endpoint),
            Route("/healthz", health.alive),
            Route("/readyz", health.ready),
            Route("/", _home),
            *(graphiql.routes if graphiql is not None else ()),
        ],
        middleware=[
            Middleware(
                CorrelationMiddleware,
                log=log,
                telemetry=http_telemetry,
                clock=time,
                forwards=forwards,
                headers=security_headers(hsts),
            ),
            Middleware(HeadMiddleware, hosts=settings.hosts, limits=settings.connections),
            *cors(settings.cors),
            *(
                [Middleware(Shortcut, path=PATH, endpoint=endpoint)]
                if settings.fastpath.uses("route")
                else ()
            ),
        ],
        exception_handlers={404: _not_found, 405: _wrong_method},
        lifespan=lifespan,
    )
    made.state.readiness = health.readiness
    return made


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
    return environment.load_settings(
        env_file, check=misfits_in, complete=completed, config=config, serving=serving
    )


def app_from_environment(
    config: Path | None = None, control: ControlAddress | None = None
) -> Starlette:
    """Assemble the gateway from the settings in the environment, for a server process.

    Args:
        config: The configuration file; the one that ``GATEWAY_CONFIG`` names by default, if any.
        control: Where the supervisor of this process listens; ``None`` if it has none.

    Returns:
        The ASGI application.

    Raises:
        SystemExit: The settings cannot be used. The log has one event with all mistakes.
    """
    try:
        settings = load_settings(config=config, serving=True)
        clock = SystemClock()
        telemetry = open_telemetry(
            read_otlp(os.environ),
            GatewayMetrics(settings.telemetry.operation_names),
            version=__version__,
            monotonic=clock.monotonic,
        )
        app = create_app(
            settings,
            make_log(settings.log),
            clock=clock,
            telemetry=telemetry,
            control=control,
        )
    except ConfigurationError as error:
        log_unusable(make_log(LogSettings()), UNUSABLE, error.mistakes, cause=error.__cause__)
        sys.exit(STARTUP_FAILURE)
    log_uncaught()
    tune_collector()
    return app


async def _not_found(request: Request, _: Exception) -> Response:
    """Refuse an unknown path, and name the right one."""
    message = f"nothing is served at {quote(request.url.path)}: expected /graphql"
    return error_response(404, Code.BAD_REQUEST, message)


async def _wrong_method(request: Request, error: Exception) -> Response:
    """Refuse a method, and name the allowed ones."""
    headers = error.headers if isinstance(error, HTTPException) else None
    allowed = sorted((headers or {}).get("Allow", "GET").split(", "))
    return wrong_method(request.method, allowed, ", ".join(allowed))


async def _home(_: Request) -> Response:
    """Redirect ``/`` to the page at ``/graphql``."""
    return RedirectResponse("graphql")


def read_methods(settings: Settings) -> ReadMethods:
    """Choose what decodes rows and evaluates expressions.

    Args:
        settings: All settings.

    Returns:
        The fast paths that are on, and else the libraries.
    """
    rows, expressions = (settings.fastpath.uses(name) for name in ("rows", "expressions"))
    decoders = struct_decoder if rows else validating_decoder
    return ReadMethods(
        decoders=decoders,
        scan=scanner_at_once() if rows else scan,
        expressions=compile_to_function if expressions else compile_expression,
        records=record_maker(decoders) if expressions else each_row,
    )


def compiler_of(settings: Settings, schema: GatewaySchema) -> OperationCompiler | None:
    """Choose what compiles operations.

    Args:
        settings: All settings.
        schema: The schema.

    Returns:
        The compiler; ``None`` where all is left to Strawberry's executor.
    """
    return Compiler(schema) if settings.fastpath.uses("compiled") else None


def buckets_of(settings: Settings, store: SharedStore | None) -> TokenBuckets:
    """Choose where the costs of callers are counted.

    Args:
        settings: All settings.
        store: The shared store; ``None`` if there is none.

    Returns:
        The buckets.
    """
    rate = settings.limits.rate
    alone = MemoryBuckets(rate)
    if store is None or not settings.store.rate_limits:
        return alone
    return SharedBuckets(rate, store, alone)


def usable(
    settings: Settings, version_of: Callable[[str], str] = version
) -> tuple[Settings, Mapping[str, str]]:
    """Switch off the fast paths that do not fit the installed libraries.

    Args:
        settings: All settings.
        version_of: Returns the version of an installed package.

    Returns:
        The settings, and the reason for each fast path that was switched off, by its name.
    """
    fastpath = settings.fastpath
    missing = {
        required.name: reason
        for required in (responses.REQUIRES, wire.REQUIRES)
        if fastpath.uses(required.name) and (reason := required.missing(version_of)) is not None
    }
    if missing:
        off = fastpath.model_copy(update=dict.fromkeys(missing, False))
        settings = settings.model_copy(update={"fastpath": off})
    return settings, missing


def protocol_of(
    settings: Settings, version_of: Callable[[str], str] = version
) -> type[asyncio.Protocol]:
    """Make the value of uvicorn's option ``http``.

    Args:
        settings: All settings.
        version_of: Returns the version of an installed package.

    Returns:
        A factory of the protocol of each connection. It can be pickled for other processes.

    Raises:
        LibraryError: uvicorn is not the one that the protocol was written for. There is no
            substitute: uvicorn's own protocol has none of the limits in ``connections``, and can
            mix up the responses of two clients.
    """
    if (reason := pipelining.REQUIRES.missing(version_of)) is not None:
        raise LibraryError(
            f"the code that handles connections does not fit uvicorn ({reason}): expected the"
            " versions that requirements/runtime.txt lists"
        )
    chosen, _ = usable(settings, version_of)
    write = responses.whole_response if chosen.fastpath.uses("responses") else None
    return protocol_for(chosen.connections, chosen.max_body_bytes, write)


def _transports_of(settings: Settings) -> TransportFactory:
    """Return the transport factory that the settings choose."""
    return wire.wire_transport if settings.fastpath.uses("wire") else client_transport
