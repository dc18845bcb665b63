"""A bug while entries of the shared store are read fails its request, and keeps nobody waiting."""

import asyncio
import io
from collections.abc import Sequence
from typing import cast

from app.observability.logs import make_log
from app.observability.telemetry import GatewayMetrics, Telemetry
from app.resilience.clock import SystemClock
from app.settings.models import LogSettings
from app.settings.resilience import CacheSettings, DeadlineSettings
from app.settings.store import StoreSettings
from app.sources.base import RequestContext
from app.sources.batch import wait_for_fetches
from app.sources.cache.entity_cache import CachedSource
from app.sources.cache.invalidation import Invalidations
from app.sources.cache.shared_entries import SharedEntries
from app.sources.cache.store import EntityStore
from app.sources.cache.stored_entry import RecordCodec
from app.sources.mapping.decoding import validating_decoder
from app.sources.telemetry import SourceTelemetry
from app.store.contract import StoreClient, StoredValue
from app.store.shared import SharedStore
from tests.fakes import calm_source
from tests.sources.upstream import NAME, PersonRecord, Upstream, ids
from tests.stores import PATIENCE


class FaultyClient:
    """A client of a store that breaks its contract: it returns a number for the first key."""

    async def get_many(self, keys: Sequence[str]) -> Sequence[object]:
        """Return a number for the first key, and nothing for the others."""
        return [1, *(None for _ in keys[1:])]

    async def put_many(self, values: Sequence[StoredValue]) -> None:
        """Store nothing."""

    async def close(self) -> None:
        """Close nothing."""


async def test_a_bug_while_entries_are_read_fails_its_request_and_no_other() -> None:
    clock, log = SystemClock(), make_log(LogSettings(format="json"), stream=io.StringIO())
    cache = CacheSettings.model_validate({"enabled": True, "ttl": 60})
    source = calm_source(base_url="http://profile", cache=cache)
    metrics, invalidations = GatewayMetrics(), Invalidations(clock)
    store = SharedStore(
        lambda _: cast("StoreClient", FaultyClient()),
        StoreSettings(),
        clock=clock,
        chance=lambda: 0.0,
        log=log,
        metrics=metrics,
    )
    async with store, asyncio.timeout(PATIENCE):
        cached = CachedSource(
            Upstream(),
            source,
            store=EntityStore[PersonRecord](10),
            invalidations=invalidations,
            shared=SharedEntries(
                NAME,
                source,
                meaning="",
                codec=RecordCodec(PersonRecord, "id", validating_decoder(PersonRecord)),
                store=store,
                invalidations=invalidations,
                clock=clock,
                lookups=metrics.store_lookups,
            ),
            deadlines=DeadlineSettings(),
            clock=clock,
            log=log,
            telemetry=SourceTelemetry(Telemetry(metrics)),
        )
        async with cached:
            # Both go to the store by one command.
            waits = [
                wait_for_fetches([cached.enqueue(ids(keys), RequestContext("r"))])
                for keys in ("ab", "cd")
            ]

            ends = await asyncio.gather(*waits, return_exceptions=True)

    assert [type(one) for one in ends] == [TypeError, type(None)]
