"""The gateway of one version of the settings: its schema, and the parts that it opens."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from starlette.types import Scope
from structlog.typing import FilteringBoundLogger

from app import __version__
from app.auth.authentication import open_authentication
from app.auth.callers import Authentication
from app.auth.policies import Caller
from app.execution.document_store import PersistedDocumentStore
from app.execution.documents import Documents
from app.execution.engine import Engine
from app.execution.freshness import FreshnessRules
from app.execution.keys import InputLimits
from app.execution.load import OpenSources
from app.execution.observation import observe_documents
from app.execution.open_sources import OpenService, SourceOpener
from app.execution.planner import Planner
from app.execution.render import OperationCompiler
from app.execution.schema import GatewaySchema, policies_of, schema_for
from app.execution.shared_documents import SharedDocuments
from app.execution.telemetry import OperationTelemetry
from app.execution.trusted import document_store_of, persisted_documents_of
from app.observability.metrics import Observations
from app.observability.telemetry import Telemetry
from app.resilience.clock import Clock
from app.resilience.retry import Chance
from app.resilience.shared_parts import SharedParts
from app.schema.default import DEFAULT_SCHEMA
from app.schema.examples import ExampleQuery, example_queries
from app.server.commands import InvalidateCache
from app.server.graphiql import GraphiQL
from app.server.health import WatchedService
from app.server.invalidating import carry_out
from app.settings.auth import require_callers
from app.settings.files import with_files
from app.settings.models import Settings
from app.settings.source import SourceSettings
from app.sources.cache.feed import InvalidationFeed, horizon_of
from app.sources.cache.invalidation import Invalidations
from app.sources.client import ServiceClient
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import ReadMethods
from app.sources.observation import observe_invalidations
from app.store.shared import SharedStore
from app.transport.transport import TransportFactory

if TYPE_CHECKING:
    from app.execution.explain import Explainer

OF_THE_SCHEMA = frozenset(
    {
        *("request", "answer", "fields", "words", "defaults", "key_from", "lookups", "endpoints"),
        *("lists", "without_lists", "max_keys", "without_source_defaults"),
    }
)
"""The settings of a source that its part of the schema may depend on. The others say how the
service is reached and how often."""

PERSISTED = "persisted documents"
"""The name of the part that has the documents that clients have sent."""

REACH_WITHIN = 5.0
"""Seconds in which a service has to answer to count as reached."""

MakeCompiler = Callable[[Settings, GatewaySchema], OperationCompiler | None]
"""Makes what compiles operations; ``None`` where all is left to Strawberry's executor."""


class RunningGateway(Struct, frozen=True):
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
        shared: The parts that gateways of other settings may have opened.
        methods: What decodes rows and evaluates expressions.
        compiler_of: Makes what compiles operations.

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
        shared: SharedParts,
        methods: ReadMethods,
        compiler_of: MakeCompiler,
    ) -> None:
        self._shared = shared
        self._methods = methods
        self._compiler_of = compiler_of
        self.running: RunningGateway | None = None
        self._log = log
        self._clock = clock
        self._chance = chance
        self._transports = transports
        self._observer = observer
        self._telemetry = telemetry
        self._entity_store = store if settings.store.entities else None
        self._feed: InvalidationFeed | None = None
        self._limits = InputLimits.from_settings(settings)
        fold_case = self._limits.fold_case
        # By the store, too: its moments are those of the clock of the store, and only who follows
        # the log of a store has to doubt what it has not heard of.
        self.invalidations = shared.kept(
            "invalidations",
            (fold_case, self._entity_store),
            lambda: Invalidations(clock, fold_case=fold_case),
        )
        if schema is None:
            schema, settings = _shared_schema(settings, shared)
        self._schema = schema
        self._settings = settings
        self._callers = require_callers(settings.auth)
        self._documents = Documents.from_settings(
            self._schema.core,
            settings,
            size=settings.document_cache,
            monotonic=clock.monotonic,
        )
        shared_documents = None
        if store is not None and settings.store.documents:
            shared_documents = SharedDocuments(store, telemetry.metrics.store_lookups)
        persisted = settings.persisted, settings.limits.memory.persisted, id(store)
        self._persisted = shared.kept(
            PERSISTED,
            (*persisted, shared_documents is None),
            lambda: _documents_that_live_on(settings, shared_documents, shared),
        )
        self._document_store = document_store_of(settings, self._persisted)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Open the clients of all sources, and close them at the end.

        Yields:
            Nothing. The gateway runs meanwhile.
        """
        async with AsyncExitStack() as stack:
            registry = self._telemetry.metrics.registry
            observations = stack.enter_context(registry.observing())
            observe_documents(observations, self._documents)
            self.running = await self._open(stack, observations)
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

    def explainer(self) -> "Explainer | None":
        """Make the explainer of operations.

        Returns:
            The explainer; ``None`` if the settings do not allow it.
        """
        if not self._settings.explain:
            return None
        from app.execution.explain import Explainer  # noqa: PLC0415 # few explain operations

        return Explainer(
            schema=self._schema,
            documents=self._documents,
            store=self._document_store,
            settings=self._settings,
            compiler=self._compiler_of(self._settings, self._schema),
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

    async def unreachable(self) -> Sequence[str]:
        """Try to reach the services that have not answered yet. Sources of modules are left out.

        Returns:
            A sentence for each that cannot be reached.
        """
        new = [
            one
            for one in (self.running.services if self.running is not None else ())
            if isinstance(one, ServiceClient) and one.contact is None
        ]
        reasons = await asyncio.gather(*(one.reach(REACH_WITHIN) for one in new))
        return [
            f"the source {one.name} cannot be reached: {reason}: expected an answer at its base_url"
            for one, reason in zip(new, reasons, strict=True)
            if reason is not None
        ]

    async def _open(self, stack: AsyncExitStack, observations: Observations) -> RunningGateway:
        """Open the sources that ``User`` reads, and make the running parts."""
        store = self._entity_store
        names, horizon = (
            frozenset(self._settings.sources),
            horizon_of(self._settings.sources.values()),
        )
        self._feed = await stack.enter_async_context(
            self._shared.opened(
                "invalidations",
                (id(self.invalidations), id(store), names, horizon),
                partial(self._following, store, names, horizon),
            )
        )
        opener = SourceOpener(
            settings=self._settings,
            fold_case=self._limits.fold_case,
            transports=self._transports,
            methods=self._methods,
            observer=self._observer,
            clock=self._clock,
            chance=self._chance,
            log=self._log,
            telemetry=self._telemetry,
            shared=self._shared,
            invalidations=self.invalidations,
            store=store,
        )
        opened = await stack.enter_async_context(opener.opened(self._schema.definition))
        reads = self._schema.reads(opened.endpoints, opened.sources.key_from)
        planner = Planner(self._schema.core, reads, self._limits)
        authentication = await stack.enter_async_context(
            self._shared.opened(
                "authentication",
                (with_files(self._callers), self._settings.router_token, self._transports),
                partial(
                    open_authentication,
                    self._callers,
                    self._settings.router_token,
                    self._transports,
                    clock=self._clock,
                    log=self._log,
                    metrics=self._telemetry.metrics,
                ),
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
            observe_documents(observations, documents)
            router_engine = self._engine(opened.sources, planner, documents)
        return RunningGateway(opened.services, engine, router_engine, authentication)

    @asynccontextmanager
    async def _following(
        self, store: SharedStore | None, names: Collection[str], horizon: float
    ) -> AsyncGenerator[InvalidationFeed | None]:
        """Follow what other gateways invalidate, if there is a store, and count invalidations."""
        with self._telemetry.metrics.registry.observing() as observations:
            observe_invalidations(observations, self.invalidations)
            if store is None:
                yield None
                return
            feed = InvalidationFeed(
                store,
                self.invalidations,
                sources=names,
                horizon=horizon,
                clock=self._clock,
                log=self._log,
            )
            async with feed:
                yield feed

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
            compiler=self._compiler_of(self._settings, schema),
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


def _documents_that_live_on(
    settings: Settings, stored: SharedDocuments | None, shared: SharedParts
) -> PersistedDocumentStore:
    """Make the store of documents that clients have sent, with those of the gateway before."""
    before, made = shared.latest(PERSISTED), persisted_documents_of(settings, stored)
    if isinstance(before, PersistedDocumentStore):
        made.keep_all_of(before)
    return made


def _shared_schema(settings: Settings, shared: SharedParts) -> tuple[GatewaySchema, Settings]:
    """Build the schema, unless a gateway has one of equal settings.

    Records are classes that are made with the schema. So what caches keep fits only this schema.
    """
    schema, settings = schema_for(settings)
    made_of = (
        *(settings.public_schema, settings.user, settings.types, settings.enums),
        settings.has_security_directives,
        {name: _of_the_schema(one) for name, one in settings.sources.items()},
    )
    return shared.kept("schema", made_of, lambda: schema), settings


def _of_the_schema(settings: SourceSettings) -> Mapping[str, object]:
    """Return the settings of a source that the schema may depend on."""
    return {name: getattr(settings, name) for name in OF_THE_SCHEMA}
