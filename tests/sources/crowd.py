"""Callers of a cached source, its upstream, and a plain model of what each caller should get.

The model has no futures and no timeouts. It keeps a table of the stored entries and a table of the
batches in flight, both by identity and user. The callers and the upstream of the test update these
tables at each of their steps, and compare.
"""

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.errors import Code, SourceFailure
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.resilience.clock import Deadline
from app.settings.models import LogSettings
from app.settings.resilience import DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import FetchResult, RequestContext, UserId
from app.sources.cache.entity_cache import CachedSource
from app.sources.cache.invalidation import Invalidations
from app.sources.cache.store import EntityStore
from app.sources.telemetry import SourceTelemetry
from app.sources.trace import SourceTrace
from tests.clock import ManualClock
from tests.sources.upstream import NAME, PersonRecord, Requests, Said, failure

BUDGET, RESERVE = 8.0, 0.25

Key = tuple[str, UserId]
"""An identity and a user."""


Word = Literal["record", "unknown", "failed", "rejected", "bug"]
"""The kind of result of a user; a bug fails the whole call."""

ROUNDS = 12
"""Seconds that a caller may take to end after all calls have ended."""


CANCEL_CODES = (Code.SOURCE_TIMEOUT, Code.SOURCE_UNAVAILABLE)
"""The codes for a caller whose batch is cancelled."""


class BugError(Exception):
    """A bug in the source."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry in the cache, and the time at which it was stored."""

    record: PersonRecord | None
    at: float


@dataclass(eq=False, slots=True)
class ExpectedBatch:
    """A batch to the upstream, caused by a caller.

    Attributes:
        identity: The identity of the call.
        users: The users of the call, in order.
        until: The time at which it has to end.
        waiting: The number of callers that wait for it.
        kept: Whether it continues without a caller.
        end: The future that the upstream waits for; ``None`` before the call.
        said: The results; ``None`` before it ends.
        answered: Whether the results are those of the upstream.
    """

    identity: str
    users: list[UserId]
    until: float
    waiting: int = 0
    kept: bool = False
    end: asyncio.Future[Mapping[UserId, Said] | BugError] | None = None
    said: Mapping[UserId, Said] | BugError | None = None
    answered: bool = False

    @property
    def cancelled(self) -> bool:
        """Whether it is cancelled because no caller waits for it."""
        return self.said is None and not self.waiting and not self.kept


@dataclass(eq=False, slots=True)
class WaitingCaller:
    """A caller that waits.

    Attributes:
        joined: The batches that the caller waits for, by user.
        until: The time at which the caller stops waiting.
    """

    joined: Mapping[UserId, ExpectedBatch]
    until: float


@dataclass
class CacheCounts:
    """The counters of the cache."""

    hits: int = 0
    stale_hits: int = 0
    misses: int = 0
    shared: int = 0


@dataclass
class CacheModel:
    """The callers and the model. It is also the upstream: a ``Source``.

    Attributes:
        settings: The settings of the source.
        callers: All callers.
        cancelled_callers: The cancelled callers.
        batches: All batches, in the order in which they were caused.
        closing: Whether the cached source is being closed.
    """

    settings: SourceSettings
    name: str = NAME
    clock: ManualClock = field(default_factory=ManualClock)
    callers: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    cancelled_callers: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    batches: list[ExpectedBatch] = field(default_factory=list[ExpectedBatch])
    closing: bool = False
    _waiting: list[WaitingCaller] = field(default_factory=list[WaitingCaller])
    _stored: dict[Key, StoredEntry] = field(default_factory=dict[Key, StoredEntry])
    _counts: CacheCounts = field(default_factory=CacheCounts)
    _made: int = 0

    def __post_init__(self) -> None:
        self.cached: CachedSource[PersonRecord] = CachedSource(
            self,
            self.settings,
            store=EntityStore[PersonRecord](1_000),
            invalidations=Invalidations(self.clock),
            deadlines=DeadlineSettings(budget=BUDGET, reserve=RESERVE),
            clock=self.clock,
            log=make_log(LogSettings(), stream=io.StringIO()),
            telemetry=SourceTelemetry(Telemetry()),
        )

    # The upstream

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[Said]:
        """Check that the batch is expected and no user is in flight twice; wait for its end."""
        (batch,) = (
            batch
            for batch in self.batches
            if (batch.identity, batch.users) == (context.identity, list(keys))
            and batch.end is None
            and not batch.cancelled
        )
        in_flight = {(one.identity, user) for one in self.running() for user in one.users}
        assert not in_flight & {(batch.identity, user) for user in keys}
        assert context.deadline is not None
        assert context.deadline.at == batch.until
        batch.end = asyncio.get_running_loop().create_future()
        try:
            said = await batch.end
        except asyncio.CancelledError:
            batch.end.cancel()
            if not batch.cancelled and not self.closing:
                assert self.clock.seconds >= batch.until
                batch.said = dict.fromkeys(keys, failure(Code.SOURCE_TIMEOUT))
            raise
        batch.said = said
        if isinstance(said, BugError):
            raise said
        batch.answered = True
        for user, one in said.items():
            if one is None or isinstance(one, PersonRecord):
                self._stored[batch.identity, user] = StoredEntry(one, self.clock.seconds)
        return FetchResult(list(said.values()), SourceTrace(calls=1))

    def answer(self, which: int, words: Sequence[Word]) -> None:
        """End one of the calls, if one runs."""
        if not (running := self.running()):
            return
        batch = running[which % len(running)]
        assert batch.end is not None
        if "bug" in words:
            batch.end.set_result(BugError())
            return
        said: dict[UserId, Said] = {}
        for number, user in enumerate(batch.users):
            self._made += 1
            match words[number % len(words)]:
                case "record":
                    said[user] = PersonRecord(id=user, identity=batch.identity, version=self._made)
                case "unknown":
                    said[user] = None
                case "rejected":
                    said[user] = failure(Code.SOURCE_REJECTED)
                case _:
                    said[user] = failure()
        batch.end.set_result(said)

    def running(self) -> list[ExpectedBatch]:
        """List the batches whose call has begun and has not ended."""
        return [batch for batch in self.batches if batch.end is not None and not batch.end.done()]

    # The callers

    def add_caller(self, identity: str, users: Sequence[UserId], seconds: float | None) -> None:
        """Start a caller with a deadline in ``seconds``."""
        caller = asyncio.get_running_loop().create_task(self._ask(identity, users, seconds))
        self.callers.append(caller)

    def cancel_caller(self, which: int) -> None:
        """Cancel one of the callers, if there is one."""
        if there := [
            one for one in self.callers if not one.done() and one not in self.cancelled_callers
        ]:
            caller = there[which % len(there)]
            caller.cancel()
            self.cancelled_callers.add(caller)

    async def _ask(self, identity: str, users: Sequence[UserId], seconds: float | None) -> None:
        """Ask for users, and compare the results with the expected ones."""
        now = self.clock.seconds
        held = {user: self._stored.get((identity, user)) for user in users}
        old = [user for user in users if self._is_used(held[user], now, is_old=True)]
        missing = [
            user
            for user in users
            if user not in old and not self._is_used(held[user], now, is_old=False)
        ]
        own, waiting_caller = self._enqueue(identity, missing, old, seconds)
        self._counts.hits += len(users) - len(missing) - len(old)
        self._counts.misses += len(missing)
        self._counts.shared += sum(batch is not own for batch in waiting_caller.joined.values())
        deadline = None if seconds is None else Deadline(now + seconds, self.clock)
        context, requests = RequestContext("r", identity=identity, deadline=deadline), Requests()
        try:
            answers = await requests.results(self.cached.enqueue(users, context), users, context)
        finally:
            self._leave(waiting_caller)

        ages: list[float] = []
        for user, answer in zip(users, answers, strict=True):
            kept = held[user]
            if user in waiting_caller.joined and isinstance(
                bug := waiting_caller.joined[user].said, BugError
            ):
                assert answer is bug
                continue
            said = self._said(waiting_caller, user)
            covered = user in missing and self._is_covered(kept, said)
            if kept is not None and (user not in missing or covered):
                assert answer is kept.record
                ages += [self.clock.seconds - kept.at] if covered or user in old else []
            elif isinstance(said, SourceFailure):
                assert isinstance(answer, SourceFailure)
                either = (
                    self.closing and user in missing and waiting_caller.joined[user].said is None
                )
                assert answer.code is said.code or (either and answer.code in CANCEL_CODES)
            else:
                assert answer is said
            if isinstance(answer, PersonRecord):
                assert (answer.identity, answer.id) == (identity, user)
        self._counts.stale_hits += len(ages)
        trace = requests.trace_of(context)
        assert trace.stale == max(ages, default=None)
        assert trace.keys == len(users)
        took = own is not None and own.answered and own in waiting_caller.joined.values()
        assert trace.calls == int(took)

    def _enqueue(
        self, identity: str, missing: list[UserId], old: list[UserId], seconds: float | None
    ) -> tuple[ExpectedBatch | None, WaitingCaller]:
        """Note the batch that a caller causes, and the batches that it waits for."""
        own = None
        now = self.clock.seconds
        if new := [user for user in missing + old if self._batch_of(identity, user) is None]:
            own = ExpectedBatch(identity, new, now + BUDGET)
            own.waiting = 1  # only so that it is found before a caller waits
            self.batches.append(own)
        joined: dict[UserId, ExpectedBatch] = {}
        for user in missing + old:
            batch = self._batch_of(identity, user)
            assert batch is not None
            if user in missing:
                joined[user] = batch
            else:
                batch.kept = True
        for batch in {*joined.values()}:
            batch.waiting += 1
        if own is not None:
            own.waiting -= 1
        waiting_caller = WaitingCaller(
            joined, now + (BUDGET if seconds is None else seconds - RESERVE)
        )
        self._waiting.append(waiting_caller)
        return own, waiting_caller

    def _leave(self, waiting_caller: WaitingCaller) -> None:
        """Note that a caller waits no longer."""
        self._waiting.remove(waiting_caller)
        for batch in {*waiting_caller.joined.values()}:
            batch.waiting -= 1

    def _batch_of(self, identity: str, user: UserId) -> ExpectedBatch | None:
        """Find the batch in flight that has a user."""
        on = [
            batch
            for batch in self.batches
            if batch.identity == identity
            and user in batch.users
            and batch.said is None
            and not batch.cancelled
        ]
        assert len(on) <= 1
        return on[0] if on else None

    # The invariants

    async def settle(self) -> None:
        """Let the event loop run, and check that each caller still has a reason to wait."""
        await self.clock.settle()
        self.check_callers()
        in_flight = [batch for batch in self.batches if batch.said is None and not batch.cancelled]
        assert self.running() == in_flight
        assert self.cached.scheduler.in_flight == sum(len(batch.users) for batch in in_flight)
        assert all(self.clock.seconds < batch.until for batch in in_flight)
        for waiting_caller in self._waiting:
            assert self.clock.seconds < waiting_caller.until
            assert any(batch.said is None for batch in waiting_caller.joined.values())

    def check_callers(self) -> None:
        """Check how the callers have ended: no other caller was cancelled."""
        for caller in self.callers:
            if caller.done() and not (caller.cancelled() and caller in self.cancelled_callers):
                caller.result()

    async def end(self, *, early: bool) -> None:
        """Close the cached source after all calls have ended, or before that; no task is left."""
        if not early:
            for _ in range(ROUNDS):
                await self.settle()
                while self.running():
                    self.answer(0, ["record"])
                self.clock.advance(1.0)
            assert self.cached.scheduler.in_flight == 0
            assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(0)  # so that all callers have asked; no more callers are started
        self.closing = True
        await self.cached.__aexit__(None, None, None)
        await self.clock.settle()
        self.check_callers()
        assert all(caller.done() for caller in self.callers), "a caller hangs"
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert self.cached.scheduler.in_flight == 0
        cached = self.cached
        counted = CacheCounts(
            cached.hits, cached.stale_hits, cached.misses, cached.scheduler.shared
        )
        assert counted == self._counts

    # The model

    def _said(self, waiting_caller: WaitingCaller, user: UserId) -> Said:
        """Return the result that a caller should have got for a user it waited for."""
        if user not in waiting_caller.joined:
            return None
        said = waiting_caller.joined[user].said
        assert not isinstance(said, BugError)
        if said is not None:
            return said[user]
        assert self.closing or self.clock.seconds >= waiting_caller.until
        return failure(Code.SOURCE_TIMEOUT)

    def _is_used(self, kept: StoredEntry | None, now: float, *, is_old: bool) -> bool:
        """Return whether a stored entry is the result, as a fresh or as a stale one."""
        cache = self.settings.cache
        if kept is None:
            return False
        if kept.record is None:
            return not is_old and now <= kept.at + cache.unknown_ttl
        fresh_until = kept.at + cache.ttl
        if is_old:
            return fresh_until < now <= fresh_until + cache.stale_while_revalidate
        return now <= fresh_until

    def _is_covered(self, kept: StoredEntry | None, said: Said) -> bool:
        """Return whether a stored entry covers the failure of the source."""
        cache = self.settings.cache
        if kept is None or kept.record is None or self.settings.contract != "stale_ok":
            return False
        failed = isinstance(said, SourceFailure) and said.code is not Code.SOURCE_REJECTED
        age = self.clock.seconds - kept.at
        return failed and age <= cache.ttl + cache.stale_while_revalidate + cache.stale_if_error
