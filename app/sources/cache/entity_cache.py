"""The entity cache of one source: recent results are not fetched again, and serve if it fails.

It has two levels: the memory of this process, and, if the settings have one, the store that several
gateways share. ``entry_use.py`` decides by the age of an entry how it may be used, and
``invalidation.py`` which entries must not be used any more.

A request whose keys are all in memory waits for nothing. The other keys are looked up in the shared
store, those of all sources and requests of one turn of the event loop together. What it does not
have either is fetched, and the result is kept in both. An entry in memory counts for ``local_ttl``
only, and for less if it becomes stale before, so that what another gateway has renewed is found.
But if the store has nothing newer, or does not answer, the entry is used as if there were no store.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from contextvars import Context
from datetime import datetime
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from app.errors import SourceFailure
from app.resilience.clock import Clock
from app.resilience.tasks import Tasks
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
from app.sources.batch import Collected
from app.sources.batch_scheduler import BatchScheduler, Sharing, never
from app.sources.cache.entry_use import (
    AT_ONCE,
    EntryUse,
    fresh_until,
    merged_entry,
    use_of,
    with_old,
)
from app.sources.cache.invalidation import Forget, Invalidations
from app.sources.cache.lifetime import UNBOUNDED, ArrivalTime, Lifetime, SeenResponse
from app.sources.cache.lookup import PendingLookup, StoredEntries
from app.sources.cache.shared_entries import SharedEntries
from app.sources.cache.store import EntityStore, Entry, EntryKey
from app.sources.credentials import identity_of
from app.sources.telemetry import SourceTelemetry
from app.sources.trace import SourceTrace

R = TypeVar("R", bound=Record)


class CachedSource(Generic[R]):
    """A ``BatchedSource`` with a cache: only keys that are not in it go to the batch scheduler.

    A hit in memory costs no task and no wait.

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
        invalidations: Invalidations,
        shared: SharedEntries[R] | None = None,
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
            store: Keeps the entries of this source in memory.
            invalidations: Which entries must not be used any more.
            shared: The entries in the shared store; ``None`` if there is none.
            deadlines: The time budget of a request.
            clock: The clock.
            log: Where the first response is logged that the service does not allow to keep.
            telemetry: Where batches are counted, and their spans go.
            congested: Returns whether calls to the source wait before they are sent.
        """
        self.name = source.name
        self.hits = self.stale_hits = self.misses = self.unkept = 0
        self._service = source.name.partition(".")[0]
        self._source = source
        self._settings = settings
        self._forwards = settings.auth.forwards
        self._store = store
        self._invalidations = invalidations
        self._shared = shared
        self._lease_seconds = deadlines.budget
        self._clock = clock
        self._log = log
        self._tasks = Tasks()
        self._renewing: set[EntryKey] = set()
        self._clock_changes = 0
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
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self.scheduler)
        await self._exits.enter_async_context(self._tasks)
        self._exits.callback(self._invalidations.listen(self._forget))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exits.__aexit__(kind, error, traceback)

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
        identity = self._identity_of(context)
        entries = self._store.get_many(identity, keys)
        lookup = PendingLookup(self.collect, keys, entries, fields, context)
        places = self._not_fresh(lookup)
        if not places:
            self.hits += len(keys)
            return lookup
        shared = self._shared
        if shared is not None and not shared.is_usable_within(context.deadline):
            shared = None
        if shared is not None and (asked := self._to_ask_for(lookup, places, shared)):
            arrival = lookup.arrival = asyncio.get_running_loop().create_future()
            shared.read(
                identity,
                [keys[place] for place in asked],
                [entries[place] for place in asked],
                lambda found: self._resume(lookup, arrival, asked, found),
            )
            return lookup
        self._decide(lookup, places)
        self._fetch_missing(lookup, renews=shared is None)
        return lookup

    def collect(self, lookup: PendingLookup[R]) -> Collected[R]:
        """Collect the results of a look-up, after its batches.

        Args:
            lookup: The look-up.

        Returns:
            The result of each key. The trace has the age of the oldest stale record that was used.
        """
        if not lookup.uses:
            entries = cast("list[Entry[R]]", lookup.entries)  # every key has one
            found = dict(zip(lookup.keys, [entry.record for entry in entries], strict=True))
            seen = [entry.seen for entry in entries]
            trace = SourceTrace(keys=len(entries), cached=len(entries), seen=seen)
            return Collected(cast("dict[UserId, SourceResult[R] | Exception]", found), trace)
        collected = Collected[R]({}, SourceTrace())
        if lookup.fetched is not None:
            collected = lookup.fetched.collect()
        trace, fetched = collected.trace, collected.results
        results: dict[UserId, SourceResult[R] | Exception] = {}
        now, doubtful = self._clock.now(), self._invalidations.doubtful_before()
        for key, entry, use in zip(lookup.keys, lookup.entries, lookup.uses, strict=True):
            if entry is not None and use in AT_ONCE:
                trace.keys += 1
                trace.cached += 1
                trace.seen.append(entry.seen)
                results[key] = entry.record
                is_stale = use is EntryUse.REVALIDATE
            else:
                # It may be fresh: invalidations that were not known before may be known now.
                usable = self._use_of(entry, now, lookup.fields, doubtful) is not EntryUse.NONE
                old = entry if usable else None
                results[key] = fetched[key] if old is None else with_old(fetched[key], old.record)
                is_stale = results[key] is not fetched[key]
            if entry is not None and is_stale:
                self.stale_hits += 1
                trace.stale = max(trace.stale or 0.0, entry.age(now))
        return Collected(results, trace)

    def _identity_of(self, context: RequestContext) -> str:
        """Return the identity of a request for this source."""
        return identity_of(context, self._forwards) if self._forwards else context.identity

    def _use_of(
        self, entry: Entry[R] | None, now: datetime, fields: FieldSet | None, doubtful: int
    ) -> EntryUse:
        """Decide how an entry may be used; ``doubtful`` is of ``doubtful_before``."""
        use = use_of(entry, now, self._settings, fields)
        if entry is None or use is EntryUse.NONE:
            return use
        invalidations = self._invalidations
        if invalidations.is_outdated(self._service, entry.key.user, entry.tags, entry.began):
            return EntryUse.NONE
        if use in AT_ONCE and entry.began < doubtful:
            # It may have been invalidated by another gateway. It is better than a failure.
            return EntryUse.IF_ERROR if self._settings.contract == "stale_ok" else EntryUse.NONE
        return use

    def _not_fresh(self, lookup: PendingLookup[R]) -> Sequence[int]:
        """List the places of the keys that have no fresh entry: commonly none, in one pass."""
        now, fields = self._clock.now(), lookup.fields
        unmarked = max(self._invalidations.last, self._invalidations.doubtful_before())
        return [
            place
            for place, entry in enumerate(lookup.entries)
            if entry is None
            or not entry.seen.known_at <= now < entry.fresh_until
            or entry.began <= unmarked
            or not (entry.fields is None or entry.holds(fields))
        ]

    def _to_ask_for(
        self, lookup: PendingLookup[R], places: Sequence[int], shared: SharedEntries[R]
    ) -> Sequence[int]:
        """List those of some places for which the shared store may have a better entry."""
        now, doubtful = self._clock.now(), self._invalidations.doubtful_before()
        local_ttl = shared.local_ttl
        return [
            place
            for place, entry in [(one, lookup.entries[one]) for one in places]
            if entry is None
            or now >= entry.checked_until
            or entry.fresh_until > entry.checked_until - local_ttl  # it was fresh when last asked
            or self._use_of(entry, now, lookup.fields, doubtful) not in AT_ONCE
        ]

    def _resume(
        self,
        lookup: PendingLookup[R],
        arrival: asyncio.Future[None],
        places: Sequence[int],
        found: StoredEntries[R],
    ) -> None:
        """Go on with a look-up, after the shared store has answered or failed. It never raises."""
        bug: Exception | None = None
        try:
            self._go_on(lookup, places, found)
        except Exception as error:  # noqa: BLE001 # the request that waits gets it
            bug = error
        if arrival.done():
            return  # the request has ended
        if bug is None:
            arrival.set_result(None)
        else:
            arrival.set_exception(bug)

    def _go_on(
        self, lookup: PendingLookup[R], places: Sequence[int], found: StoredEntries[R]
    ) -> None:
        """Decide how entries may be used, with those of the store, and fetch the other keys."""
        if isinstance(found, Exception):
            raise found
        shared = None if found is None else self._shared
        if found is not None and shared is not None:
            self._take_newer(lookup, places, found, shared)
        if (others := self._not_fresh(lookup)) and self._take_kept(lookup, others):
            others = self._not_fresh(lookup)
        if others:
            self._decide(lookup, others)
            if shared is not None:
                self._begin_renewal(shared, lookup, places)
            if not lookup.ended:
                self._fetch_missing(lookup, renews=shared is None)
        else:
            self.hits += len(lookup.keys)

    def _take_kept(self, lookup: PendingLookup[R], places: Sequence[int]) -> bool:
        """Take what calls have brought while the store was asked; return whether there is any."""
        users = [lookup.keys[place] for place in places]
        kept = self._store.get_many(self._identity_of(lookup.context), users)
        is_newer = False
        for place, entry in zip(places, kept, strict=True):
            before = lookup.entries[place]
            if entry is None or not entry.holds(lookup.fields):
                continue
            if before is None or entry.began > before.began:
                lookup.entries[place] = entry
                is_newer = True
        return is_newer

    def _take_newer(
        self,
        lookup: PendingLookup[R],
        places: Sequence[int],
        found: Sequence[Entry[R] | None],
        shared: SharedEntries[R],
    ) -> None:
        """Take the newer entry of both levels for each place, and keep it in memory."""
        entries, fields = lookup.entries, lookup.fields
        until = self._clock.now() + shared.local_ttl
        kept: list[Entry[R]] = []
        for place, stored in zip(places, found, strict=True):
            entry = entries[place]
            if stored is entry:
                continue  # the store has what is in memory, or neither has anything
            if stored is not None and (
                entry is None or entry.began <= stored.began or not entry.holds(fields)
            ):
                entry = stored
            elif entry is not None:  # there is no newer one
                fresh = min(until, shared.fresh_until(entry))
                entry = replace(entry, checked_until=until, fresh_until=fresh)
            else:
                continue
            entries[place] = entry
            kept.append(entry)
        self._store.put_many(kept)

    def _decide(self, lookup: PendingLookup[R], places: Sequence[int]) -> None:
        """Decide how each entry may be used. Those at other places are fresh."""
        now, doubtful = self._clock.now(), self._invalidations.doubtful_before()
        uses = [EntryUse.FRESH] * len(lookup.entries)
        for place in places:
            uses[place] = self._use_of(lookup.entries[place], now, lookup.fields, doubtful)
        lookup.uses = uses

    def _fetch_missing(self, lookup: PendingLookup[R], *, renews: bool) -> None:
        """Begin to fetch the keys that no entry can serve, and perhaps to renew stale entries."""
        keys, uses = lookup.keys, lookup.uses
        missing = [key for key, use in zip(keys, uses, strict=True) if use not in AT_ONCE]
        stale = [key for key, use in zip(keys, uses, strict=True) if use is EntryUse.REVALIDATE]
        self.hits += uses.count(EntryUse.FRESH)
        self.misses += len(missing)
        if missing or (stale and renews):
            lookup.fetched = self.scheduler.enqueue(
                missing,
                lookup.context,
                background=stale if renews else (),
                fields=lookup.fields,
            )

    def _begin_renewal(
        self, shared: SharedEntries[R], lookup: PendingLookup[R], places: Sequence[int]
    ) -> None:
        """Begin to renew the stale entries at some places, unless another gateway renews them."""
        stale = [
            entry.key
            for entry, use in [(lookup.entries[one], lookup.uses[one]) for one in places]
            if entry is not None and use is EntryUse.REVALIDATE
        ]
        new = [key for key in stale if key not in self._renewing]
        if new and not self._tasks.closed:
            self._renewing.update(new)
            work = self._renew(shared, new, lookup.context, lookup.fields)
            self._tasks.begin(work, f"renew {self.name}", Context())

    async def _renew(
        self,
        shared: SharedEntries[R],
        stale: Sequence[EntryKey],
        context: RequestContext,
        fields: FieldSet | None,
    ) -> None:
        """Take the leases of entries, and fetch those that this gateway may renew."""
        try:
            leased = await shared.lease(stale, self._lease_seconds)
        finally:
            self._renewing.difference_update(stale)
        if leased:
            keys = [key.user for key in leased]
            self.scheduler.enqueue((), context, background=keys, fields=fields)

    async def _fetch(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[SourceResult[R]]:
        """Fetch keys from the source, and keep the results."""
        began, clock_changes = self._invalidations.now(), self._clock_changes
        fetched = await self._source.fetch_many(keys, context)
        now, fields = self._clock.now(), context.fields
        default = ArrivalTime(now, UNBOUNDED)
        entries: list[Entry[R]] = []
        refused: list[EntryKey] = []
        seen: dict[int, SeenResponse] = {}
        for key, result in zip(keys, fetched.results, strict=True):
            arrival = fetched.arrivals.get(key, default)
            # A damaged record is fetched again: the service may be mended at any time.
            if isinstance(result, SourceFailure | DamagedRecord):
                continue
            entry_key = EntryKey(context.identity, key)
            if not self._may_be_kept(arrival.lifetime, context):
                refused.append(entry_key)
                continue
            if self._invalidations.is_outdated(self._service, key, arrival.tags, began):
                continue  # the source may have changed while it was asked
            response = seen.get(id(arrival))
            if response is None:
                response = SeenResponse(arrival.at, lifetime=arrival.lifetime)
                seen[id(arrival)] = response
            until = fresh_until(
                self._settings, arrival.at, arrival.lifetime, is_known=result is not None
            )
            entries.append(
                Entry(entry_key, result, response, fields, until, until, began, arrival.tags)
            )
        if fields is not None:
            entries = self._merged_with_kept(context.identity, entries, now)
        if clock_changes == self._clock_changes:
            self._keep(entries, refused, now)
        return fetched

    def _keep(
        self, entries: Sequence[Entry[R]], refused: Sequence[EntryKey], now: datetime
    ) -> None:
        """Keep entries in both levels, and remove those that the service no longer allows."""
        self._store.remove_many(refused)
        if self._shared is not None:
            until = now + self._shared.local_ttl
            self._shared.remove(refused)
            self._shared.write(entries)
            entries = [
                replace(one, checked_until=until, fresh_until=min(one.fresh_until, until))
                for one in entries
            ]
        self._store.put_many(entries)

    def _forget(self, forget: Forget) -> None:
        """Let no request join a call that began before an invalidation."""
        if forget.clock:
            self._clock_changes += 1
            self._store.clear()
        self.scheduler.forget(lambda key: forget.names(self._service, key))

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

    def _merged_with_kept(
        self, identity: str, entries: Sequence[Entry[R]], now: datetime
    ) -> list[Entry[R]]:
        """Merge entries with the kept entries of the same users that are still fresh."""
        kept = self._store.get_many(identity, [entry.key.user for entry in entries])
        doubtful = self._invalidations.doubtful_before()
        return [
            merged_entry(old, new)
            if old is not None and self._use_of(old, now, old.fields, doubtful) is EntryUse.FRESH
            else new
            for old, new in zip(kept, entries, strict=True)
        ]
