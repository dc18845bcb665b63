"""All flights to one source: how requests that want the same, or at the same time, share calls.

What requests share is said by ``Sharing``. Keys that are in the air are never asked again. Keys of
several requests go in one call when they come in the same turn of the event loop, or while as many
flights are in the air as may be: they leave together when one lands. There is no timer, and where
the source is idle nobody waits. Requests of two identities never share anything: a source may
answer them differently.

A request with so little time that its flight would be cut short shares what is in the air, but
nobody can join its own.

Where a source can be asked for some fields alone, a flight knows for which it asks: whoever needs
others of a user who is in the air makes a flight of its own; one that still gathers takes them on.
"""

import asyncio
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
        """
        self.name = name
        self.shared = self.joined = 0
        self._fetch = fetch
        self._shares = sharing is not Sharing.NOTHING
        self._gathers = sharing is Sharing.BATCHES
        self._coalesce = settings.coalesce
        self._max_keys = settings.max_keys
        self._forwards = settings.auth.forwards
        usual = min(settings.timeout, deadlines.budget - deadlines.reserve)
        self._usual_patience = (1 - IN_A_HURRY) * usual
        self._deadlines = deadlines
        self._clock = clock
        self._log = log
        self._lanes: dict[str, Lane[R]] = {}
        self._round_trip = RoundTrip()
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
        began: Flight[R] | None = None
        if not self._tasks.closed:
            hurried = patience < self._usual_patience and not behind
            flights, boarded = self._seat(keys, behind, call, fields, alone=hurried)
            if boarded is not None and boarded.riders[0] is call:
                began = boarded
        return Ticket(
            self.name, keys, flights, began, call, now, patience, self._clock, self._call_off
        )

    def _seat(
        self,
        keys: Sequence[UserId],
        behind: Sequence[UserId],
        call: Call,
        fields: FieldSet | None,
        *,
        alone: bool,
    ) -> tuple[Sequence[Flight[R]], Flight[R] | None]:
        """Find a flight for each of the keys, and the one that was boarded for those not aloft."""
        lane = self._lane(call)
        aboard: Mapping[UserId, Flight[R]] = lane.flying
        self._partly = self._partly or fields is not None
        if self._partly:
            aboard = lane.serving((*keys, *behind), fields)
        new = [key for key in keys if key not in aboard]
        aloft = len(keys) - len(new)
        self.shared += aloft
        if behind:
            new += [key for key in behind if key not in aboard]
        boarded: Flight[R] | None = None
        if new:
            boarded = self._board(lane, new, call, fields, alone=alone)
            added = dict.fromkeys(new, boarded)
            if boarded.shared:
                lane.flying.update(added)
            if aboard is not lane.flying or not boarded.shared:
                aboard = {**aboard, **added}
        if boarded is None or aloft:
            flights = [aboard[key] for key in keys]
        else:
            flights = [boarded] * len(keys)
        for key in behind:
            aboard[key].kept = True
        if boarded is None:
            self._tidy(lane)
        elif boarded is lane.gathering and self._is_full(boarded):
            self._leave_now(lane)
        return flights, boarded

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
        trace = Trace() if shared else call.trace
        begun: Flight[R] = Flight(lane.identity, shared, trace, new, [call], fields, self._clock)
        if not gathers:
            self._take_off(lane, begun)
        else:
            lane.gathering = begun
            self._leave_soon(lane)
        return begun

    def _leave_soon(self, lane: Lane[R]) -> None:
        """Have the flight that gathers leave in the next turn, if it may."""
        if lane.gathering is None or lane.leaving or lane.aloft >= self._coalesce.max_batches:
            return
        lane.leaving = True
        asyncio.get_running_loop().call_soon(self._leave_in_this_turn, lane)

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
        full = lane.aloft >= self._coalesce.max_batches
        if flight is not None and not full and not self._tasks.closed:
            lane.gathering = None
            self._take_off(lane, flight)

    def _take_off(self, lane: Lane[R], flight: Flight[R]) -> None:
        """Begin to ask."""
        lane.aloft += 1
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
            began = self._clock.monotonic()
            flight.end_at(began + seconds)
            answers = await self._fetch(flight.keys, call)
            if flight.trace.of(self.name).calls:  # not where all were remembered
                self._round_trip.add(self._clock.monotonic() - began)
            flight.answers = dict(zip(flight.keys, answers, strict=True))
        except (asyncio.CancelledError, TimeoutError) as error:
            if not (flight.late or isinstance(error, TimeoutError)):
                raise
            flight.trace.of(self.name).code = Code.SOURCE_TIMEOUT
            late = SourceError(self.name, Code.SOURCE_TIMEOUT, "no time was left for the call")
            flight.answers = dict.fromkeys(flight.keys, late)
        except Exception as error:  # noqa: BLE001 # everybody who waits for it gets it
            flight.bug = error
            if not flight.waiters:
                self._log.error("source.flight_failed", source=self.name, exc_info=error)
                bare(error)
        finally:
            lane.forget(flight)
            flight.land()

    def _call(self, flight: Flight[R]) -> Call:
        """Say for whom a flight asks: its one request, or all of them under an id of its own."""
        first = flight.riders[0]
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
            )
        return Call(
            new_request_id(),
            None,
            flight.identity,
            deadline,
            flight.trace,
            tuple(rider.request_id for rider in flight.riders),
            first.forwarded,  # what the source is sent of it is the same for all of one identity
            fields=flight.fields,
        )

    def _call_off(self, flight: Flight[R]) -> None:
        """End a flight that nobody wants any more."""
        lane = self._lanes[flight.identity]
        lane.forget(flight)  # at once: whoever comes now needs a new one
        if flight.task is not None:
            flight.task.cancel()
        else:
            lane.gathering = None
            flight.land()

    def _ended(self, lane: Lane[R], flight: Flight[R], _: asyncio.Task[None]) -> None:
        """Make room for the next flight."""
        lane.aloft -= 1
        if not flight.landed:  # it was called off before it began
            lane.forget(flight)
            flight.land()
        self._leave_soon(lane)
        self._tidy(lane)

    def _tidy(self, lane: Lane[R]) -> None:
        """Drop a lane that nothing is left of."""
        if lane.idle:
            self._lanes.pop(lane.identity, None)
