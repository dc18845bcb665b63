"""Invalidations of all gateways that share a store: a log in the store, which each follows.

The log is a stream. An entry has one field, ``message``, with the JSON of an ``Invalidation``; its
id is its moment, by the clock of the store. Gateways and services add entries, and each entry is an
invalidation.

Each process waits for new entries with a command that the store answers at once if there is one,
and after ``BLOCK`` otherwise. So a process knows that it knows all entries, up to a moment that is
never far behind. If it does not, because the store is down or the network is cut, it does not trust
what it has kept (``Invalidations.doubtful_before``).

A store that is flushed, or that starts without data, loses entries that a process may not have read
yet. So each process looks at the first entry, too: if that is newer than what it has read, or gone,
it uses nothing that was kept before, and adds an entry that says so to all.
"""

from collections.abc import Collection, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from structlog.typing import FilteringBoundLogger

from app.resilience.clock import Clock
from app.resilience.tasks import Tasks
from app.settings.source import SourceSettings
from app.sources.cache.invalidation import (
    EXPECTED,
    MICROSECONDS,
    Invalidation,
    InvalidationError,
    Invalidations,
    read_message,
    unknown_source_in,
)
from app.store.contract import LogEntry, StoreClient, StoreFailure, StoreFailureKind
from app.store.shared import SharedStore

BLOCK = 0.2
"""Seconds that a process waits for a new entry. It asks again after that."""

AGAIN_AFTER = 0.2
"""Seconds after which a store is asked again that has failed."""

KEEP = 100_000
"""About how many entries the log keeps, if a gateway adds them."""

PAGE = 1_000
"""How many entries are read at once."""

NO_MESSAGE = f'the entry has nothing in the field "message": {EXPECTED}'

_REFUSALS = frozenset({StoreFailureKind.REFUSED, StoreFailureKind.FORBIDDEN})
"""Failures of the log alone: the store answers."""

LONGEST = 3_600.0
"""Seconds of the log that a process reads when it starts. What was kept before is not used."""


def horizon_of(sources: Collection[SourceSettings]) -> float:
    """Return how long a result of any source may be of use. Pure.

    Args:
        sources: The settings of all sources.

    Returns:
        Seconds, at most ``LONGEST``.
    """
    times = [
        one.cache.ttl + one.cache.stale_while_revalidate + one.cache.stale_if_error
        for one in sources
    ]
    return min(max(times, default=0.0), LONGEST)


class InvalidationFeed:
    """Follows the log of invalidations while its context is open.

    Args:
        store: The store.
        invalidations: Gets each invalidation of the log.
        sources: The names of all sources.
        horizon: Seconds for which a result may be of use.
        clock: The clock.
        log: Where entries are logged that cannot be read.
    """

    def __init__(
        self,
        store: SharedStore,
        invalidations: Invalidations,
        *,
        sources: Collection[str],
        horizon: float,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._store = store
        self._invalidations = invalidations
        self._sources = sources
        self._horizon = horizon
        self._clock = clock
        self._log = log
        self._key = f"{store.settings.prefix}:invalidations"
        self._after: str | None = None
        # The first entry at the last look, and the last one that was read by then.
        self._seen: tuple[tuple[int, int], tuple[int, int]] | None = None
        # The last entry that was read before others were lost, until the log has an entry about it.
        self._unreported: tuple[int, int] | None = None
        # Sorted: other gateways have to recognise the entry.
        self._everything = Invalidation(sources=tuple(sorted(sources)))
        self._is_current = self._is_refused = False
        self._block = min(BLOCK, store.settings.connect_timeout / 2)
        self._tasks = Tasks()

    async def __aenter__(self) -> Self:
        self._tasks = Tasks()
        self._invalidations.share_clock()
        self._tasks.begin(self._follow(), "follow invalidations")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)

    async def publish(self, invalidation: Invalidation) -> StoreFailure | None:
        """Invalidate at all gateways.

        Args:
            invalidation: What must no longer be used.

        Returns:
            ``None`` if all gateways know it within a second. Otherwise why not; then only this
            process knows it.
        """
        message = invalidation.model_dump_json(exclude_none=True).encode()
        added = await self._store.insist(
            "invalidate", lambda client: client.append(self._key, message, KEEP)
        )
        if isinstance(added, StoreFailure):
            self._invalidations.apply(invalidation)
            return added
        self._invalidations.apply(invalidation, moment_of(added))
        return None

    async def _follow(self) -> None:
        """Follow the log, again and again."""
        while not self._tasks.closed:  # the client library may lose a cancellation
            was_current = self._is_current
            failure = await self._step()
            self._log_change(failure, follows=was_current and self._is_current)
            if failure is not None:
                self._is_current = False
                self._invalidations.doubt_calls()
                await self._clock.sleep(AGAIN_AFTER)

    def _log_change(self, failure: StoreFailure | None, *, follows: bool) -> None:
        """Log once that the log cannot be read, and once that it can. The store may be well.

        A step that only catches up is not enough: the user of the store may not be allowed to wait
        for entries, and each second step would fail.
        """
        refused = failure is not None and failure.kind in _REFUSALS
        if refused and not self._is_refused and failure is not None:
            self._is_refused = True
            self._log.warning("cache.invalidations_unknown", key=self._key, reason=failure.detail)
        elif follows and failure is None and self._is_refused:
            self._is_refused = False
            self._log.info("cache.invalidations_known", key=self._key)

    async def _step(self) -> StoreFailure | None:
        """Compare the clocks, and wait once for new entries; return why the store has failed."""
        asked_at = self._clock.monotonic()
        moment = await self._store.insist("follow", lambda client: client.time())
        if isinstance(moment, StoreFailure):
            return moment
        is_set_back = self._invalidations.set_time(moment, self._clock.monotonic() - asked_at)
        if is_set_back and self._after is not None:
            self._read_all_again()  # the ids of new entries may be earlier
        known = await self._last_before_loss()
        if isinstance(known, StoreFailure):
            return known
        if known is not None:
            self._distrust_all(known)
        if self._unreported is not None:
            await self._report_loss(self._unreported)
        if not self._is_current:
            return await self._catch_up(moment)
        after, block = self._after or "0-0", int(self._block * 1000)
        entries = await self._store.insist(
            "follow", lambda client: client.follow_log(self._key, after, block), measured=False
        )
        if isinstance(entries, StoreFailure):
            return entries
        self._apply(entries)
        waited = 0 if entries else block * 1000
        self._invalidations.known_until(moment + waited)
        return None

    def _distrust_all(self, known: tuple[int, int]) -> None:
        """Use nothing from before now: entries after a known one were lost.

        A call that was on its way may have stored an old value since then.
        """
        self._log.warning("cache.invalidations_lost", key=self._key)
        self._invalidations.doubt_before(self._invalidations.now())
        self._invalidations.doubt_calls()
        self._unreported = known
        self._read_all_again()

    async def _report_loss(self, known: tuple[int, int]) -> None:
        """Add an entry for gateways that start later. If that fails, the next step tries again.

        Another gateway may have added one. All that was lost is before the first entry that is
        left, so any such entry after the known one is enough.
        """
        message = self._everything.model_dump_json(exclude_none=True).encode()
        after = f"{known[0]}-{known[1]}"
        page = await self._store.insist(
            "follow", partial(_read_page, log=self._key, after=after), measured=False
        )
        if isinstance(page, StoreFailure):
            return
        if not any(one.message == message for one in page):
            added = await self._store.insist(
                "invalidate", lambda client: client.append(self._key, message, KEEP)
            )
            if isinstance(added, StoreFailure):
                return
        self._unreported = None

    def _read_all_again(self) -> None:
        """Let the next step read the log from its beginning."""
        self._after, self._seen, self._is_current = "0-0", None, False

    async def _last_before_loss(self) -> tuple[int, int] | StoreFailure | None:
        """Look whether the log was flushed or trimmed before all entries were read.

        Returns:
            The last entry that was read for sure; ``None`` if no entry is lost.
        """
        page = await self._first_entry()
        if isinstance(page, StoreFailure):
            return page
        if self._after is None:
            return None  # nothing was read yet
        first, read = place_of(page[0].id) if page else None, place_of(self._after)
        before, self._seen = self._seen, None
        if first is not None and first <= read:
            self._seen = first, read
        if before is None or (first is not None and before[0] <= first <= before[1]):
            return None
        return before[1]

    async def _first_entry(self) -> Sequence[LogEntry] | StoreFailure:
        """Read the first entry of the log, if it has one."""
        return await self._store.insist(
            "follow", lambda client: client.read_log(self._key, "0-0", 1), measured=False
        )

    async def _catch_up(self, moment: int) -> StoreFailure | None:
        """Read all entries that were added meanwhile; return why the store has failed."""
        start = moment - int(self._horizon * MICROSECONDS)
        if self._after is None:
            self._after = f"{max(start // 1000, 0)}-0"
            self._invalidations.doubt_before(start)
        while True:
            after = self._after
            entries = await self._store.insist(
                "follow", partial(_read_page, log=self._key, after=after)
            )
            if isinstance(entries, StoreFailure):
                return entries
            self._apply(entries)
            if len(entries) < PAGE:
                break
        extent = await self._store.insist("follow", lambda client: client.log_extent(self._key))
        if isinstance(extent, StoreFailure):
            return extent
        if extent.trimmed and extent.first is not None:
            self._invalidations.doubt_before(min(moment_of(extent.first), moment))
        self._invalidations.known_until(moment)
        self._is_current = True
        return None

    def _apply(self, entries: Collection[LogEntry]) -> None:
        """Apply entries of the log."""
        for entry in entries:
            self._after = entry.id
            try:
                invalidation = _invalidation_of(entry)
            except InvalidationError as error:
                self._log.warning("cache.invalidation_refused", id=entry.id, reason=str(error))
                continue
            # Another gateway may have other sources, for example during a rolling upgrade. What
            # its entry says of the sources here counts.
            self._invalidations.apply(invalidation, moment_of(entry.id))
            if mistake := unknown_source_in(invalidation, self._sources):
                self._log.warning("cache.invalidation_refused", id=entry.id, reason=mistake)


def _invalidation_of(entry: LogEntry) -> Invalidation:
    """Read the invalidation of an entry; raise ``InvalidationError`` if it is none."""
    if not entry.message:
        raise InvalidationError(NO_MESSAGE)
    return read_message(entry.message)


async def _read_page(client: StoreClient, log: str, after: str) -> Sequence[LogEntry]:
    """Read a page of the log."""
    return await client.read_log(log, after, PAGE)


def moment_of(entry: str) -> int:
    """Return the moment of an entry: the end of its millisecond.

    Args:
        entry: The id of the entry.

    Returns:
        Microseconds.
    """
    milliseconds = entry.partition("-")[0]
    return int(milliseconds) * 1000 + 999 if milliseconds.isdigit() else 0


def place_of(entry: str) -> tuple[int, int]:
    """Return the place of an entry in its log.

    Args:
        entry: The id of the entry: milliseconds, and a number among those of one millisecond.

    Returns:
        Two numbers, by which entries are in order.
    """
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number)
