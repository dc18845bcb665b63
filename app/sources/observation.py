"""What metrics read of schedulers, caches and invalidations whenever a snapshot is taken."""

from typing import Any

from app.observability import metric_list
from app.observability.metrics import Observations
from app.sources.batch_scheduler import BatchScheduler
from app.sources.cache.entity_cache import CachedSource
from app.sources.cache.invalidation import Invalidations
from app.sources.cache.store import EntityStore
from app.sources.lists.coalescing import CoalescedPages


def observe_scheduler(metrics: Observations, scheduler: BatchScheduler[Any]) -> None:
    """Let metrics read how many keys a scheduler has coalesced.

    Args:
        metrics: Where they are observed.
        scheduler: The scheduler.
    """
    name = scheduler.name
    metrics.observe(metric_list.COALESCED_KEYS, lambda: [((name,), scheduler.shared)])


def observe_pages(metrics: Observations, name: str, pages: CoalescedPages[Any]) -> None:
    """Let metrics read how many pages of a list were coalesced.

    Args:
        metrics: Where they are observed.
        name: Name of the source and of the list.
        pages: The list.
    """
    metrics.observe(metric_list.COALESCED_KEYS, lambda: [((name,), pages.shared)])


def observe_invalidations(metrics: Observations, invalidations: Invalidations) -> None:
    """Let metrics read how many invalidations were carried out.

    Args:
        metrics: The metrics.
        invalidations: The invalidations of the process.
    """
    metrics.observe(metric_list.INVALIDATIONS, lambda: [((), invalidations.count)])


def observe_cache(
    metrics: Observations, cached: CachedSource[Any], store: EntityStore[Any]
) -> None:
    """Let metrics read what an entity cache has done, and how full it is.

    Args:
        metrics: Where they are observed.
        cached: The source with the cache.
        store: The entries of the cache.
    """
    name = cached.name
    metrics.observe(
        metric_list.ENTITY_CACHE_LOOKUPS,
        lambda: [
            ((name, "hit"), cached.hits),
            ((name, "miss"), cached.misses),
            ((name, "stale"), cached.stale_hits),
        ],
    )
    metrics.observe(metric_list.ENTITY_CACHE_ENTRIES, lambda: [((name,), store.size)])
    metrics.observe(metric_list.ENTITY_CACHE_EVICTIONS, lambda: [((name,), store.evicted)])
