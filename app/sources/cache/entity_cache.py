"""The cache of one source: what it said lately is not asked again, and helps out when it fails.

How old an answer may be, and for what, is decided by ``use_of``:

    record     up to ttl                               used
               then up to + stale_while_revalidate     used at once, and renewed behind
               then up to + stale_if_error             used where the source fails (``stale_ok``)
    unknown    up to unknown_ttl                       used
    failure    never kept

What a service says of how long its answers may be kept bounds each of these (``lifetime.py``).

An entry that lacks a field that is wanted is no answer. What is fetched for it then joins what it
has, while that is fresh, and is as old as that.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from types import TracebackType
from typing import Generic, Self, TypeVar

from structlog.typing import FilteringBoundLogger

from app.errors import Code, SourceFailure
from app.resilience.clock import Clock
from app.settings.resilience import DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import FieldSet, Record, RequestContext, Source, UserId
from app.sources.batch import SourceResult
from app.sources.batch_scheduler import BatchScheduler, Sharing, never
from app.sources.cache.lifetime import UNBOUNDED, ArrivalTime, ArrivalTimes, Lifetime
from app.sources.cache.store import EntityStore, Entry, EntryKey, StoreError
from app.sources.records_in_parts import joined
from app.sources.seldom import SeldomLog

R = TypeVar("R", bound=Record)


class EntryUse(Enum):
    """What an entry is good for."""

    FRESH = "fresh"
    """It is the answer."""
    RENEW_BEHIND = "renew_behind"
    """It is the answer, and a newer one is fetched for those who come later."""
    IF_ERROR = "if_error"
    """It is the answer if the source fails."""
    USELESS = "useless"
    """It is no answer."""


AT_ONCE = frozenset({EntryUse.FRESH, EntryUse.RENEW_BEHIND})
"""The uses of an entry for which nobody waits for the source."""


def use_of(
    entry: Entry[Record] | None,
    now: datetime,
    settings: SourceSettings,
    fields: FieldSet | None = None,
) -> EntryUse:
    """Decide what an entry is good for. Limits are included: at ``ttl`` it is still fresh.

    Args:
        entry: What was kept, if anything was.
        now: The time of day.
        settings: How old an answer may be, and the contract.
        fields: The fields that are wanted; ``None`` for all.

    Returns:
        Its use. One from the future has none: the clock was set back, so its age is not known.
    """
    if entry is None or not entry.holds(fields) or (age := entry.age(now)) < 0:
        return EntryUse.USELESS
    cache, told = settings.cache, entry.lifetime
    ttl = cache.unknown_ttl if entry.record is None else cache.ttl
    if age <= ttl and age < told.fresh:
        return EntryUse.FRESH
    if entry.record is None:
        return EntryUse.USELESS
    stale = age - min(ttl, told.fresh)
    behind = min(cache.stale_while_revalidate, told.stale_while_revalidate)
    if 0 < behind >= stale:
        return EntryUse.RENEW_BEHIND
    if_error = min(behind + cache.stale_if_error, told.stale_if_error)
    if settings.contract == "stale_ok" and 0 < if_error >= stale:
        return EntryUse.IF_ERROR
    return EntryUse.USELESS


def can_be_covered(answer: SourceResult[Record]) -> bool:
    """Tell whether an old record may stand in for an answer.

    Args:
        answer: What the source answered.

    Returns:
        Whether it is a failure; a rejection is none, for the source has said no.
    """
    return isinstance(answer, SourceFailure) and answer.code is not Code.SOURCE_REJECTED


def merged_entry(old: Entry[R], new: Entry[R]) -> Entry[R]:
    """Put two entries of one user together that may have different fields.

    Args:
        old: What was kept, and is fresh.
        new: What has come.

    Returns:
        The new one, with the fields that it lacks; as old as these.
    """
    if old.record is None or new.record is None or old.fields is None or new.fields is None:
        return new
    if new.fields >= old.fields:
        return new
    return Entry(
        new.key,
        joined([old.record, new.record]),
        min(old.fetched_at, new.fetched_at),
        old.lifetime.beside(new.lifetime),
        old.fields | new.fields,
    )


class CachedSource(Generic[R]):
    """A source whose answers are kept. A ``Source``, and the owner of what it fetches behind.

    Attributes:
        hits: Users who were answered from fresh entries.
        stale_hits: Users who were answered from old ones, for either reason.
        misses: Users whom the source had to be asked about, shared ones included.
        unkept: Answers that the service did not let be kept.
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
        congested: Callable[[], bool] = never,
    ) -> None:
        """Put a cache before a source.

        Args:
            source: The source.
            settings: How long its answers are kept, and its contract.
            store: Where they are kept.
            deadlines: How the time of a request is divided.
            clock: Tells the time.
            log: Where failures of the store are reported.
            congested: Tells whether calls to the source wait before they are made.
        """
        self.hits = self.stale_hits = self.misses = self.unkept = 0
        self._source = source
        self._settings = settings
        self._store = store
        self._clock = clock
        self._log = log
        self._seldom = SeldomLog(log, clock)
        self._scheduler = BatchScheduler(
            source.name,
            self._fetch,
            sharing=Sharing.BATCHES if settings.coalesce.enabled else Sharing.KEYS,
            settings=settings,
            deadlines=deadlines,
            clock=clock,
            log=log,
            congested=congested,
        )

    @property
    def name(self) -> str:
        """What clients, settings and logs call the source."""
        return self._source.name

    @property
    def shared(self) -> int:
        """How many of the misses were users whom the source was being asked about already."""
        return self._scheduler.shared

    @property
    def in_flight(self) -> int:
        """How many users the source is being asked about now."""
        return self._scheduler.in_flight

    async def __aenter__(self) -> Self:
        await self._scheduler.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._scheduler.__aexit__(kind, error, traceback)

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> Sequence[SourceResult[R]]:
        """Answer from what is kept, and ask the source for the rest.

        Args:
            keys: Users, each once.
            context: What of the incoming request goes on.

        Returns:
            One answer a key, in the order of the keys. Where an old one is used, the call's trace
            says how old.
        """
        entries = await self._read(keys, context)
        looked = self._clock.now()
        fields = context.fields
        uses = [use_of(entry, looked, self._settings, fields) for entry in entries]
        missing = [key for key, use in zip(keys, uses, strict=True) if use not in AT_ONCE]
        behind = [key for key, use in zip(keys, uses, strict=True) if use is EntryUse.RENEW_BEHIND]
        self.hits += uses.count(EntryUse.FRESH)
        self.misses += len(missing)
        trace = context.trace.for_source(self.name)
        trace.keys += len(keys) - len(missing)

        fetched = iter(
            await self._scheduler.fetch(missing, context, background=behind, fields=fields)
            if missing or behind
            else ()
        )
        now = self._clock.now()
        answers: list[SourceResult[R]] = []
        for entry, use in zip(entries, uses, strict=True):
            answer = None if use in AT_ONCE else next(fetched)
            is_old = use is EntryUse.RENEW_BEHIND or (
                can_be_covered(answer)
                and use_of(entry, now, self._settings, fields) is EntryUse.IF_ERROR
            )
            if entry is not None and (use is EntryUse.FRESH or is_old):
                answer = entry.record
                if is_old:
                    self.stale_hits += 1
                    trace.stale = max(trace.stale or 0.0, entry.age(now))
            answers.append(answer)
        return answers

    async def _fetch(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> Sequence[SourceResult[R]]:
        """Ask the source, and keep what it says."""
        arrivals = ArrivalTimes()
        answers = await self._source.fetch_many(keys, replace(context, arrivals=arrivals))
        now, fields = self._clock.now(), context.fields
        otherwise = ArrivalTime(now, UNBOUNDED)
        entries: list[Entry[R]] = []
        for key, answer in zip(keys, answers, strict=True):
            arrival = arrivals.by_key.get(key, otherwise)
            if not isinstance(answer, SourceFailure) and self._may_be_kept(
                arrival.lifetime, context
            ):
                entry = Entry(self._key(key, context), answer, arrival.at, arrival.lifetime, fields)
                entries.append(entry)
        if fields is not None:
            entries = await self._with_what_is_kept(entries, now, context)
        try:
            await self._store.put_many(entries)
        except StoreError as error:
            self._report("write", error, context)
        return answers

    def _may_be_kept(self, lifetime: Lifetime, context: RequestContext) -> bool:
        """Tell whether the service lets an answer be kept; the first that may not be is logged."""
        may = not lifetime.over and (bool(context.identity) or not lifetime.private)
        if not may:
            if not self.unkept:
                self._log.info(
                    "cache.not_allowed",
                    request_id=context.request_id,
                    source=self.name,
                    hint="the service does not let its answers be kept, by Cache-Control, Expires"
                    " or Vary",
                )
            self.unkept += 1
        return may

    async def _with_what_is_kept(
        self, entries: Sequence[Entry[R]], now: datetime, context: RequestContext
    ) -> list[Entry[R]]:
        """Add to entries what fresh ones have that they lack."""
        kept = await self._read([entry.key.user for entry in entries], context)
        return [
            merged_entry(old, new)
            if old is not None and use_of(old, now, self._settings, old.fields) is EntryUse.FRESH
            else new
            for old, new in zip(kept, entries, strict=True)
        ]

    async def _read(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> Sequence[Entry[R] | None]:
        """Look up what is kept; nothing where the store fails."""
        try:
            return await self._store.get_many([self._key(key, context) for key in keys])
        except StoreError as error:
            self._report("read", error, context)
            return [None] * len(keys)

    def _key(self, user: UserId, context: RequestContext) -> EntryKey:
        """Say what an answer is an answer to."""
        return EntryKey(self.name, context.identity, user)

    def _report(self, action: str, error: StoreError, context: RequestContext) -> None:
        """Log that the store failed."""
        self._seldom.warn("cache.failed", self.name, context, action=action, detail=str(error))
