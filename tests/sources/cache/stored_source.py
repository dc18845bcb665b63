"""A cached source with a shared store whose client a test makes."""

import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

from app.observability.logs import make_log
from app.observability.telemetry import GatewayMetrics, Telemetry
from app.resilience.clock import SystemClock
from app.settings.models import LogSettings
from app.settings.resilience import CacheSettings, DeadlineSettings
from app.settings.store import StoreSettings
from app.sources.cache.entity_cache import CachedSource
from app.sources.cache.invalidation import Invalidations
from app.sources.cache.shared_entries import SharedEntries
from app.sources.cache.store import EntityStore
from app.sources.cache.stored_entry import RecordCodec
from app.sources.mapping.decoding import validating_decoder
from app.sources.telemetry import SourceTelemetry
from app.store.contract import StoreClient
from app.store.shared import SharedStore
from tests.fakes import calm_source
from tests.sources.upstream import NAME, PersonRecord, Upstream

STORE_TIMEOUT = 1.0
"""Seconds that the store may take."""


@asynccontextmanager
async def stored_source(
    client: object, upstream: Upstream
) -> AsyncGenerator[CachedSource[PersonRecord]]:
    """Open a cached source; ``client`` has those methods of ``StoreClient`` that are used."""
    clock, log = SystemClock(), make_log(LogSettings(format="json"), stream=io.StringIO())
    cache = CacheSettings.model_validate({"enabled": True, "ttl": 60})
    source = calm_source(base_url="http://profile", cache=cache)
    metrics, invalidations = GatewayMetrics(), Invalidations(clock)
    store = SharedStore(
        lambda _: cast("StoreClient", client),
        StoreSettings(timeout=STORE_TIMEOUT),
        clock=clock,
        chance=lambda: 0.0,
        log=log,
        metrics=metrics,
    )
    async with (
        store,
        CachedSource(
            upstream,
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
        ) as cached,
    ):
        yield cached
