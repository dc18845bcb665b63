"""The running gateway: what is opened at its start, and closed at its end."""

from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.types import Scope
from structlog.typing import FilteringBoundLogger

from app import __version__
from app.execution.division import divisions_of
from app.execution.keys import InputLimits
from app.execution.load import Sources
from app.execution.planner import Planner
from app.fastpath.compiled import Compiler
from app.fastpath.rows import struct_decoder
from app.graphql.caller import Caller
from app.graphql.documents import Documents
from app.graphql.engine import Engine
from app.graphql.explain import Explainer
from app.graphql.naming import texts_of
from app.graphql.rights import Policies
from app.graphql.schema import GatewaySchema, build_schema
from app.http.authentication import Authentication, open_authentication
from app.resilience.clock import Clock
from app.resilience.retry import Chance
from app.settings import Settings
from app.shapes.callers import callers_said
from app.sources.base import Record, Source
from app.sources.cache import CachedSource
from app.sources.client import ServiceClient, open_service
from app.sources.decoding import validating_decoder
from app.sources.endpoint import Endpoint
from app.sources.endpoints import endpoints_of, foreign_of, keys_of
from app.sources.flights import Flights, Sharing
from app.sources.pages import RestPages
from app.sources.rest import RestSource
from app.sources.seen import See
from app.sources.selecting import SelectingSource
from app.sources.store import MemoryStore
from app.sources.transport import TransportFactory


@dataclass(frozen=True, slots=True)
class Running:
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
        see: See | None,
    ) -> None:
        self.running: Running | None = None
        self._settings = settings
        self._log = log
        self._clock = clock
        self._chance = chance
        self._transports = transports
        self._see = see
        self._limits = InputLimits.of(settings)
        self._schema = build_schema(security_directives=settings.has_security_directives)
        self._callers = callers_said(settings.auth)
        self._documents = Documents.of(self._schema.core, settings, size=settings.document_cache)
        self._texts = texts_of(settings)

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

    def _running(self) -> Running:
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
            texts=self._texts,
            settings=self._settings,
            compiler=Compiler(self._schema) if self._settings.fastpath.uses("compiled") else None,
        )

    def services(self) -> Sequence[ServiceClient] | None:
        """Find the clients of the running gateway; ``None`` when it is not running."""
        return self.running.services if self.running is not None else None

    async def _open(self, stack: AsyncExitStack) -> Running:
        """Open one client for each source that ``User`` reads."""
        readings = self._schema.readings.values()
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
        sources = Sources(
            users={
                one.spec.name: await self._flights(
                    one, services[one.spec.service], foreign_of(one.spec.name, keys), stack
                )
                for several in endpoints.values()
                for one in several
            },
            pages={spec: RestPages(spec, services[spec.name]) for spec in pages},
            key_from=key_from,
            divisions=divisions_of(endpoints),
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
            documents = Documents.of(
                self._schema.core,
                self._settings,
                size=self._settings.document_cache,
                router=True,
                variants=self._documents.variants,
            )
            routers = self._engine(self._schema, sources, planner, documents)
        return Running(tuple(services.values()), engine, routers, authentication)

    async def _flights(
        self,
        endpoint: Endpoint[Record],
        service: ServiceClient,
        foreign: Mapping[str, str],
        stack: AsyncExitStack,
    ) -> Flights[Record]:
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
                see=self._see,
                fold_case=fold_case,
                decoders=decoders,
            )
            if endpoint.selects
            else RestSource(
                spec,
                client,
                self._log,
                foreign,
                see=self._see,
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
        flights = Flights(
            source.name,
            source.fetch_many,
            sharing=sharing,
            settings=settings,
            deadlines=self._settings.deadline,
            clock=self._clock,
            log=self._log,
            congested=client.is_congested,
        )
        return await stack.enter_async_context(flights)

    def _engine(
        self, schema: GatewaySchema, sources: Sources, planner: Planner, documents: Documents
    ) -> Engine:
        """Make the engine over open sources."""
        settings = dict(self._settings.sources)
        return Engine(
            schema=schema,
            sources=sources,
            planner=planner,
            documents=documents,
            texts=self._texts,
            policies=Policies(schema.policies, fold_case=self._limits.fold_case),
            compiler=Compiler(schema) if self._settings.fastpath.uses("compiled") else None,
            required=frozenset(
                name
                for name in sources.users
                if settings[name.partition(".")[0]].contract == "required"
            ),
            clock=self._clock,
            log=self._log,
        )
