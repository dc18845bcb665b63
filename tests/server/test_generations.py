"""A reload swaps gateways: requests end where they began, and unchanged parts are kept."""

import asyncio
import io
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from app.execution.document_store import hash_of
from app.main import create_app
from app.observability.logs import make_log
from app.observability.metrics import MetricKind
from app.observability.telemetry import Telemetry
from app.resilience.shared_parts import SharedParts
from app.server.commands import (
    AbandonReload,
    BeginDrain,
    CommitReload,
    HandleCommand,
    InvalidateCache,
    PrepareReload,
)
from app.server.generations import Generations
from app.server.health import Readiness
from app.settings.models import LogSettings, Settings
from app.settings.operations import ReloadSettings
from app.settings.resilience import BreakerSettings, CacheSettings
from app.settings.server import PersistedSettings, TrustedSettings
from app.settings.source import SourceSettings
from app.settings.store import StoreSettings
from app.sources.cache.invalidation import Invalidation
from tests.clock import ManualClock
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id

NAME = f'{{ user(id: "{user_id(1)}") {{ username }} }}'
PLAN = f'{{ user(id: "{user_id(1)}") {{ plan }} }}'


MISSING = TrustedSettings(mode="also", path=Path("/missing"))
"""Trusted documents that cannot be read."""


class Process:
    """The application of a process, and a client of it."""

    def __init__(
        self,
        app: Generations,
        client: httpx.AsyncClient,
        telemetry: Telemetry,
        log: io.StringIO,
        handle: HandleCommand,
    ) -> None:
        self.handle = handle
        self.app = app
        self.client = client
        self.telemetry = telemetry
        self._log = log
        self._version = 1

    async def query(self, query: str) -> Mapping[str, Any]:
        """Send a query, and return the body of its response."""
        response = await self.client.post("/graphql", json={"query": query})
        body: Mapping[str, Any] = response.json()
        return body

    async def reload(self, settings: Settings) -> Sequence[str]:
        """Prepare and commit settings; return their mistakes."""
        self._version += 1
        prepare = PrepareReload(version=self._version, settings=settings)
        if mistakes := await self.app.prepare(prepare):
            await self.app.abandon(AbandonReload(version=self._version))
            return mistakes
        return await self.app.commit(CommitReload(version=self._version))

    def values(self, name: str) -> Mapping[tuple[str, ...], float]:
        """Return the values of a metric."""
        snapshot = self.telemetry.metrics.registry.snapshot()
        return {
            point.attributes: point.value
            for metric in snapshot.metrics
            if metric.info.name == name
            for point in metric.points
        }

    def events(self) -> Sequence[str]:
        """Return the names of the events in the log."""
        return [orjson.loads(line)["event"] for line in self._log.getvalue().splitlines()]


OF_CACHES = {"gateway.document_cache.size", "gateway.entity_cache.entries"}
"""Gauges that start again with each gateway."""

OpenProcess = Callable[[Settings], AbstractAsyncContextManager[Process]]


@pytest.fixture
def open_process(services: FakeServices, clock: ManualClock) -> OpenProcess:
    """Return a function that opens the application of a process over the fakes."""

    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncGenerator[Process]:
        stream, telemetry, drain = io.StringIO(), Telemetry(), Event()
        log = make_log(LogSettings(), "json", stream)

        def make(of: Settings, shared: SharedParts) -> Starlette:
            return create_app(
                of,
                log,
                clock=clock,
                transports=services.transport,
                telemetry=telemetry,
                shared=shared,
                is_draining=drain.is_set,
            )

        handlers: list[HandleCommand] = []

        def watched(
            _: Callable[[], Readiness], handle: HandleCommand
        ) -> AbstractAsyncContextManager[None]:
            handlers.append(handle)
            return nullcontext()

        app = Generations(settings, 1, make, watched=watched, drain=drain, log=log)
        async with (
            app.lifespan(),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://localhost"
            ) as client,
        ):
            yield Process(app, client, telemetry, stream, handlers[0])

    return opened


async def test_a_process_opens_only_after_its_settings_are_committed(
    services: FakeServices,
) -> None:
    log = make_log(LogSettings(), "json", io.StringIO())

    def make(of: Settings, shared: SharedParts) -> Starlette:
        return create_app(of, log, transports=services.transport, shared=shared)

    settings = settings_for_fakes()
    app = Generations(
        settings,
        1,
        make,
        watched=lambda _, __: nullcontext(),
        drain=Event(),
        log=log,
        is_welcomed=True,
    )

    async with AsyncExitStack() as stack:
        opening = asyncio.create_task(stack.enter_async_context(app.lifespan()))
        # The process was started with settings that have just been replaced.
        prepare = PrepareReload(
            version=2, settings=settings.model_copy(update={"introspection": True})
        )
        refused = await app.prepare(prepare)
        was_open = opening.done()
        refused = [*refused, *await app.commit(CommitReload(version=2))]
        await opening

    assert not refused
    assert not was_open


def changed(settings: Settings, name: str, **values: object) -> Settings:
    """Change settings of one source."""
    source = settings.sources[name].model_dump() | values
    sources = {**settings.sources, name: SourceSettings.model_validate(source)}
    return settings.model_copy(update={"sources": sources})


def cached() -> Settings:
    """Make settings with a cache for each source."""
    settings = settings_for_fakes()
    for name in settings.sources:
        settings = changed(settings, name, cache=CacheSettings(enabled=True, ttl=300))
    return settings


async def test_new_settings_apply_after_the_swap(
    open_process: OpenProcess, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes()
    async with open_process(settings) as process:
        before = await process.query("{ __schema { queryType { name } } }")
        mistakes = await process.reload(settings.model_copy(update={"introspection": True}))
        after = await process.query("{ __schema { queryType { name } } }")

    assert not mistakes
    assert before["errors"][0]["extensions"]["code"] == "INTROSPECTION_DISABLED"
    assert after["data"] == {"__schema": {"queryType": {"name": "Query"}}}


async def test_a_request_ends_on_the_gateway_that_began_it(
    open_process: OpenProcess, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes()
    begun, gate = asyncio.Event(), asyncio.Event()

    async def hold(_: httpx.Request) -> None:
        begun.set()
        await gate.wait()

    services.before = hold
    async with open_process(settings) as process:
        running = asyncio.create_task(process.query(NAME))
        await begun.wait()
        await process.reload(changed(settings, "profile", max_calls=7))
        # Both clients are open: the old one for this request, the new one for later requests.
        limits = process.values("gateway.bulkhead.limit")["profile",]
        gate.set()
        answer = await running
        await asyncio.sleep(0.05)
        after = process.values("gateway.bulkhead.limit")["profile",]

    assert answer["data"]["user"]["username"]
    assert limits == settings.sources["profile"].max_calls + 7
    assert after == 7


async def test_the_cache_of_a_source_is_kept_unless_the_source_has_changed(
    open_process: OpenProcess, services: FakeServices
) -> None:
    services.know(1)
    settings = cached()
    async with open_process(settings) as process:
        await process.query(NAME)
        await process.query(PLAN)
        await process.reload(changed(settings, "profile", timeout=1.5))
        await process.query(NAME)
        await process.query(PLAN)

        assert len(services.profile.requests) == 2
        assert len(services.billing.requests) == 1
        # A counter does not decrease when the old cache is closed.
        assert process.values("gateway.entity_cache.lookups")["profile", "miss"] == 2


UNREACHABLE = StoreSettings(url="redis://127.0.0.1:1")
"""A store that does not answer, so that nobody knows what others invalidate."""


@pytest.mark.parametrize(
    "fewer", [StoreSettings(), StoreSettings(url=UNREACHABLE.url, entities=False)]
)
async def test_a_cache_works_after_a_reload_without_the_store(
    open_process: OpenProcess, services: FakeServices, clock: ManualClock, fewer: StoreSettings
) -> None:
    services.know(1)
    settings = cached().model_copy(update={"store": UNREACHABLE})
    async with open_process(settings) as process:
        assert not await process.reload(settings.model_copy(update={"store": fewer}))
        await process.query(NAME)
        clock.advance(2)
        await process.query(NAME)

    assert len(services.profile.requests) == 1


async def test_a_cache_works_after_a_reload_that_adds_a_store_is_abandoned(
    open_process: OpenProcess, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    settings = cached()
    async with open_process(settings) as process:
        await process.query(NAME)
        added = settings.model_copy(update={"store": UNREACHABLE})
        refused = await process.app.prepare(PrepareReload(version=2, settings=added))
        clock.advance(2)
        await process.query(NAME)
        await process.app.abandon(AbandonReload(version=2))  # another process has refused it
        clock.advance(2)
        await process.query(NAME)

    assert not refused
    assert len(services.profile.requests) == 1


async def test_settings_abandoned_while_they_are_prepared_are_never_used(
    open_process: OpenProcess, tmp_path: Path
) -> None:
    os.mkfifo(slow := tmp_path / "slow.graphql")  # who reads it waits for who writes it
    trusted = TrustedSettings(path=slow, mode="only")
    settings = settings_for_fakes()
    prepare = PrepareReload(2, settings.model_copy(update={"trusted": trusted}))
    async with open_process(settings) as process, asyncio.TaskGroup() as group:
        preparing = group.create_task(process.app.prepare(prepare))
        await asyncio.sleep(0)
        abandoning = group.create_task(process.app.abandon(AbandonReload(2)))
        await asyncio.sleep(0)
        await asyncio.to_thread(slow.write_text, NAME, "utf-8")
        prepared = await preparing
        await abandoning
        refused = await process.app.commit(CommitReload(2))
        answer = await process.query("{ __typename }")

    assert not prepared
    assert refused == ("version 2 of the settings is not prepared",)
    assert answer == {"data": {"__typename": "Query"}}


async def test_an_open_circuit_stays_open_after_a_reload(
    open_process: OpenProcess, services: FakeServices
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)
    breaker = BreakerSettings(min_calls=2)
    settings = changed(settings_for_fakes(), "billing", breaker=breaker)
    async with open_process(settings) as process:
        while process.values("gateway.circuit.state")["billing", "open"] == 0:
            await process.query(PLAN)
        calls = len(services.billing.requests)
        await process.reload(changed(settings, "profile", timeout=1.5))
        answer = await process.query(PLAN)

    assert answer["errors"][0]["extensions"]["code"] == "SOURCE_CIRCUIT_OPEN"
    assert len(services.billing.requests) == calls


async def test_invalid_settings_leave_the_gateway_unchanged(
    open_process: OpenProcess, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes()
    trusted = settings.trusted.model_copy(update={"mode": "only"})
    async with open_process(settings) as process:
        mistakes = await process.reload(settings.model_copy(update={"trusted": trusted}))
        answer = await process.query(NAME)

    assert "expected" in mistakes[0]
    assert answer["data"]["user"]["username"]


async def test_gauges_are_the_same_after_many_reloads(
    open_process: OpenProcess, services: FakeServices
) -> None:
    services.know(1)
    settings = cached()
    async with open_process(settings) as process:
        await process.query(NAME)
        first = process.telemetry.metrics.registry.snapshot()
        for number in range(20):
            await process.reload(changed(settings, "profile", timeout=1 + number / 10))
        await asyncio.sleep(0.05)
        last = process.telemetry.metrics.registry.snapshot()

    def gauges(snapshot: Any) -> Mapping[str, Sequence[float]]:  # noqa: ANN401 # either of both
        return {
            metric.info.name: [point.value for point in metric.points]
            for metric in snapshot.metrics
            if metric.info.kind is MetricKind.GAUGE
            and metric.info.name
            not in {"gateway.document_cache.size", "gateway.entity_cache.entries"}
        }

    assert gauges(first) == gauges(last)


async def test_a_draining_process_is_not_ready_and_still_answers(
    open_process: OpenProcess, services: FakeServices
) -> None:
    services.know(1)
    async with open_process(settings_for_fakes()) as process:
        await process.app.begin_drain(BeginDrain())
        probe = await process.client.get("/readyz")
        answer = await process.query(NAME)

    assert (probe.status_code, probe.json()) == (503, {"status": "draining"})
    assert answer["data"]["user"]["username"]


async def test_a_version_that_is_not_prepared_is_not_committed(open_process: OpenProcess) -> None:
    async with open_process(settings_for_fakes()) as process:
        [mistake] = await process.app.commit(CommitReload(version=9))
        again = await process.app.commit(CommitReload(version=1))

    assert mistake == "version 9 of the settings is not prepared"
    assert not again


async def test_an_unreachable_source_is_a_mistake_if_sources_are_checked(
    open_process: OpenProcess, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes(reload=ReloadSettings(check_sources=True))
    async with open_process(settings) as process:
        await process.query(f'{{ user(id: "{user_id(1)}") {{ username plan loginCount }} }}')

        async def refuse(_: httpx.Request) -> None:
            raise httpx.ConnectError("refused")

        services.before = refuse
        mistakes = await process.reload(changed(settings, "billing", timeout=1.5))
        again = await process.reload(changed(settings, "billing", timeout=1.5))

    assert again == mistakes
    assert [mistake.partition(": ")[0] for mistake in mistakes] == [
        "the source billing cannot be reached"
    ]


async def test_an_invalidation_after_a_reload_reaches_a_kept_cache(
    open_process: OpenProcess, services: FakeServices
) -> None:
    services.know(1)
    settings = changed(settings_for_fakes(), "profile", cache=CacheSettings(enabled=True))
    async with open_process(settings) as process:
        await process.query(NAME)
        assert not await process.reload(changed(settings, "billing", timeout=1.5))
        await process.query(NAME)
        before = services.calls["profile"]
        forget = InvalidateCache(invalidation=Invalidation(users=(user_id(1),)))
        refused = await process.handle(forget)
        await process.query(NAME)

    assert (before, services.calls["profile"], [*refused]) == (1, 2, [])


def persisted(most: int) -> Settings:
    """Make settings with persisted documents, up to a number."""
    return settings_for_fakes(persisted=PersistedSettings(enabled=True, max_documents=most))


async def test_documents_of_clients_are_kept_up_to_the_new_limit(
    open_process: OpenProcess,
) -> None:
    texts = [f"{{ __typename {name}: __typename }}" for name in "abc"]

    async def ask(process: Process, text: str, **query: str) -> object:
        named = {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}
        body = {**query, "extensions": named}
        response = await process.client.post("/graphql", json=body)
        return response.json().get("data")

    async with open_process(persisted(3)) as process:
        for text in texts:
            assert await ask(process, text, query=text)
        other_limit = persisted(3).model_copy(update={"max_ids": 7})
        assert not await process.reload(other_limit)
        after = [await ask(process, text) for text in texts]
        refused = await process.reload(persisted(2).model_copy(update={"trusted": MISSING}))
        assert not await process.reload(persisted(2))
        fewer = [await ask(process, text) for text in texts]

    assert all(after)
    assert refused
    assert [bool(one) for one in fewer] == [False, True, True]
