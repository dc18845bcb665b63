"""Opens the sources that the fields of a schema read, for the life of the gateway.

A source of the settings gets a client of its service, and a batch scheduler for each endpoint, with
a cache before it if that is enabled. A source of a module is asked instead of a service. Opening is
async because some sources open connections, or fetch a token.

A source that the gateway before has opened with equal settings is not opened again, but shared: its
connections, circuit breaker and cache live on.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from typing import Any, TypeAlias

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from app.execution.load import OpenSources
from app.observability.telemetry import Telemetry
from app.resilience.clock import Clock
from app.resilience.retry import Chance
from app.resilience.shared_parts import SharedParts
from app.schema.definitions import SchemaDefinition
from app.settings.files import with_files
from app.settings.models import Settings
from app.settings.source import KeyFromSettings, SourceSettings
from app.sources.base import PagedSource, PageSpec, Record, Source, SourceSpec, UserId
from app.sources.batch import BatchedSource
from app.sources.batch_scheduler import BatchScheduler, Sharing
from app.sources.cache.entity_cache import CachedSource
from app.sources.cache.invalidation import Invalidations
from app.sources.cache.shared_entries import SharedEntries, meaning_of
from app.sources.cache.store import EntityStore
from app.sources.cache.stored_entry import RecordCodec
from app.sources.client import ServiceClient, open_service
from app.sources.endpoints import endpoints_of, foreign_of, keys_of, sources_of_keys
from app.sources.field_selection import SelectingSource
from app.sources.lists.coalescing import CoalescedPages
from app.sources.lists.pages import NoPages, RestPages
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import ReadMethods
from app.sources.mapping.row_mapper import with_foreign_keys
from app.sources.observation import observe_cache, observe_pages, observe_scheduler
from app.sources.own.contract import OwnSource
from app.sources.own.pages import OwnPages
from app.sources.own.service import OwnService, open_own
from app.sources.pipelines import open_pipeline
from app.sources.records_in_parts import Endpoint, partitions_of
from app.sources.rest import RestSource
from app.sources.telemetry import SourceTelemetry
from app.store.shared import SharedStore
from app.transport.transport import TransportFactory

OpenService: TypeAlias = ServiceClient | OwnService[Any]
"""What is asked about users: a REST service, or a source of a module."""


class SourceOpener(Struct, frozen=True):
    """Opens sources. All that they need from outside is handed in.

    Attributes:
        settings: All settings.
        fold_case: Whether ids of users that differ only by case are the same user's.
        transports: Makes the transport to each service.
        methods: What decodes rows and evaluates expressions.
        observer: Gets each record and how it was made; ``None`` for no observer.
        clock: The clock.
        chance: Returns random numbers, for the jitter of waits.
        log: The log.
        telemetry: What sources measure with.
        shared: The sources that other gateways of the process may have opened.
        invalidations: Which source results must not be used any more.
        store: The shared store, if it keeps source results; ``None`` if it does not.
    """

    settings: Settings
    fold_case: bool
    transports: TransportFactory
    methods: ReadMethods
    observer: Observer | None
    clock: Clock
    chance: Chance
    log: FilteringBoundLogger
    telemetry: Telemetry
    shared: SharedParts
    invalidations: Invalidations
    store: SharedStore | None = None

    @asynccontextmanager
    async def opened(self, definition: SchemaDefinition) -> AsyncGenerator["OpenedSources"]:
        """Open the sources of a schema.

        Args:
            definition: The schema.

        Yields:
            The open sources. They are closed at the end.
        """
        async with AsyncExitStack() as stack:
            yield await self._open(definition, stack)

    async def _open(self, definition: SchemaDefinition, stack: AsyncExitStack) -> "OpenedSources":
        """Open all services first, then their endpoints and lists."""
        settings = self.settings.sources
        specs = definition.sources.values()
        endpoints = endpoints_of(specs, settings)
        keys = keys_of(endpoints, self.settings.key_from, settings)
        # A source with its own keys is not called with ids of users.
        other_keys = {*keys, *(one.source.name for one in definition.lookups)}
        services: dict[str, OpenService] = {
            name: await self._open_service(name, stack)
            for name in dict.fromkeys(spec.service for spec in specs)
            if name not in definition.own
        }
        for name, one in definition.own.items():
            fold_case = self.fold_case and name not in keys
            services[name] = await self._open_own(one, stack, fold_case=fold_case)
        specs_of = {spec.name: spec for spec in specs}
        users = {
            one.spec.name: await self._schedule(
                _Asked(one, specs_of.get(name, one.spec), services[one.spec.service]),
                keys,
                other_keys,
                stack,
            )
            for name, of_source in endpoints.items()
            for one in of_source
        }
        pages = {
            spec: self._coalesced(spec, services[spec.name], stack)
            for lists in definition.lists.values()
            for spec in lists.values()
        }
        return OpenedSources(
            OpenSources(users, pages, sources_of_keys(keys), partitions_of(endpoints)),
            [*services.values()],
            endpoints,
        )

    async def _open_service(self, name: str, stack: AsyncExitStack) -> ServiceClient:
        """Open the client of a service."""
        settings = self.settings.sources[name]
        open_client = partial(
            open_service,
            name,
            settings,
            self.transports,
            deadlines=self.settings.deadline,
            clock=self.clock,
            chance=self.chance,
            log=self.log,
            telemetry=self.telemetry,
        )
        made_of = (with_files(settings), self.settings.deadline, self.transports)
        return await stack.enter_async_context(
            self.shared.opened(("service", name), made_of, open_client)
        )

    async def _open_own(
        self, own: OwnSource, stack: AsyncExitStack, *, fold_case: bool
    ) -> OwnService[Any]:
        """Open a source that a module brings."""
        settings = self.settings.sources[own.name]

        @asynccontextmanager
        async def open_service_of_module() -> AsyncGenerator[OwnService[Any]]:
            with open_pipeline(
                own.name,
                settings,
                clock=self.clock,
                chance=self.chance,
                log=self.log,
                metrics=self.telemetry.metrics,
            ) as pipeline:
                async with open_own(
                    own,
                    settings,
                    pipeline,
                    deadlines=self.settings.deadline,
                    clock=self.clock,
                    log=self.log,
                    telemetry=self.telemetry,
                    fold_case=fold_case,
                ) as opened:
                    yield opened

        made_of = (own, settings, self.settings.deadline, fold_case)
        return await stack.enter_async_context(
            self.shared.opened(("service", own.name), made_of, open_service_of_module)
        )

    def _source_of(
        self,
        endpoint: Endpoint[Record],
        service: OpenService,
        keys: Mapping[str, Sequence[KeyFromSettings]],
        other_keys: set[str],
    ) -> "_UnscheduledSource":
        """Make the source of an endpoint."""
        if isinstance(service, OwnService):
            return _UnscheduledSource(
                service, endpoint.spec, service.settings, service.is_congested, is_own=True
            )
        name, settings = endpoint.spec.name, endpoint.settings
        client = service.endpoint(name, settings)
        foreign = foreign_of(name, keys)
        fold_case = self.fold_case and name not in other_keys
        source: Source[Record] = (
            SelectingSource(
                endpoint,
                client,
                self.log,
                foreign,
                observer=self.observer,
                fold_case=fold_case,
                methods=self.methods,
            )
            if endpoint.selects
            else RestSource(
                endpoint.spec,
                client,
                self.log,
                foreign,
                observer=self.observer,
                fold_case=fold_case,
                methods=self.methods,
            )
        )
        return _UnscheduledSource(
            source, endpoint.spec, settings, client.is_congested, foreign_keys=foreign
        )

    def _pages_of(self, spec: PageSpec[Any], service: OpenService) -> PagedSource[Any]:
        """Make a list of a source. It knows no user if the settings say that there is no such."""
        if spec.list in service.settings.without_lists:
            return NoPages(spec.name)
        if isinstance(service, OwnService):
            return OwnPages(spec, service)
        return RestPages(spec, service, observer=self.observer, methods=self.methods)

    def _coalesced(
        self, spec: PageSpec[Any], service: OpenService, stack: AsyncExitStack
    ) -> PagedSource[Any]:
        """Make a list of a source, whose pages requests share if coalescing is on."""
        pages, settings = self._pages_of(spec, service), service.settings
        if not settings.coalesce.enabled:
            return pages
        coalesced = CoalescedPages(
            pages, settings, deadlines=self.settings.deadline, clock=self.clock
        )
        stack.enter_context(self._invalidated(spec.name, coalesced.forget))
        metrics = stack.enter_context(self.telemetry.metrics.registry.observing())
        observe_pages(metrics, f"{spec.name}.{spec.list}", coalesced)
        return coalesced

    async def _schedule(
        self,
        asked: "_Asked",
        keys: Mapping[str, Sequence[KeyFromSettings]],
        other_keys: set[str],
        stack: AsyncExitStack,
    ) -> BatchedSource[Record]:
        """Put a batch scheduler before an endpoint, with a cache before it if that is enabled."""
        endpoint, name = asked.endpoint, asked.endpoint.spec.name

        def open_scheduled() -> AbstractAsyncContextManager[BatchedSource[Record]]:
            return self._scheduled(self._source_of(endpoint, asked.service, keys, other_keys))

        made_of = (
            *(asked.spec, tuple(endpoint.spec.record.model_fields), endpoint.settings),
            # Compared as an object: an endpoint of a client that was opened anew is another one.
            *(id(asked.service), foreign_of(name, keys), self.fold_case, name in other_keys),
            *(self.settings.fastpath, self.observer),
            *(id(self.invalidations), id(self.store)),
        )
        return await stack.enter_async_context(
            self.shared.opened(("endpoint", name), made_of, open_scheduled)
        )

    @asynccontextmanager
    async def _scheduled(self, one: "_UnscheduledSource") -> AsyncGenerator[BatchedSource[Record]]:
        """Open a scheduler, with a cache before it if that is enabled."""
        source, settings = one.source, one.settings
        telemetry = SourceTelemetry(self.telemetry)
        with self.telemetry.metrics.registry.observing() as metrics:
            if settings.cache.enabled:
                store = EntityStore[Record](settings.cache.max_entries)
                async with CachedSource(
                    source,
                    settings,
                    store=store,
                    invalidations=self.invalidations,
                    shared=self._shared_entries_of(one),
                    deadlines=self.settings.deadline,
                    clock=self.clock,
                    log=self.log,
                    telemetry=telemetry,
                    congested=one.is_congested,
                ) as cached:
                    observe_scheduler(metrics, cached.scheduler)
                    observe_cache(metrics, cached, store)
                    yield cached
                return
            async with BatchScheduler(
                source.name,
                source.fetch_many,
                sharing=Sharing.BATCHES if settings.coalesce.enabled else Sharing.NOTHING,
                settings=settings,
                deadlines=self.settings.deadline,
                clock=self.clock,
                log=self.log,
                telemetry=telemetry,
                congested=one.is_congested,
            ) as scheduler:
                observe_scheduler(metrics, scheduler)
                with self._invalidated(source.name.partition(".")[0], scheduler.forget):
                    yield scheduler

    @contextmanager
    def _invalidated(
        self, source: str, forget: Callable[[Callable[[UserId], bool]], None]
    ) -> Generator[None]:
        """Let no request join a call of a source that began before an invalidation."""
        end = self.invalidations.listen(
            lambda invalidated: forget(lambda key: invalidated.names(source, key))
        )
        try:
            yield
        finally:
            end()

    def _shared_entries_of(self, one: "_UnscheduledSource") -> SharedEntries[Record] | None:
        """Make the second level of the cache of a source; ``None`` if there is no such store."""
        if self.store is None:
            return None
        name, settings, spec = one.source.name, one.settings, one.spec
        record = with_foreign_keys(spec.record) if one.foreign_keys else spec.record
        decode = self.methods.decoders(record)
        return SharedEntries(
            name,
            settings,
            meaning=meaning_of(record, settings, one.foreign_keys),
            codec=RecordCodec(record, spec.key, decode, checked=one.is_own),
            store=self.store,
            invalidations=self.invalidations,
            clock=self.clock,
            lookups=self.telemetry.metrics.store_lookups,
        )


class OpenedSources(Struct, frozen=True):
    """All open sources of a schema.

    Attributes:
        sources: The sources, for the fetches of plans.
        services: What is asked: the services, and the sources of modules.
        endpoints: The endpoints of each source.
    """

    sources: OpenSources
    services: Sequence[OpenService]
    endpoints: Mapping[str, Sequence[Endpoint[Record]]]


class _Asked(Struct, frozen=True):
    """An endpoint, and what it is asked by.

    Attributes:
        endpoint: The endpoint.
        spec: The source that it belongs to.
        service: The client of its service.
    """

    endpoint: Endpoint[Record]
    spec: SourceSpec[Any]
    service: OpenService


class _UnscheduledSource(Struct, frozen=True):
    """A source before which there is no batch scheduler yet.

    Attributes:
        source: The source.
        spec: The same as data.
        settings: Its settings.
        is_congested: Returns whether its calls wait before they are sent.
        foreign_keys: Expressions for keys of other sources in its rows, by source name.
        is_own: Whether it is a source of a module.
    """

    source: Source[Record]
    spec: SourceSpec[Record]
    settings: SourceSettings
    is_congested: Callable[[], bool]
    foreign_keys: Mapping[str, str] = {}
    is_own: bool = False
