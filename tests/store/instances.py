"""Several gateways in one process that share a store. Each works like one on its own machine."""

import asyncio
import io
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.types import ASGIApp

from app.observability import metric_list
from app.observability.logs import make_log
from app.observability.telemetry import GatewayMetrics, Telemetry
from app.resilience.clock import Clock, SystemClock
from app.server.admin_access import AdminAccess
from app.server.control import ControlListener
from app.server.invalidating import invalidation_route
from app.server.reports import Reports
from app.settings.models import Settings
from app.settings.resilience import CacheSettings
from app.settings.source import SourceSettings
from tests.apps import make_app
from tests.conftest import GatewayClient
from tests.fakes import FakeServices, calm_source, settings_for_fakes, user_id
from tests.stores import StoreServer
from tests.ways import SHORT, Ways

TOKEN = "a-token-of-operators"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}

NAMES = "query($ids: [ID!]!) { users(ids: $ids) { displayName } }"


def cached_source(**ages: float) -> SourceSettings:
    """Make the settings of a source with a cache."""
    cache = CacheSettings.model_validate({"enabled": True, "ttl": 60, **ages})
    return calm_source(base_url="http://profile", contract="stale_ok", cache=cache)


def settings_for(server: StoreServer, source: SourceSettings, **store: object) -> Settings:
    """Make the settings of a gateway whose profiles are cached in a store."""
    base = settings_for_fakes()
    return base.model_copy(
        update={
            "sources": {**base.sources, "profile": source},
            "store": server.settings(**{"rate_limits": False, **store}),
        }
    )


@dataclass
class Instance:
    """One gateway.

    Attributes:
        client: A client of its endpoint.
        services: The services that it calls. Gateways can have the same ones.
        telemetry: Its metrics and traces.
        admin: A client of its admin port.
    """

    client: GatewayClient
    services: FakeServices
    telemetry: Telemetry
    admin: httpx.AsyncClient

    async def invalidate(self, invalidation: Mapping[str, Sequence[str]]) -> httpx.Response:
        """Send an invalidation to its admin port."""
        return await self.admin.post("/cache/invalidate", json=invalidation, headers=ALLOWED)

    async def names(self, *numbers: int) -> Sequence[str | None]:
        """Query the names of users."""
        reply = await self.client.query(NAMES, ids=[user_id(number) for number in numbers])
        users: list[Mapping[str, Any] | None] = reply.data["users"]
        return [None if user is None else user["displayName"] for user in users]

    @property
    def batches(self) -> list[list[int]]:
        """The users of each batch that was sent to profile."""
        sent = self.services.profile.batches
        return [[int(key.rpartition("-")[2]) for key in batch] for batch in sent]

    def cached(self, result: str) -> float:
        """Count the keys that were looked up in the cache of profiles, by hit, miss or stale."""
        [metric] = [
            one
            for one in self.telemetry.metrics.registry.snapshot().metrics
            if one.info is metric_list.ENTITY_CACHE_LOOKUPS
        ]
        return sum(one.value for one in metric.points if one.attributes == ("profile", result))

    def invalidations(self) -> float:
        """Count the invalidations that it has carried out."""
        return sum(
            point.value
            for metric in self.telemetry.metrics.registry.snapshot().metrics
            if metric.info is metric_list.INVALIDATIONS
            for point in metric.points
        )

    def lookups(self, result: str) -> float:
        """Count the keys that were looked up in the store, by result."""
        points = self.telemetry.metrics.store_lookups.points()
        return sum(one.value for one in points if one.attributes[-1] == result)


@asynccontextmanager
async def instance(
    settings: Settings,
    services: FakeServices | None = None,
    *,
    ways: Ways = SHORT,
    clock: Clock | None = None,
) -> AsyncGenerator[Instance]:
    """Open a gateway."""
    services = services or FakeServices()
    telemetry, log = Telemetry(GatewayMetrics()), io.StringIO()
    settings = ways.of(settings)
    with ControlListener(Reports(1, time.monotonic), has_reports=False) as control:
        made = make_app(
            settings,
            make_log(settings.log, stream=log),
            clock=clock or SystemClock(),
            transports=services.transport,
            telemetry=telemetry,
            control=control.address,
        )
        access = AdminAccess(lambda: SecretStr(TOKEN))
        admin = Starlette(routes=[invalidation_route(control, access, settings.sources.keys)])
        async with (
            made.router.lifespan_context(made),
            client_of(made) as client,
            client_of(admin) as of_admin,
        ):
            await asyncio.to_thread(control.wait_for_processes, 10.0)
            yield Instance(GatewayClient(made, client, log), services, telemetry, of_admin)


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    """Make a client of an application."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway")


@asynccontextmanager
async def instances(
    count: int, settings: Settings, services: FakeServices | None = None, *, ways: Ways = SHORT
) -> AsyncGenerator[Sequence[Instance]]:
    """Open several gateways. Each has its own services, or all have the given ones."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(instance(settings, services, ways=ways))
            for _ in range(count)
        ]


async def until(is_true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition is true. Each check lets the event loop run."""
    while not await is_true():
        pass


async def stored(server: StoreServer, count: int) -> None:
    """Wait until a store has this number of keys."""

    async def has_all() -> bool:
        return int((await server.command("DBSIZE"))[1:]) == count

    await until(has_all)
