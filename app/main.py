"""Assembles the application and its lifespan. No other module does."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

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
from app.auth.policies import Caller
from app.errors import Code, LibraryError, quote
from app.execution.documents import Documents
from app.execution.engine import Engine
from app.execution.explain import Explainer
from app.execution.keys import InputLimits
from app.execution.load import OpenSources
from app.execution.planner import Planner
from app.execution.render import OperationCompiler
from app.execution.schema import GatewaySchema, policies_of, schema_for
from app.execution.source_fit import completed, misfits_in
from app.execution.trusted import document_store_of
from app.expressions.expression import compile_expression
from app.fastpath import responses, wire
from app.fastpath.compiled import Compiler
from app.fastpath.paths import walking
from app.fastpath.route import Shortcut
from app.fastpath.rows import struct_decoder
from app.observability.logs import make_log
from app.resilience.clock import Clock, SystemClock
from app.resilience.retry import Chance
from app.schema.default import DEFAULT_SCHEMA
from app.schema.examples import ExampleQuery, example_queries
from app.server import pipelining
from app.server.correlation import CorrelationMiddleware
from app.server.cross_site import cors
from app.server.endpoint import GraphQLEndpoint
from app.server.graphiql import GraphiQL
from app.server.head import HeadMiddleware
from app.server.health import Health, WatchedService
from app.server.process import log_uncaught, tune_collector
from app.server.protocol import protocol_for
from app.server.rate_limit import RateLimiter, by_subject
from app.server.responses import error_response, security_headers
from app.settings import environment
from app.settings.auth import require_callers
from app.settings.environment import ENV_FILE
from app.settings.models import Settings
from app.settings.source import KeyFromSettings, SourceSettings
from app.sources.base import Record, Source
from app.sources.batch import BatchedSource
from app.sources.batch_scheduler import BatchScheduler, Sharing
from app.sources.cache.entity_cache import CachedSource
from app.sources.cache.store import EntityStore
from app.sources.client import ServiceClient, open_service, pipeline_of
from app.sources.endpoints import endpoints_of, foreign_of, keys_of, sources_of_keys
from app.sources.field_selection import SelectingSource
from app.sources.lists.pages import open_pages
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import ReadMethods, validating_decoder
from app.sources.own import OwnService, OwnSource, open_own
from app.sources.records_in_parts import Endpoint, partitions_of
from app.sources.rest import RestSource
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

    services: Sequence[ServiceClient | OwnService[Any]]
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

    Attributes:
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
    ) -> None:
        self.running: RunningGateway | None = None
        self._log = log
        self._clock = clock
        self._chance = chance
        self._transports = transports
        self._observer = observer
        self._limits = InputLimits.from_settings(settings)
        if schema is None:
            schema, settings = schema_for(settings)
        self._schema = schema
        self._settings = settings
        self._callers = require_callers(settings.auth)
        self._documents = Documents.from_settings(
            self._schema.core, settings, size=settings.document_cache
        )
        self._document_store = document_store_of(settings)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncGenerator[None]:
        """Open the clients of all sources, and close them at the end.

        Yields:
            Nothing. The gateway runs meanwhile.
        """
        async with AsyncExitStack() as stack:
            self.running = await self._open(stack)
            self._log.info(
                "gateway.started",
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
        """Open a client for each source that ``User`` reads, and make the running parts."""
        definition = self._schema.definition
        specs = definition.sources.values()
        settings = self._settings.sources
        endpoints = endpoints_of(specs, settings)
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
            for name in dict.fromkeys(spec.service for spec in specs)
            if name not in definition.own
        }
        keys = keys_of(endpoints, self._settings.key_from, settings)
        own = {
            name: await self._open_own(one, settings[name], stack, keys)
            for name, one in definition.own.items()
        }
        key_from = sources_of_keys(keys)
        sources = OpenSources(
            users={
                endpoint.spec.name: await self._open_scheduler(
                    endpoint,
                    own.get(endpoint.spec.name) or services[endpoint.spec.service],
                    keys,
                    stack,
                )
                for of_source in endpoints.values()
                for endpoint in of_source
            },
            pages={
                spec: open_pages(spec, services[spec.name], observer=self._observer)
                for lists in definition.lists.values()
                for spec in lists.values()
            },
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
        engine = router_engine = self._engine(self._schema, sources, planner, self._documents)
        if self._settings.router_token is not None:
            # A router may send other documents than clients may, so they are cached separately.
            documents = Documents.from_settings(
                self._schema.core,
                self._settings,
                size=self._settings.document_cache,
                router=True,
                variants=self._documents.variants,
            )
            router_engine = self._engine(self._schema, sources, planner, documents)
        every: list[ServiceClient | OwnService[Any]] = [*services.values(), *own.values()]
        return RunningGateway(every, engine, router_engine, authentication)

    async def _open_own(
        self,
        own: OwnSource,
        settings: SourceSettings,
        stack: AsyncExitStack,
        keys: Mapping[str, Sequence[KeyFromSettings]],
    ) -> OwnService[Any]:
        """Open a source that a module brings."""
        pipeline = pipeline_of(
            own.name, settings, clock=self._clock, chance=self._chance, log=self._log
        )
        return await stack.enter_async_context(
            open_own(
                own,
                settings,
                pipeline,
                deadlines=self._settings.deadline,
                clock=self._clock,
                log=self._log,
                fold_case=self._limits.fold_case and own.name not in keys,
            )
        )

    async def _open_scheduler(
        self,
        endpoint: Endpoint[Record],
        service: ServiceClient | OwnService[Record],
        keys: Mapping[str, Sequence[KeyFromSettings]],
        stack: AsyncExitStack,
    ) -> BatchedSource[Record]:
        """Open an endpoint: its batch scheduler, with a cache before it if that is enabled."""
        if isinstance(service, OwnService):
            return await self._schedule(service, service.settings, service.is_congested, stack)
        spec, settings = endpoint.spec, endpoint.settings
        client = service.endpoint(spec.name, settings)
        foreign = foreign_of(spec.name, keys)
        # A source with its own keys is not called with ids of users.
        other_keys = {*keys, *(one.source.name for one in self._schema.definition.lookups)}
        fold_case = self._limits.fold_case and spec.name not in other_keys
        methods = read_methods(self._settings)
        source: Source[Record] = (
            SelectingSource(
                endpoint,
                client,
                self._log,
                foreign,
                observer=self._observer,
                fold_case=fold_case,
                methods=methods,
            )
            if endpoint.selects
            else RestSource(
                spec,
                client,
                self._log,
                foreign,
                observer=self._observer,
                fold_case=fold_case,
                methods=methods,
            )
        )
        return await self._schedule(source, settings, client.is_congested, stack)

    async def _schedule(
        self,
        source: Source[Record],
        settings: SourceSettings,
        congested: Callable[[], bool],
        stack: AsyncExitStack,
    ) -> BatchedSource[Record]:
        """Put a batch scheduler before a source, with a cache before it if that is enabled."""
        if settings.cache.enabled:
            return await stack.enter_async_context(
                CachedSource(
                    source,
                    settings,
                    store=EntityStore(settings.cache.max_entries),
                    deadlines=self._settings.deadline,
                    clock=self._clock,
                    log=self._log,
                    congested=congested,
                )
            )
        return await stack.enter_async_context(
            BatchScheduler(
                source.name,
                source.fetch_many,
                sharing=Sharing.BATCHES if settings.coalesce.enabled else Sharing.NOTHING,
                settings=settings,
                deadlines=self._settings.deadline,
                clock=self._clock,
                log=self._log,
                congested=congested,
            )
        )

    def _engine(
        self, schema: GatewaySchema, sources: OpenSources, planner: Planner, documents: Documents
    ) -> Engine:
        """Make an engine over open sources."""
        settings = self._settings.sources
        return Engine(
            schema=schema,
            sources=sources,
            planner=planner,
            documents=documents,
            store=self._document_store,
            policies=policies_of(schema.definition, fold_case=self._limits.fold_case),
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
        version_of: Returns the version of an installed package, for the fast paths.

    Returns:
        The ASGI application. Its lifespan opens and closes the clients of the sources.

    Raises:
        ConfigurationError: The settings do not say how callers are authenticated, or their schema
            does not fit together.
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
        schema=schema,
    )
    health = Health(gateway.services, gateway.can_authenticate)
    graphiql = GraphiQL(examples=gateway.examples()) if settings.graphiql else None
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
        """Open the gateway, and close the endpoint at the end."""
        async with gateway.lifespan(app):
            with closing(endpoint):
                yield

    hsts = settings.tls.hsts if settings.tls is not None else 0
    forwards = frozenset[str]().union(
        *(source.auth.forwards for source in settings.sources.values())
    )
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
                [Middleware(Shortcut, path=PATH, endpoint=endpoint)]
                if settings.fastpath.uses("route")
                else ()
            ),
        ],
        exception_handlers={404: _not_found, 405: _wrong_method},
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
    return environment.load_settings(
        env_file, check=misfits_in, complete=completed, config=config, serving=serving
    )


def app_from_environment() -> Starlette:
    """Assemble the gateway from the settings in the environment, for a server process.

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


async def _not_found(request: Request, _: Exception) -> Response:
    """Refuse an unknown path, and name the right one."""
    message = f"nothing is served at {quote(request.url.path)}: expected /graphql"
    return error_response(404, Code.BAD_REQUEST, message)


async def _wrong_method(request: Request, error: Exception) -> Response:
    """Refuse a method, and name the allowed ones."""
    headers = error.headers if isinstance(error, HTTPException) else None
    allowed = ", ".join(sorted((headers or {}).get("Allow", "GET").split(", ")))
    message = f"{request.method} is not served here: expected {allowed}"
    return error_response(405, Code.BAD_REQUEST, message, headers={"Allow": allowed})


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
    return ReadMethods(
        decoders=struct_decoder if settings.fastpath.uses("rows") else validating_decoder,
        expressions=walking if settings.fastpath.uses("paths") else compile_expression,
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
    return protocol_for(chosen, write)


def _transports_of(settings: Settings) -> TransportFactory:
    """Return the transport factory that the settings choose."""
    return wire.wire_transport if settings.fastpath.uses("wire") else client_transport
