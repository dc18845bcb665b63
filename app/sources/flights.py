"""All flights to one source: how requests that want the same, or at the same time, share calls.

What requests share is said by ``Sharing``. Keys that are in the air are never asked again. Keys of
several requests go in one call when they come in the same turn of the event loop, or while as many
flights are in the air as may be: they leave together when one lands, or after ``max_wait``. Where
the source is idle nobody waits. Requests of two identities never share anything: a source may
answer them differently.

No user harms others by being slow or failing. A flight that takes far longer than usual is overdue.
It takes no place any longer, and nobody joins it. A flight that is overdue, or that fails as a
whole, is divided: each request that wants only some of its users gets a flight of its own for
these, as if nothing were shared. Users who were slow or failed on a flight of one request are
suspects for a while (``suspects.py``): they fly apart at once. All this is so where requests share
batches; where they share keys alone, what is in the air is joined as it is.

A request with so little time that its flight would be cut short shares what is in the air, but
nobody can join its own.

Where a source can be asked for some fields alone, a flight knows for which it asks: whoever needs
others of a user who is in the air makes a flight of its own; one that still gathers takes them on.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context, copy_context
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Generic, Self, TypeAlias, TypeVar

from structlog.typing import FilteringBoundLogger

from app.errors import Code, SourceError, bare
from app.resilience.clock import Clock
from app.resilience.deadline import Deadline
from app.resilience.tasks import Tasks
from app.shapes.resilience import DeadlineSettings
from app.shapes.source import SourceSettings
from app.sources.auth_caller import identity_of
from app.sources.base import Call, FieldSet, Record, UserId, new_request_id
from app.sources.flight import Answer, Flight, Ticket, landed
from app.sources.lane import Lane
from app.sources.round_trip import RoundTrip
from app.sources.suspects import Suspects
from app.sources.trace import Trace

R = TypeVar("R", bound=Record)

Fetch: TypeAlias = Callable[[Sequence[UserId], Call], Awaitable[Sequence[Answer[R]]]]
"""Asks a source about users; ``Source.fetch_many`` is one."""


IN_A_HURRY = 0.1
"""By which share of the time of an attempt a request has to have less, to fly on its own."""


SLOW = 0.005
"""From how many seconds on a source takes its time."""

SMALL = 4
"""By what a batch to such a source is smaller."""


FAR_LONGER = 3.0
"""From how many times the usual time on a flight takes far longer than usual."""


def never() -> bool:
    """Say no."""
    return False


class Sharing(Enum):
    """What requests share."""

    NOTHING = "nothing"
    """Every request makes its own calls."""
    KEYS = "keys"
    """Whom the source is being asked about for one request, no other asks about again."""
    BATCHES = "batches"
    """That, and the keys of several requests go in one call."""


class Flights(Generic[R]):
    """All flights to one source, and their owner: leaving its context ends them.

    Attributes:
        name: The source.
        shared: How many users were found to be asked about already, so far.
        joined: How many requests put their users on a flight that another began, so far.
        divided: How many flights were divided, so far.
    """

    def __init__(
        self,
        name: str,
        fetch: Fetch[R],
        *,
        sharing: Sharing,
        settings: SourceSettings,
        deadlines: DeadlineSettings,
        clock: Clock,
        log: FilteringBoundLogger,
        congested: Callable[[], bool] = never,
    ) -> None:
        """Make a place for flights.

        Args:
            name: The source.
            fetch: Asks it. What it raises, everybody who waits for it gets.
            sharing: What requests share.
            settings: How the source is reached.
            deadlines: ``budget`` is the time of a flight; ``reserve`` is kept of a caller's.
            clock: Tells the time.
            log: Where a flight that raised is reported if there is nobody else to tell.
            congested: Tells whether calls to the source wait before they are made. Then their time
                says nothing of the users that they are about, and more calls would do harm.
        """
        self.name = name
        self.shared = self.joined = self.divided = 0
        self._fetch = fetch
        self._shares = sharing is not Sharing.NOTHING
        self._gathers = sharing is Sharing.BATCHES
        self._coalesce = settings.coalesce
        self._max_keys = settings.max_keys
        self._window = settings.breaker.window
        self._forwards = settings.auth.forwards
        usual = min(settings.timeout, deadlines.budget - deadlines.reserve)
        self._usual_patience = (1 - IN_A_HURRY) * usual
        self._deadlines = deadlines
        self._clock = clock
        self._log = log
        self._lanes: dict[str, Lane[R]] = {}
        self._congested = congested
        self._round_trip = RoundTrip()
        self._suspects = Suspects(clock)
        self._answered_at = -math.inf  # when a flight that was not slow was last answered well
        self._partly = False  # whether anybody has asked for some fields alone
        self._task = f"flight {name}"
        self._tasks = Tasks()
        # A shared flight is no request's: it must not run with the context variables of one.
        self._nobodys = Context()

    @property
    def in_flight(self) -> int:
        """How many users the source is being asked about now, and who are shared."""
        return sum(len(lane.flying) for lane in self._lanes.values())

    async def __aenter__(self) -> Self:
        self._nobodys = copy_context()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)
        for lane in self._lanes.values():
            lane.end_wait()
            if lane.gathering is not None:
                lane.gathering.land()
        self._lanes.clear()

    async def fetch(
        self,
        keys: Sequence[UserId],
        call: Call,
        *,
        behind: Sequence[UserId] = (),
        fields: FieldSet | None = None,
    ) -> Sequence[Answer[R]]:
        """Ask about users, and wait for what the source says.

        Args:
            keys: Users, each once.
            call: Of the request that wants to know. Its deadline bounds the wait; its trace takes
                note of the flights that it waited for.
            behind: More users, whose answers are wanted but not waited for.
            fields: The fields of the record that are wanted; ``None`` for all.

        Returns:
            One answer a key, in the order of the keys. ``SOURCE_TIMEOUT`` for those that did not
            come in the call's time.
        """
        ticket = self.ask(keys, call, behind=behind, fields=fields)
        await landed([ticket])
        answers = ticket.collect()
        return [answers[key] for key in keys]

    def ask(
        self,
        keys: Sequence[UserId],
        call: Call,
        *,
        behind: Sequence[UserId] = (),
        fields: FieldSet | None = None,
    ) -> Ticket[R]:
        """Put users on flights: those that are in the air already, or one for all others.

        Args:
            keys: Users, each once.
            call: Of the request that wants to know.
            behind: More users, whose answers are wanted but not waited for.
            fields: The fields of the record that are wanted; ``None`` for all.

        Returns:
            What to wait for, by ``landed``.
        """
        now = self._clock.monotonic()
        patience = self._deadlines.budget  # no flight takes longer
        if call.deadline is not None:
            patience = call.deadline.at - now - self._deadlines.reserve
        flights: Sequence[Flight[R]] = ()
        began: Sequence[Flight[R]] = ()
        if not self._tasks.closed:
            hurried = patience < self._usual_patience and not behind
            flights, began = self._seat(keys, behind, call, fields, now, alone=hurried)
        return Ticket(
            self.name, keys, flights, began, call, now, patience, self._clock, self._call_off
        )

    def _seat(
        self,
        keys: Sequence[UserId],
        behind: Sequence[UserId],
        call: Call,
        fields: FieldSet | None,
        now: float,
        *,
        alone: bool,
    ) -> tuple[Sequence[Flight[R]], Sequence[Flight[R]]]:
        """Find a flight for each of the keys, and those that were begun for keys not aloft."""
        lane = self._lane(call)
        aboard, overdue = self._join(lane, keys, behind, fields, now)
        new = [key for key in keys if key not in aboard]
        aloft = len(keys) - len(new)
        self.shared += aloft
        if behind:
            new += [key for key in behind if key not in aboard]
        began: list[Flight[R]] = []
        if overdue or self._suspects:
            groups = self._set_apart(new, overdue)
            began = [self._begin_apart(lane, one, call, fields, shared=not alone) for one in groups]
        if apart := {key: flight for flight in began for key in flight.keys}:
            aboard = {**{key: aboard[key] for key in (*keys, *behind) if key in aboard}, **apart}
            new = [key for key in new if key not in apart]
        boarded: Flight[R] | None = None
        if new:
            boarded = self._board(lane, new, call, fields, alone=alone)
            if boarded.riders[0] is call:
                began.append(boarded)
            added = dict.fromkeys(new, boarded)
            if boarded.shared:
                lane.flying.update(added)
            if aboard is not lane.flying or not boarded.shared:
                aboard = {**aboard, **added}
        if boarded is None or aloft or apart:
            flights = [aboard[key] for key in keys]
        else:
            flights = [boarded] * len(keys)
        for key in behind:
            aboard[key].kept = True
        self._see_off(lane, boarded)
        return flights, began

    def _see_off(self, lane: Lane[R], boarded: Flight[R] | None) -> None:
        """Have the flight that was boarded leave where it is full; tidy up where there is none."""
        if boarded is None:
            self._tidy(lane)
        elif boarded is lane.gathering and self._is_full(boarded):
            self._leave_now(lane)

    def _join(
        self,
        lane: Lane[R],
        keys: Sequence[UserId],
        behind: Sequence[UserId],
        fields: FieldSet | None,
        now: float,
    ) -> tuple[Mapping[UserId, Flight[R]], Sequence[UserId]]:
        """Find the flights that keys can join, and the keys whose flights are overdue.

        A flight of one user is joined all the same: no other user does harm there.
        """
        aboard: Mapping[UserId, Flight[R]] = lane.flying
        self._partly = self._partly or fields is not None
        if self._partly:
            aboard = lane.serving((*keys, *behind), fields)
        if not self._gathers or aboard.keys().isdisjoint(keys):  # the everyday case
            return aboard, ()
        overdue: list[UserId] = []
        for key in keys:
            flight = aboard.get(key)
            if flight is None or flight.task is None or len(flight.keys) == 1:
                continue
            if flight.overdue_at <= now and not self._congested():
                overdue.append(key)
            else:
                flight.wake_at(flight.overdue_at)
        if overdue:
            left = {*keys, *behind}.difference(overdue)
            aboard = {key: aboard[key] for key in left if key in aboard}
        return aboard, overdue

    def _set_apart(
        self, new: Sequence[UserId], overdue: Sequence[UserId]
    ) -> Sequence[Sequence[UserId]]:
        """Divide those who should go apart from others: whose flight is overdue, and suspects."""
        late = set(overdue)
        others = [key for key in new if key not in late]
        groups = self._suspects.groups(others, self._answered_at)
        return [overdue, *groups] if overdue else groups

    def _begin_apart(
        self,
        lane: Lane[R],
        keys: Sequence[UserId],
        call: Call,
        fields: FieldSet | None,
        *,
        shared: bool,
    ) -> Flight[R]:
        """Begin a flight of some users of one request, which takes no place."""
        flight = self._new_flight(lane, [*keys], [call], fields, shared=shared)
        if flight.shared:
            lane.flying.update(dict.fromkeys(keys, flight))
        self._take_off(lane, flight, counted=False)
        return flight

    def _lane(self, call: Call) -> Lane[R]:
        """Find or begin the lane of all who are the same to the source as a caller."""
        identity = identity_of(call, self._forwards) if self._forwards else call.identity
        lane = self._lanes.get(identity)
        if lane is None:
            lane = self._lanes[identity] = Lane(identity, {})
        return lane

    def _board(
        self, lane: Lane[R], new: list[UserId], call: Call, fields: FieldSet | None, *, alone: bool
    ) -> Flight[R]:
        """Put what a request wants that is not in the air on the flight that gathers, or a new one.

        Returns:
            The flight.
        """
        shared = self._shares and not alone
        gathers = shared and self._gathers
        if gathers and lane.gathering is not None:
            flight = lane.gathering
            self.joined += 1
            flight.keys += new
            flight.riders.append(call)
            flight.takes_on(fields)
            return flight
        begun = self._new_flight(lane, new, [call], fields, shared=shared)
        if not gathers:
            self._take_off(lane, begun)
        else:
            lane.gathering = begun
            self._leave_soon(lane)
        return begun

    def _new_flight(
        self,
        lane: Lane[R],
        keys: list[UserId],
        riders: list[Call],
        fields: FieldSet | None,
        *,
        shared: bool,
    ) -> Flight[R]:
        """Make a flight."""
        shared = shared and self._shares
        trace = Trace() if shared else riders[0].trace
        return Flight(lane.identity, shared, trace, keys, riders, fields, self._clock)

    def _leave_soon(self, lane: Lane[R]) -> None:
        """Have the flight that gathers leave in the next turn, if it may, or after a while."""
        if lane.gathering is None or lane.leaving:
            return
        if self._has_to_wait(lane):
            return
        lane.leaving = True
        asyncio.get_running_loop().call_soon(self._leave_in_this_turn, lane)

    def _has_to_wait(self, lane: Lane[R]) -> bool:
        """Tell whether all places are taken; then the flight that gathers leaves after a while."""
        if not lane.is_full(self._coalesce.max_batches, self._clock.monotonic()):
            return False
        if lane.stop_waiting is None:
            late = partial(self._leave_late, lane)
            lane.stop_waiting = self._clock.call_later(self._coalesce.max_wait, late)
        return True

    def _leave_late(self, lane: Lane[R]) -> None:
        """Have the flight that gathers leave: it has waited long enough for a place."""
        lane.stop_waiting = None
        flight = lane.gathering
        if flight is not None and not self._tasks.closed:
            lane.gathering = None
            self._take_off(lane, flight)

    def _is_full(self, flight: Flight[R]) -> bool:
        """Tell whether a flight has no reason to wait for others that may just come.

        Those who share a call are answered together, one after the other. Where the source takes
        its time, there is some to make more calls, and nobody has to wait for a whole burst. Where
        it does not, calls are what takes time; and of many users, several requests want the same.
        """
        limit = self._coalesce.full_at
        if self._round_trip.seconds >= SLOW and len(flight.keys) <= self._max_keys:
            limit //= SMALL
        return len(flight.riders) >= limit

    def _leave_in_this_turn(self, lane: Lane[R]) -> None:
        """Have the flight that gathers leave, as it was promised to the first of its turn."""
        lane.leaving = False
        self._leave_now(lane)
        self._tidy(lane)

    def _leave_now(self, lane: Lane[R]) -> None:
        """Have the flight that gathers leave, if it may."""
        flight = lane.gathering
        if flight is None or self._tasks.closed:
            return
        if not self._has_to_wait(lane):
            lane.gathering = None
            lane.end_wait()
            self._take_off(lane, flight)

    def _take_off(self, lane: Lane[R], flight: Flight[R], *, counted: bool = True) -> None:
        """Begin to ask."""
        lane.aloft += 1
        if counted:
            lane.counted[flight] = None
        flight.began = self._clock.monotonic()
        flight.overdue_at = flight.began + self._long(flight)
        if self._gathers and flight.shared:
            flight.on_overdue = self._overdue
            if len(flight.riders) > 1:
                flight.wake_at(flight.overdue_at)
        context = self._nobodys.copy() if flight.shared else None
        flight.task = self._tasks.begin(self._fly(lane, flight), self._task, context)
        flight.task.add_done_callback(partial(self._ended, lane, flight))

    async def _fly(self, lane: Lane[R], flight: Flight[R]) -> None:
        """Ask the source; no longer than a flight may take, even if the source forgets that."""
        call = self._call(flight)
        seconds = self._deadlines.budget
        if not flight.shared and call.deadline is not None:
            seconds = call.deadline.remaining
        try:
            flight.end_at(flight.began + seconds)
            answers = await self._fetch(flight.keys, call)
            flight.answers = dict(zip(flight.keys, answers, strict=True))
            self._learn(lane, flight)
        except (asyncio.CancelledError, TimeoutError) as error:
            if not (flight.late or isinstance(error, TimeoutError)):
                raise
            flight.trace.of(self.name).code = Code.SOURCE_TIMEOUT
            late = SourceError(self.name, Code.SOURCE_TIMEOUT, "no time was left for the call")
            flight.answers = dict.fromkeys(flight.keys, late)
            if flight.shared and self._gathers:
                self._suspects.add(flight.keys, len(flight.keys), left=flight.began)
        except Exception as error:  # noqa: BLE001 # everybody who waits for it gets it
            flight.bug = error
            if not flight.waiters:
                self._log.error("source.flight_failed", source=self.name, exc_info=error)
                bare(error)
        finally:
            lane.forget(flight)
            flight.land()

    def _learn(self, lane: Lane[R], flight: Flight[R]) -> None:
        """Take note of how long a flight took, and of who was slow or failed."""
        now, trace = self._clock.monotonic(), flight.trace.of(self.name)
        if trace.calls:  # not where all were remembered
            self._round_trip.add(now - flight.began)
        if trace.code is None and now < flight.overdue_at:  # the everyday case
            self._answered_at = now
            if self._suspects:
                self._suspects.clear(flight.keys)
        elif flight.shared and self._gathers:
            self._judge(lane, flight, now)

    def _long(self, flight: Flight[R]) -> float:
        """Tell how many seconds are far longer than a flight usually takes."""
        calls = -(-len(flight.keys) // self._max_keys)
        return calls * max(self._coalesce.max_wait, FAR_LONGER * self._round_trip.usual)

    def _overdue(self, flight: Flight[R]) -> None:
        """Divide a flight that takes far longer than usual; it ends where nobody is left on it."""
        if self._congested():
            flight.warn_at(self._clock.monotonic() + self._long(flight))
            return
        lane = self._lanes[flight.identity]
        if self._divide(lane, flight, flight.keys) and not (flight.waiters or flight.kept):
            self._call_off(flight)

    def _judge(self, lane: Lane[R], flight: Flight[R], now: float) -> None:
        """Divide a flight whose users failed as a whole; remember who was slow or failed."""
        answers = flight.answers or {}
        if now < flight.overdue_at and any(
            not isinstance(one, SourceError) for one in answers.values()
        ):
            self._answered_at = now
        failed = [key for key, answer in answers.items() if _may_be_its_own(answer)]
        if failed and self._divide(lane, flight, failed):
            return
        if failed:
            self._suspects.add(failed, len(failed), left=flight.began)
        elif now >= flight.overdue_at and not self._congested():
            self._suspects.add(flight.keys, len(flight.keys), left=flight.began)

    def _divide(self, lane: Lane[R], flight: Flight[R], keys: Sequence[UserId]) -> bool:
        """Give requests that wait for some users of a flight only flights of their own for these.

        That is what they would have if nothing were shared. Who waits for all of its users stays.

        Returns:
            Whether there were any.
        """
        if len(flight.keys) == 1 or self._tasks.closed:
            return False
        among = set(keys)
        groups: dict[tuple[UserId, ...], list[Ticket[R]]] = {}
        for ticket in flight.tickets:
            seats = ticket.seats.get(flight)
            if ticket.waits and seats is not None and seats < len(flight.keys):
                mine = tuple(key for key in ticket.keys_on(flight) if key in among)
                if mine:
                    groups.setdefault(mine, []).append(ticket)
        # The smallest last: that is the one that others join.
        for mine in sorted(groups, key=len, reverse=True):
            tickets = groups[mine]
            riders = [ticket.call for ticket in tickets]
            own = self._new_flight(lane, [*mine], riders, flight.fields, shared=True)
            own.kept = flight.kept
            lane.flying.update(dict.fromkeys(mine, own))
            for ticket in tickets:
                ticket.move(flight, own, mine, first=ticket is tickets[0])
            self._take_off(lane, own, counted=False)
        self.divided += bool(groups)
        return bool(groups)

    def _call(self, flight: Flight[R]) -> Call:
        """Say for whom a flight asks: its one request, or all of them under an id of its own."""
        first = flight.riders[0]
        isolated = bool(self._suspects) and self._is_isolated(flight)
        deadline = first.deadline
        if flight.shared:
            deadline = Deadline(self._clock.monotonic() + self._deadlines.budget, self._clock)
        if len(flight.riders) == 1:
            return Call(
                first.request_id,
                first.traceparent,
                flight.identity,
                deadline,
                flight.trace,
                forwarded=first.forwarded,
                fields=flight.fields,
                isolated=isolated,
                sharers=flight.sharers if flight.shared else None,
            )
        return Call(
            new_request_id(),
            # One call has one trace: that of the first request that has one.
            next((one.traceparent for one in flight.riders if one.traceparent), None),
            flight.identity,
            deadline,
            flight.trace,
            tuple(rider.request_id for rider in flight.riders),
            first.forwarded,  # what the source is sent of it is the same for all of one identity
            fields=flight.fields,
            isolated=isolated,
            sharers=flight.sharers,
        )

    def _is_isolated(self, flight: Flight[R]) -> bool:
        """Tell whether its one user is known to be slow or to fail, while others are answered.

        Others were answered since the first such flight of the user, and in the time by which the
        circuit breaker judges. Else it may be the source that is slow or fails.
        """
        since = self._suspects.since(flight.keys[0]) if len(flight.keys) == 1 else None
        lately = self._clock.monotonic() - self._window
        return since is not None and self._answered_at > max(since, lately)

    def _call_off(self, flight: Flight[R]) -> None:
        """End a flight that nobody wants any more."""
        lane = self._lanes[flight.identity]
        lane.forget(flight)  # at once: whoever comes now needs a new one
        if flight.task is not None:
            flight.task.cancel()
        else:
            lane.gathering = None
            lane.end_wait()
            flight.land()

    def _ended(self, lane: Lane[R], flight: Flight[R], _: asyncio.Task[None]) -> None:
        """Make room for the next flight."""
        lane.aloft -= 1
        lane.counted.pop(flight, None)
        if not flight.landed:  # it was called off before it began
            lane.forget(flight)
            flight.land()
        self._leave_soon(lane)
        self._tidy(lane)

    def _tidy(self, lane: Lane[R]) -> None:
        """Drop a lane that nothing is left of."""
        if lane.idle:
            self._lanes.pop(lane.identity, None)


def _may_be_its_own(answer: Answer[Record]) -> bool:
    """Tell whether a failure may be due to one of the users that were asked about together.

    A status 5xx, a lost connection and a call that timed out may be: a user can be too much for the
    service, or for a proxy before it. A service that wants to be left alone is left alone.
    """
    return (
        isinstance(answer, SourceError)
        and answer.retry_after is None
        and (answer.divisible or answer.code in {Code.SOURCE_UNAVAILABLE, Code.SOURCE_TIMEOUT})
    )
