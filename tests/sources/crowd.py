"""Callers of a cached source, its upstream, and a plain model that says what each should get.

The model knows nothing of futures and timeouts. It keeps a table of what was stored and a table of
the trips that are on their way, both by identity and user. The callers and the upstream of the test
keep these tables in the moments in which something happens to them, and compare.
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
"""What the upstream says of a user; a bug spoils the whole call."""

ROUNDS = 12
"""How many seconds a caller may take to end once every call is answered at once."""


GIVEN_UP = (Code.SOURCE_TIMEOUT, Code.SOURCE_UNAVAILABLE)
"""What a caller hears whose trip is called off."""


class BugError(Exception):
    """A bug in the source."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is stored, and since when."""

    record: PersonRecord | None
    at: float


@dataclass(eq=False, slots=True)
class Trip:
    """A call to the upstream that somebody caused.

    Attributes:
        identity: For whom.
        users: About whom, in their order.
        until: When it has to be over.
        waiting: How many wait for it.
        kept: Whether it goes on when nobody does.
        end: What the upstream waits for; ``None`` before it is called.
        said: What came of it; ``None`` before.
        answered: Whether that is what the upstream said.
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
    def called_off(self) -> bool:
        """Whether nobody wants it any more."""
        return self.said is None and not self.waiting and not self.kept


@dataclass(eq=False, slots=True)
class Visit:
    """A caller who waits.

    Attributes:
        joined: For whom the caller waits, and for which trips.
        until: When the caller gives up.
    """

    joined: Mapping[UserId, Trip]
    until: float


@dataclass
class CrowdCounts:
    """How often what happened."""

    hits: int = 0
    stale_hits: int = 0
    misses: int = 0
    shared: int = 0


@dataclass
class Crowd:
    """Everybody. It is also the upstream: a ``Source``.

    Attributes:
        settings: Those of the source.
        callers: Everybody who came.
        gave_up: Those who were cancelled.
        trips: Every trip, in the order in which they were caused.
        closing: Whether the cached source is being left.
    """

    settings: SourceSettings
    name: str = NAME
    clock: ManualClock = field(default_factory=ManualClock)
    callers: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    gave_up: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    trips: list[Trip] = field(default_factory=list[Trip])
    closing: bool = False
    _visits: list[Visit] = field(default_factory=list[Visit])
    _stored: dict[Key, Kept] = field(default_factory=dict[Key, Kept])
    _counts: CrowdCounts = field(default_factory=CrowdCounts)
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

    # What the upstream does.

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[Said]:
        """Be called: for a trip that somebody caused, and for nobody who is on a trip already."""
        (trip,) = (
            trip
            for trip in self.trips
            if (trip.identity, trip.users) == (context.identity, list(keys))
            and trip.end is None
            and not trip.called_off
        )
        under_way = {(one.identity, user) for one in self.running() for user in one.users}
        assert not under_way & {(trip.identity, user) for user in keys}
        assert context.deadline is not None
        assert context.deadline.at == trip.until
        trip.end = asyncio.get_running_loop().create_future()
        try:
            said = await trip.end
        except asyncio.CancelledError:
            trip.end.cancel()
            if not trip.called_off and not self.closing:
                assert self.clock.seconds >= trip.until
                trip.said = dict.fromkeys(keys, failure(Code.SOURCE_TIMEOUT))
            raise
        trip.said = said
        if isinstance(said, BugError):
            raise said
        trip.answered = True
        for user, one in said.items():
            if one is None or isinstance(one, PersonRecord):
                self._stored[trip.identity, user] = Kept(one, self.clock.seconds)
        return FetchResult(list(said.values()), SourceTrace(calls=1))

    def answer(self, which: int, words: Sequence[Word]) -> None:
        """End one of the calls, if one runs."""
        if not (running := self.running()):
            return
        trip = running[which % len(running)]
        assert trip.end is not None
        if "bug" in words:
            trip.end.set_result(BugError())
            return
        said: dict[UserId, Said] = {}
        for number, user in enumerate(trip.users):
            self._made += 1
            match words[number % len(words)]:
                case "record":
                    said[user] = PersonRecord(id=user, identity=trip.identity, version=self._made)
                case "unknown":
                    said[user] = None
                case "rejected":
                    said[user] = failure(Code.SOURCE_REJECTED)
                case _:
                    said[user] = failure()
        trip.end.set_result(said)

    def running(self) -> list[Trip]:
        """List the trips that the upstream has been called for and has not ended."""
        return [trip for trip in self.trips if trip.end is not None and not trip.end.done()]

    # What callers do.

    def come(self, identity: str, users: Sequence[UserId], seconds: float | None) -> None:
        """Have a caller come who has so many seconds."""
        caller = asyncio.get_running_loop().create_task(self._visit(identity, users, seconds))
        self.callers.append(caller)

    def give_up(self, which: int) -> None:
        """Cancel one of the callers, if one is there."""
        if there := [one for one in self.callers if not one.done() and one not in self.gave_up]:
            caller = there[which % len(there)]
            caller.cancel()
            self.gave_up.add(caller)

    async def _visit(self, identity: str, users: Sequence[UserId], seconds: float | None) -> None:
        """Ask, and compare what comes with what should."""
        now = self.clock.seconds
        held = {user: self._stored.get((identity, user)) for user in users}
        old = [user for user in users if self._is_used(held[user], now, is_old=True)]
        missing = [
            user
            for user in users
            if user not in old and not self._is_used(held[user], now, is_old=False)
        ]
        own, visit = self._depart(identity, missing, old, seconds)
        self._counts.hits += len(users) - len(missing) - len(old)
        self._counts.misses += len(missing)
        self._counts.shared += sum(trip is not own for trip in visit.joined.values())
        deadline = None if seconds is None else Deadline(now + seconds, self.clock)
        context, requests = RequestContext("r", identity=identity, deadline=deadline), Requests()
        try:
            answers = await requests.results(self.cached.enqueue(users, context), users, context)
        finally:
            self._arrive(visit)

        ages: list[float] = []
        for user, answer in zip(users, answers, strict=True):
            kept = held[user]
            if user in visit.joined and isinstance(bug := visit.joined[user].said, BugError):
                assert answer is bug
                continue
            said = self._said(visit, user)
            covered = user in missing and self._is_covered(kept, said)
            if kept is not None and (user not in missing or covered):
                assert answer is kept.record
                ages += [self.clock.seconds - kept.at] if covered or user in old else []
            elif isinstance(said, SourceFailure):
                assert isinstance(answer, SourceFailure)
                either = self.closing and user in missing and visit.joined[user].said is None
                assert answer.code is said.code or (either and answer.code in GIVEN_UP)
            else:
                assert answer is said
            if isinstance(answer, PersonRecord):
                assert (answer.identity, answer.id) == (identity, user)
        self._counts.stale_hits += len(ages)
        trace = requests.trace_of(context)
        assert trace.stale == max(ages, default=None)
        assert trace.keys == len(users)
        took = own is not None and own.answered and own in visit.joined.values()
        assert trace.calls == int(took)

    def _depart(
        self, identity: str, missing: list[UserId], old: list[UserId], seconds: float | None
    ) -> tuple[Trip | None, Visit]:
        """Write down the trip that a caller causes, and for which trips the caller waits."""
        own = None
        now = self.clock.seconds
        if new := [user for user in missing + old if self._trip(identity, user) is None]:
            own = Trip(identity, new, now + BUDGET)
            own.waiting = 1  # only so that it is found before anybody waits
            self.trips.append(own)
        joined: dict[UserId, Trip] = {}
        for user in missing + old:
            trip = self._trip(identity, user)
            assert trip is not None
            if user in missing:
                joined[user] = trip
            else:
                trip.kept = True
        for trip in {*joined.values()}:
            trip.waiting += 1
        if own is not None:
            own.waiting -= 1
        visit = Visit(joined, now + (BUDGET if seconds is None else seconds - RESERVE))
        self._visits.append(visit)
        return own, visit

    def _arrive(self, visit: Visit) -> None:
        """Write down that a caller waits no longer."""
        self._visits.remove(visit)
        for trip in {*visit.joined.values()}:
            trip.waiting -= 1

    def _trip(self, identity: str, user: UserId) -> Trip | None:
        """Find the trip that a user is on."""
        on = [
            trip
            for trip in self.trips
            if trip.identity == identity
            and user in trip.users
            and trip.said is None
            and not trip.called_off
        ]
        assert len(on) <= 1
        return on[0] if on else None

    # What has to be true.

    async def settle(self) -> None:
        """Let everything happen that can; then nobody waits who has no reason to."""
        await self.clock.settle()
        self.look()
        on_their_way = [trip for trip in self.trips if trip.said is None and not trip.called_off]
        assert self.running() == on_their_way
        assert self.cached.scheduler.in_flight == sum(len(trip.users) for trip in on_their_way)
        assert all(self.clock.seconds < trip.until for trip in on_their_way)
        for visit in self._visits:
            assert self.clock.seconds < visit.until
            assert any(trip.said is None for trip in visit.joined.values())

    def look(self) -> None:
        """Look at how the callers have ended: only those were cancelled who gave up."""
        for caller in self.callers:
            if caller.done() and not (caller.cancelled() and caller in self.gave_up):
                caller.result()

    async def end(self, *, early: bool) -> None:
        """Let everything end, or leave the cached source before that. Nothing is left of it."""
        if not early:
            for _ in range(ROUNDS):
                await self.settle()
                while self.running():
                    self.answer(0, ["record"])
                self.clock.advance(1.0)
            assert self.cached.scheduler.in_flight == 0
            assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(0)  # nobody comes any more; those who came have asked
        self.closing = True
        await self.cached.__aexit__(None, None, None)
        await self.clock.settle()
        self.look()
        assert all(caller.done() for caller in self.callers), "somebody waits for ever"
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert self.cached.scheduler.in_flight == 0
        cached = self.cached
        counted = CrowdCounts(
            cached.hits, cached.stale_hits, cached.misses, cached.scheduler.shared
        )
        assert counted == self._counts

    # What the model says.

    def _said(self, visit: Visit, user: UserId) -> Said:
        """Tell what a caller should have heard of a user who was waited for."""
        if user not in visit.joined:
            return None
        said = visit.joined[user].said
        assert not isinstance(said, BugError)
        if said is not None:
            return said[user]
        assert self.closing or self.clock.seconds >= visit.until
        return failure(Code.SOURCE_TIMEOUT)

    def _is_used(self, kept: Kept | None, now: float, *, is_old: bool) -> bool:
        """Tell whether what is stored is the answer, as a fresh or as an old one."""
        cache = self.settings.cache
        if kept is None:
            return False
        if kept.record is None:
            return not is_old and now <= kept.at + cache.unknown_ttl
        fresh_until = kept.at + cache.ttl
        if is_old:
            return fresh_until < now <= fresh_until + cache.stale_while_revalidate
        return now <= fresh_until

    def _is_covered(self, kept: Kept | None, said: Said) -> bool:
        """Tell whether what is stored is the answer now that the source has failed."""
        cache = self.settings.cache
        if kept is None or kept.record is None or self.settings.contract != "stale_ok":
            return False
        failed = isinstance(said, SourceFailure) and said.code is not Code.SOURCE_REJECTED
        age = self.clock.seconds - kept.at
        return failed and age <= cache.ttl + cache.stale_while_revalidate + cache.stale_if_error
