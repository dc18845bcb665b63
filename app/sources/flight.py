"""A flight: some users whom a source is being asked about, and those who wait for what it says.

A flight belongs to nobody who waits for it. It is a task of its own with a trace of its own, so
that whoever began it can give up, be cancelled or run out of time without any harm to the others.
It has one alarm for all of them and itself, since timers are dear, and it is rare that one rings.

A flight that takes far longer than usual is overdue. Requests that wait for some of its users only
then wait for flights of their own (``Ticket.move``).
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from app.errors import Code, SourceError
from app.resilience.clock import Clock
from app.sources.base import Call, FieldSet, Record, UserId
from app.sources.trace import Trace

R = TypeVar("R", bound=Record)

Answer: TypeAlias = R | SourceError | None
"""What a source says of one user: a record, that it failed, or that it knows no such user."""


@dataclass(eq=False, slots=True)
class Flight(Generic[R]):
    """Some users that a source is asked about, by one call or a few.

    Attributes:
        identity: For whom.
        shared: Whether others may join it.
        trace: What became of it at the source; that of its request where it is not shared.
        keys: The users.
        riders: The requests that put users on it, the one that began it first.
        fields: The fields of the record that are asked for; ``None`` for all.
        clock: Tells the time.
        waits: Who is told when it has landed.
        landed: Whether there is nothing more to come.
        task: Asks the source; ``None`` while users are still gathered.
        answers: What the source said; ``None`` where it was not asked to the end.
        bug: What was raised instead: a bug of ours.
        waiters: How many wait for it.
        kept: Whether the answers are wanted even when nobody waits for them.
        end: The moment by which it has to have landed, by the clock's ``monotonic``.
        late: Whether it was ended for that.
        began: When it left, by the clock's ``monotonic``.
        overdue_at: The moment from which on it takes far longer than usual.
        on_overdue: Is told when its alarm rings after that moment.
        tickets: The tickets of those who wait for it.
        rings: The moment of its alarm.
        disarm: Calls the alarm off; ``None`` where none is set.
    """

    identity: str
    shared: bool
    trace: Trace
    keys: list[UserId]
    riders: list[Call]
    fields: FieldSet | None
    clock: Clock
    waits: "list[Wait]" = field(default_factory=list["Wait"])
    landed: bool = False
    task: asyncio.Task[None] | None = None
    answers: Mapping[UserId, Answer[R]] | None = None
    bug: Exception | None = None
    waiters: int = 0
    kept: bool = False
    end: float = math.inf
    late: bool = False
    began: float = math.inf
    overdue_at: float = math.inf
    on_overdue: "Callable[[Flight[R]], None] | None" = None
    tickets: "list[Ticket[R]]" = field(default_factory=list["Ticket[R]"])
    rings: float = math.inf
    disarm: Callable[[], object] | None = None

    def sharers(self) -> Sequence[str]:
        """List the ids of the requests that share it: who put users on it, and who joined."""
        riders = [call.request_id for call in self.riders]
        return [*dict.fromkeys(riders + [ticket.call.request_id for ticket in self.tickets])]

    def takes_on(self, fields: FieldSet | None) -> bool:
        """Ask for some fields, too, where it does not yet and has not left; tell whether it does.

        Args:
            fields: The fields; ``None`` for all.
        """
        if self.fields is None or (fields is not None and self.fields >= fields):
            return True
        if self.task is not None:
            return False
        self.fields = None if fields is None else self.fields | fields
        return True

    def land(self) -> None:
        """Let nobody wait for it any longer."""
        self.landed = True
        self.on_overdue = None
        self.tickets.clear()  # they know the flight, too: no circle is left to the collector
        if self.disarm is not None:
            self.disarm()
        for wait in self.waits:
            wait.arrived()

    def end_at(self, moment: float) -> None:
        """Have it end by a moment, whatever the source does."""
        self.end = moment
        self.wake_at(moment)

    def warn_at(self, moment: float) -> None:
        """Have ``on_overdue`` be told at a moment at which it is still under way."""
        self.overdue_at = moment
        self.wake_at(moment)

    def wake_at(self, moment: float) -> None:
        """Have the alarm ring at a moment, if it does not before."""
        if moment >= self.rings:
            return
        if self.disarm is not None:
            self.disarm()
        self.rings = moment
        self.disarm = self.clock.call_later(moment - self.clock.monotonic(), self._wake)

    def _wake(self) -> None:
        """End what may go on no longer: the wait of a request, or the flight."""
        now, self.rings, self.disarm = self.rings, math.inf, None
        if self.end <= now and self.task is not None:
            self.end, self.late = math.inf, True
            self.task.cancel()
        elif self.overdue_at <= now and self.on_overdue is not None:
            self.on_overdue(self)
        later = [self.end]
        if now < self.overdue_at:
            later.append(self.overdue_at)
        for wait in self.waits:
            if wait.until <= now:
                wait.end()
            else:
                later.append(wait.until)
        if (following := min(later)) < math.inf:
            self.wake_at(following)


@dataclass(eq=False, slots=True)
class Ticket(Generic[R]):
    """What one request waits for: users of one source, on one flight or several.

    Attributes:
        source: Name of the source.
        keys: The users.
        flights: On which flight each of them is, in the order of the keys; empty when the source
            can no longer be asked.
        began: The flights that were begun for this request.
        call: The request.
        asked: When it asked, by the clock's ``monotonic``.
        patience: Seconds that it can wait.
        clock: Tells the time.
        call_off: Is told of a flight that nobody wants any more.
        seats: How many of the users are on each flight.
        wait: The wait for the flights, once it has begun.
        left: Whether nobody waits any longer.
    """

    source: str
    keys: Sequence[UserId]
    flights: Sequence[Flight[R]]
    began: Sequence[Flight[R]]
    call: Call
    asked: float
    patience: float
    clock: Clock
    call_off: Callable[[Flight[R]], None]
    seats: dict[Flight[R], int] = field(init=False)
    wait: "Wait | None" = None
    left: bool = False

    def __post_init__(self) -> None:
        """Take the seats."""
        flights = self.flights
        if flights and flights.count(flights[0]) == len(flights):  # the everyday case
            self.seats = {flights[0]: len(flights)}
        else:
            self.seats = {flight: flights.count(flight) for flight in dict.fromkeys(flights)}
        for flight in self.seats:
            flight.waiters += 1
            flight.tickets.append(self)

    @property
    def waits(self) -> bool:
        """Whether somebody still waits for the flights."""
        return not self.left and (self.wait is None or not self.wait.over.done())

    def keys_on(self, flight: Flight[R]) -> Sequence[UserId]:
        """List the users that are on a flight."""
        return [key for key, one in zip(self.keys, self.flights, strict=True) if one is flight]

    def move(
        self, before: Flight[R], after: Flight[R], keys: Sequence[UserId], *, first: bool
    ) -> None:
        """Wait for another flight.

        Args:
            before: The flight before, which has not landed.
            after: The flight from now on.
            keys: The users that it is about.
            first: Whether that flight was begun for this request.
        """
        moved = set(keys)
        self.flights = [
            after if one is before and key in moved else one
            for key, one in zip(self.keys, self.flights, strict=True)
        ]
        self.seats[before] -= len(keys)
        self.seats[after] = len(keys)
        after.waiters += 1
        after.tickets.append(self)
        stays = self.seats[before] > 0
        if not stays:
            del self.seats[before]
            before.waiters -= 1
            if before in self.began:  # its calls count all the same
                flown, trace = before.trace.of(self.source), self.call.trace.of(self.source)
                trace.calls += flown.calls
                trace.attempts += flown.attempts
        if first:
            self.began = (*self.began, after)
        if self.wait is not None:
            self.wait.move(None if stays else before, after)

    def leave(self) -> None:
        """Wait no longer; a flight that nobody wants any more is called off."""
        self.left = True
        for flight in self.seats:
            flight.waiters -= 1
            if not (flight.landed or flight.waiters or flight.kept):
                self.call_off(flight)

    def collect(self) -> Mapping[UserId, Answer[R]]:
        """Take what has come, and note in the request's trace what came of it.

        Returns:
            The answers of all keys; there may be those of other users beside them, who were asked
            about by the same call. ``SOURCE_TIMEOUT`` for those that did not come in time.

        Raises:
            Exception: What a flight raised: a bug of ours.
        """
        if not self.flights:
            return dict.fromkeys(self.keys, self._gone())
        for flight, count in self.seats.items():
            self._note(flight, count)
        for flight in self.seats:
            if flight.bug is not None:
                raise flight.bug
        if len(self.seats) == 1 and (answers := self.flights[0].answers) is not None:
            return answers  # the everyday case: nothing is copied
        return {
            key: self._lost(flight) if flight.answers is None else flight.answers[key]
            for flight, key in zip(self.flights, self.keys, strict=True)
        }

    def _note(self, flight: Flight[R], count: int) -> None:
        """Take note of a flight in the trace of the request, which waited for so many on it."""
        trace, flown = self.call.trace.of(self.source), flight.trace.of(self.source)
        shared = trace is not flown
        if shared and flight in self.began:
            trace.calls += flown.calls
            trace.attempts += flown.attempts
        if shared or flight.answers is None:
            trace.keys += count
            if trace.started is None or trace.started > self.asked:
                trace.started = self.asked
            over = flown.ended if flight.landed and flown.ended else self.clock.monotonic()
            trace.ended = max(trace.ended, over)
            trace.circuit = flown.circuit or trace.circuit
            trace.pace = flown.pace or trace.pace
        if not flight.landed:
            trace.code = Code.SOURCE_TIMEOUT
        elif flight.answers is None:
            trace.code = Code.SOURCE_UNAVAILABLE
        else:
            trace.code = flown.code or trace.code

    def _lost(self, flight: Flight[R]) -> SourceError:
        """Say why a flight has brought nothing."""
        if flight.landed:
            return self._gone()
        return SourceError(self.source, Code.SOURCE_TIMEOUT, "no time was left to wait for it")

    def _gone(self) -> SourceError:
        """Say that the call was called off."""
        return SourceError(self.source, Code.SOURCE_UNAVAILABLE, "the call was called off")


async def landed(tickets: Sequence[Ticket[R]]) -> None:
    """Wait until every flight of a request has landed, or as long as the request can.

    Flights are shared: they are never awaited in a way that could cancel them. One that is not
    shared ends in the time of its request by itself, and says why.

    Args:
        tickets: What the request waits for; given back at the end.
    """
    flights = [flight for one in tickets for flight in one.seats if not flight.landed]
    first = tickets[0]
    try:
        if flights and first.patience > 0:
            wait = Wait(flights, first.asked + first.patience)
            for one in tickets:
                one.wait = wait
            await wait.over
    finally:
        for ticket in tickets:
            ticket.leave()


class Wait:
    """One request's wait for its flights; it is nobody else's, and may be cancelled.

    ``asyncio.wait`` and ``asyncio.timeout`` do the same for several times as much, and every
    request waits once.

    Attributes:
        over: Done when all have landed, or when it was ended.
        until: The moment at which it ends, whoever is still in the air.
    """

    __slots__ = ("_left", "over", "until")

    def __init__(self, flights: Sequence[Flight[R]], until: float) -> None:
        """Begin to wait."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.until = until
        self._left = len(flights)
        for flight in flights:
            flight.waits.append(self)
            if flight.shared:
                flight.wake_at(until)

    def move(self, before: Flight[R] | None, after: Flight[R]) -> None:
        """Wait for another flight.

        Args:
            before: The flight that is waited for no longer, if one is.
            after: The other flight.
        """
        if before is None:
            self._left += 1
        else:
            before.waits.remove(self)
        after.waits.append(self)
        after.wake_at(self.until)

    def end(self) -> None:
        """Wait no longer."""
        if not self.over.done():
            self.over.set_result(None)

    def arrived(self) -> None:
        """Take note of a flight that has landed."""
        self._left -= 1
        if not self._left:
            self.end()
