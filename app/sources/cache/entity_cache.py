"""The entity cache of one source: recent results are not fetched again, and serve if it fails.

``use_of`` decides by the age of an entry how it may be used:

    record     up to ttl                               used
               then up to + stale_while_revalidate     used at once, and renewed in the background
               then up to + stale_if_error             used if the source fails (``stale_ok``)
    unknown    up to unknown_ttl                       used
    failure    never kept; the same is true of a record with damaged fields

The cache headers of the service bound each of these times (``lifetime.py``).

An entry that lacks a wanted field is not used. The new record is then merged with the entry, if
that is still fresh; the merged entry is as old as the older part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

from structlog.typing import FilteringBoundLogger

from app.errors import Code, SourceFailure
from app.resilience.clock import Clock
from app.settings.resilience import DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import (
    DamagedRecord,
    FetchResult,
    FieldSet,
    Record,
    RequestContext,
    Source,
    SourceResult,
    UserId,
)
from app.sources.batch import Collected, PendingBatch
from app.sources.batch_scheduler import BatchScheduler, Sharing, never
from app.sources.cache.lifetime import UNBOUNDED, ArrivalTime, Lifetime, SeenResponse
from app.sources.cache.store import EntityStore, Entry, EntryKey
from app.sources.credentials import identity_of
from app.sources.records_in_parts import joined
from app.sources.telemetry import SourceTelemetry
from app.sources.trace import SourceTrace

R = TypeVar("R", bound=Record)


class EntryUse(Enum):
    """How an entry may be used."""

    FRESH = "fresh"
    """It is the result."""
    REVALIDATE = "revalidate"
    """It is the result, and a new one is fetched in the background for later requests."""
    IF_ERROR = "if_error"
    """It is the result if the source fails."""
    NONE = "none"
    """It is not used."""


AT_ONCE = frozenset({EntryUse.FRESH, EntryUse.REVALIDATE})
"""The uses for which a request does not wait for the source."""


def use_of(
    entry: Entry[Record] | None,
    now: datetime,
    settings: SourceSettings,
    fields: FieldSet | None = None,
) -> EntryUse:
    """Decide how an entry may be used. At an age of exactly ``ttl`` it is still fresh.

    Args:
        entry: The entry; ``None`` if there is none.
        now: The time of day.
        settings: The settings of the source: the times of the cache, and the contract.
        fields: The wanted fields; ``None`` for all.

    Returns:
        The use. An entry from the future is not used: the clock was set back, so its age is not
        known.
    """
    if entry is None or not entry.holds(fields) or (age := entry.age(now)) < 0:
        return EntryUse.NONE
    cache, lifetime = settings.cache, entry.lifetime
    ttl = cache.unknown_ttl if entry.record is None else cache.ttl
    if age <= ttl and age < lifetime.fresh:
        return EntryUse.FRESH
    if entry.record is None:
        return EntryUse.NONE
    stale = age - min(ttl, lifetime.fresh)
    revalidate = min(cache.stale_while_revalidate, lifetime.stale_while_revalidate)
    if 0 < revalidate >= stale:
        return EntryUse.REVALIDATE
    if_error = min(revalidate + cache.stale_if_error, lifetime.stale_if_error)
    if settings.contract == "stale_ok" and 0 < if_error >= stale:
        return EntryUse.IF_ERROR
    return EntryUse.NONE


def with_old(
    result: SourceResult[R] | Exception, old: SourceResult[R]
) -> SourceResult[R] | Exception:
    """Use an old record where the source failed.

    Args:
        result: The result of the source.
        old: The old record of the same user.

    Returns:
        The old record instead of a failure other than ``SOURCE_REJECTED``, which is a decision of
        the source. A damaged record with the old values of its damaged fields. Any other result as
        it is.
    """
    if isinstance(result, SourceFailure) and result.code is not Code.SOURCE_REJECTED:
        return old
    if isinstance(result, DamagedRecord) and old is not None:
        values = {name: getattr(old, name) for name in result.failures}
        return result.record.model_copy(update=values)
    return result


def merged_entry(old: Entry[R], new: Entry[R]) -> Entry[R]:
    """Merge two entries of one user that may have different fields.

    Args:
        old: The kept entry, which is fresh.
        new: The new entry.

    Returns:
        The new entry, with the fields that only the old one has. If there are any, it has the age
        of the older entry, and the shorter lifetime.
    """
    if old.record is None or new.record is None or old.fields is None or new.fields is None:
        return new
    if new.fields >= old.fields:
        return new
    return Entry(
        new.key,
        joined([old.record, new.record]),
        SeenResponse(
            min(old.fetched_at, new.fetched_at), lifetime=old.lifetime.shorter(new.lifetime)
        ),
        old.fields | new.fields,
    )


@dataclass(slots=True)
class PendingLookup(Generic[R]):
    """Keys of one request: some are in the cache, the others are fetched. A ``PendingFetch``.

    Attributes:
        cache: The cache.
        keys: The keys of users.
        entries: The entry of each key, in the order of ``keys``; ``None`` if there is none.
        uses: How each entry may be used, in the same order.
        fields: The wanted fields; ``None`` for all.
        fetched: The other keys; ``None`` if every key is in the cache.
    """

    cache: "CachedSource[R]"
    keys: Sequence[UserId]
    entries: Sequence[Entry[R] | None]
    uses: Sequence[EntryUse]
    fields: FieldSet | None
    fetched: PendingBatch[R] | None

    @property
    def is_fresh(self) -> bool:
        """Whether every key is in the cache, and fresh."""
        return self.fetched is None and self.uses.count(EntryUse.FRESH) == len(self.uses)

    @property
    def pending(self) -> Sequence[PendingBatch[R]]:
        """The keys that are fetched."""
        return () if self.fetched is None else (self.fetched,)

    def collect(self) -> Collected[R]:
        """Collect the results from the cache and from the batches.

        Returns:
            The result of each key. The trace has the age of the oldest stale record that was used.
        """
        return self.cache.collect(self)


class CachedSource(Generic[R]):
    """A ``BatchedSource`` with a cache: only keys that are not in it go to the batch scheduler.

    A hit costs no task and no wait, because the entries are in memory.

    Attributes:
        name: Name of the source for clients, settings and logs.
        hits: Number of keys served from fresh entries.
        stale_hits: Number of keys served from stale entries, for either reason.
        misses: Number of keys for which the source was needed, keys in flight included.
        unkept: Number of results that the service did not allow to keep.
        scheduler: Fetches the keys that are not in the cache.
    """

    def __init__(
        self,
        source: Source[R],
        settings: SourceSettings,
        *,
        store: EntityStore[R],
        deadlines: DeadlineSettings,
        clock: Clock,
        log: FilteringBoundLogger,
        telemetry: SourceTelemetry,
        congested: Callable[[], bool] = never,
    ) -> None:
        """Create the cache of a source.

        Args:
            source: The source.
            settings: Settings of the source.
            store: Keeps the entries of this source.
            deadlines: The time budget of a request.
            clock: The clock.
            log: Where the first response is logged that the service does not allow to keep.
            telemetry: Where batches are counted, and their spans go.
            congested: Returns whether calls to the source wait before they are sent.
        """
        self.name = source.name
        self.hits = self.stale_hits = self.misses = self.unkept = 0
        self._source = source
        self._settings = settings
        self._forwards = settings.auth.forwards
        self._store = store
        self._clock = clock
        self._log = log
        self.scheduler: BatchScheduler[R] = BatchScheduler(
            source.name,
            self._fetch,
            sharing=Sharing.BATCHES if settings.coalesce.enabled else Sharing.KEYS,
            settings=settings,
            deadlines=deadlines,
            clock=clock,
            log=log,
            telemetry=telemetry,
            congested=congested,
        )

    async def __aenter__(self) -> Self:
        await self.scheduler.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.scheduler.__aexit__(kind, error, traceback)

    def enqueue(
        self, keys: Sequence[UserId], context: RequestContext, *, fields: FieldSet | None = None
    ) -> PendingLookup[R]:
        """Look keys up, and begin to fetch the others. Stale entries are renewed without a wait.

        Args:
            keys: Keys of users, without duplicates.
            context: The request.
            fields: The wanted fields of the record; ``None`` for all.

        Returns:
            The keys, to wait for.
        """
        identity = context.identity
        if self._forwards:
            identity = identity_of(context, self._forwards)
        entries = self._store.get_many([EntryKey(identity, key) for key in keys])
        now = self._clock.now()
        uses = [
            EntryUse.FRESH
            if entry is not None
            and entry.fields is None
            and entry.seen.at <= now < entry.fresh_until
            else self._use_of(entry, now, fields)
            for entry in entries
        ]
        if uses.count(EntryUse.FRESH) == len(uses):  # the common case
            self.hits += len(uses)
            return PendingLookup(self, keys, entries, uses, fields, None)
        missing = [key for key, use in zip(keys, uses, strict=True) if use not in AT_ONCE]
        stale = [key for key, use in zip(keys, uses, strict=True) if use is EntryUse.REVALIDATE]
        self.hits += uses.count(EntryUse.FRESH)
        self.misses += len(missing)
        fetched = None
        if missing or stale:
            fetched = self.scheduler.enqueue(missing, context, background=stale, fields=fields)
        return PendingLookup(self, keys, entries, uses, fields, fetched)

    def collect(self, lookup: PendingLookup[R]) -> Collected[R]:
        """Collect the results of a lookup, after its batches.

        Args:
            lookup: The lookup.

        Returns:
            The result of each key. The trace has the age of the oldest stale record that was used.
        """
        if lookup.is_fresh:
            # Entries of one response have the same objects: once is enough.
            kept = [entry for entry in lookup.entries if entry is not None]
            seen = {id(entry.seen): entry.seen for entry in kept}
            trace = SourceTrace(keys=len(kept), cached=len(kept), seen=[*seen.values()])
            found = dict(zip(lookup.keys, [entry.record for entry in kept], strict=True))
            return Collected(cast("dict[UserId, SourceResult[R] | Exception]", found), trace)
        collected = Collected[R]({}, SourceTrace())
        if lookup.fetched is not None:
            collected = lookup.fetched.collect()
        trace, fetched = collected.trace, collected.results
        results: dict[UserId, SourceResult[R] | Exception] = {}
        now = self._clock.now()
        for key, entry, use in zip(lookup.keys, lookup.entries, lookup.uses, strict=True):
            if entry is not None and use in AT_ONCE:
                trace.keys += 1
                trace.cached += 1
                if not trace.seen or trace.seen[-1] is not entry.seen:
                    trace.seen.append(entry.seen)
                results[key] = entry.record
                is_stale = use is EntryUse.REVALIDATE
            else:
                old = (
                    entry if self._use_of(entry, now, lookup.fields) is EntryUse.IF_ERROR else None
                )
                results[key] = fetched[key] if old is None else with_old(fetched[key], old.record)
                is_stale = results[key] is not fetched[key]
            if entry is not None and is_stale:
                self.stale_hits += 1
                trace.stale = max(trace.stale or 0.0, entry.age(now))
        return Collected(results, trace)

    def _use_of(self, entry: Entry[R] | None, now: datetime, fields: FieldSet | None) -> EntryUse:
        """Decide how an entry may be used."""
        return use_of(entry, now, self._settings, fields)

    async def _fetch(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[SourceResult[R]]:
        """Fetch keys from the source, and keep the results."""
        fetched = await self._source.fetch_many(keys, context)
        now, fields = self._clock.now(), context.fields
        default = ArrivalTime(now, UNBOUNDED)
        entries: list[Entry[R]] = []
        seen: dict[int, SeenResponse] = {}
        for key, result in zip(keys, fetched.results, strict=True):
            arrival = fetched.arrivals.get(key, default)
            # A damaged record is fetched again: the service may be mended at any time.
            if not isinstance(result, SourceFailure | DamagedRecord) and self._may_be_kept(
                arrival.lifetime, context
            ):
                entry_key = EntryKey(context.identity, key)
                response = seen.setdefault(
                    id(arrival), SeenResponse(arrival.at, lifetime=arrival.lifetime)
                )
                until = self._fresh_until(arrival, is_known=result is not None)
                entries.append(Entry(entry_key, result, response, fields, until))
        if fields is not None:
            entries = self._merged_with_kept(entries, now)
        self._store.put_many(entries)
        return fetched

    def _fresh_until(self, arrival: ArrivalTime, *, is_known: bool) -> datetime:
        """Return before which time an entry is fresh, by the settings and by the service."""
        cache = self._settings.cache
        ttl = cache.ttl if is_known else cache.unknown_ttl
        seconds = min(ttl, arrival.lifetime.fresh)
        return arrival.at + timedelta(seconds=max(seconds, 0.0))

    def _may_be_kept(self, lifetime: Lifetime, context: RequestContext) -> bool:
        """Return whether the service allows to keep a result; log the first that it does not."""
        allowed = not lifetime.over and (bool(context.identity) or not lifetime.private)
        if not allowed:
            if not self.unkept:
                self._log.info(
                    "cache.not_allowed",
                    request_id=context.request_id,
                    source=self.name,
                    hint="the service does not let its answers be kept, by Cache-Control, Expires"
                    " or Vary",
                )
            self.unkept += 1
        return allowed

    def _merged_with_kept(self, entries: Sequence[Entry[R]], now: datetime) -> list[Entry[R]]:
        """Merge entries with the kept entries of the same users that are still fresh."""
        kept = self._store.get_many([entry.key for entry in entries])
        return [
            merged_entry(old, new)
            if old is not None and self._use_of(old, now, old.fields) is EntryUse.FRESH
            else new
            for old, new in zip(kept, entries, strict=True)
        ]
