"""Batches: keys that go upstream in one call, and those who wait for the results.

A batch: some users whom a source is being asked about, and those who wait for what it says.

A batch belongs to nobody who waits for it. It is a task of its own with a trace of its own, so
that whoever began it can give up, be cancelled or run out of time without any harm to the others.
It has one alarm for all of them and itself, since timers are dear, and it is rare that one rings.

A batch that takes far longer than usual is overdue. Requests that wait for some of its users only
then wait for batches of their own (``PendingBatch.move``).

A queue: the batches to one source that are for one identity, who are shared with nobody else.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from app.errors import Code, SourceFailure
from app.resilience.clock import Clock
from app.sources.base import FieldSet, Record, RequestContext, Trace, UserId

R = TypeVar("R", bound=Record)

SourceResult: TypeAlias = R | SourceFailure | None
"""What a source says of one user: a record, that it failed, or that it knows no such user."""


@dataclass(eq=False, slots=True)
class Batch(Generic[R]):
    """Some users that a source is asked about, by one call or a few.

    Attributes:
        identity: For whom.
        shared: Whether others may join it.
        trace: What became of it at the source; that of its request where it is not shared.
        keys: The users.
        requests: The requests that put users on it, the one that began it first.
        fields: The fields of the record that are asked for; ``None`` for all.
        clock: Tells the time.
        waits: Who is told when it is complete.
        completed: Whether there is nothing more to come.
        task: Asks the source; ``None`` while users are still gathered.
        results: What the source said; ``None`` where it was not asked to the end.
        bug: What was raised instead: a bug of ours.
        waiters: How many wait for it.
        keep_running: Whether the answers are wanted even when nobody waits for them.
        ends_at: The moment by which it has to are complete, by the clock's ``monotonic``.
        timed_out: Whether it was ended for that.
        began: When it left, by the clock's ``monotonic``.
        overdue_at: The moment from which on it takes far longer than usual.
        on_overdue: Is told when its alarm rings after that moment.
        tickets: The tickets of those who wait for it.
        timer_at: The moment of its alarm.
        cancel_timer: Calls the alarm off; ``None`` where none is set.
    """

    identity: str
    shared: bool
    trace: Trace
    keys: list[UserId]
    requests: list[RequestContext]
    fields: FieldSet | None
    clock: Clock
    waits: "list[BatchWait]" = field(default_factory=list["BatchWait"])
    completed: bool = False
    task: asyncio.Task[None] | None = None
    results: Mapping[UserId, SourceResult[R]] | None = None
    bug: Exception | None = None
    waiters: int = 0
    keep_running: bool = False
    ends_at: float = math.inf
    timed_out: bool = False
    began: float = math.inf
    overdue_at: float = math.inf
    on_overdue: "Callable[[Batch[R]], None] | None" = None
    tickets: "list[PendingBatch[R]]" = field(default_factory=list["PendingBatch[R]"])
    timer_at: float = math.inf
    cancel_timer: Callable[[], object] | None = None

    def sharers(self) -> Sequence[str]:
        """List the ids of the requests that share it: who put users on it, and who joined."""
        requests = [context.request_id for context in self.requests]
        return [*dict.fromkeys(requests + [pending.context.request_id for pending in self.tickets])]

    def try_add_fields(self, fields: FieldSet | None) -> bool:
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

    def complete(self) -> None:
        """Let nobody wait for it any longer."""
        self.completed = True
        self.on_overdue = None
        self.tickets.clear()  # they know the batch, too: no circle is left to the collector
        if self.cancel_timer is not None:
            self.cancel_timer()
        for wait in self.waits:
            wait.batch_completed()

    def end_at(self, moment: float) -> None:
        """Have it end by a moment, whatever the source does."""
        self.ends_at = moment
        self.set_timer(moment)

    def warn_at(self, moment: float) -> None:
        """Have ``on_overdue`` be told at a moment at which it is still under way."""
        self.overdue_at = moment
        self.set_timer(moment)

    def set_timer(self, moment: float) -> None:
        """Have the alarm ring at a moment, if it does not before."""
        if moment >= self.timer_at:
            return
        if self.cancel_timer is not None:
            self.cancel_timer()
        self.timer_at = moment
        self.cancel_timer = self.clock.call_later(moment - self.clock.monotonic(), self._on_timer)

    def _on_timer(self) -> None:
        """End what may go on no longer: the wait of a request, or the batch."""
        now, self.timer_at, self.cancel_timer = self.timer_at, math.inf, None
        if self.ends_at <= now and self.task is not None:
            self.ends_at, self.timed_out = math.inf, True
            self.task.cancel()
        elif self.overdue_at <= now and self.on_overdue is not None:
            self.on_overdue(self)
        later = [self.ends_at]
        if now < self.overdue_at:
            later.append(self.overdue_at)
        for wait in self.waits:
            if wait.until <= now:
                wait.finish()
            else:
                later.append(wait.until)
        if (following := min(later)) < math.inf:
            self.set_timer(following)


@dataclass(eq=False, slots=True)
class PendingBatch(Generic[R]):
    """What one request waits for: users of one source, on one batch or several.

    Attributes:
        source: Name of the source.
        keys: The users.
        batches: On which batch each of them is, in the order of the keys; empty when the source
            can no longer be asked.
        own_batch: The batches that were begun for this request.
        context: The request.
        asked_at: When it asked, by the clock's ``monotonic``.
        max_wait: Seconds that it can wait.
        clock: Tells the time.
        cancel: Is told of a batch that nobody wants any more.
        keys_per_batch: How many of the users are on each batch.
        wait: The wait for the batches, once it has begun.
        left: Whether nobody waits any longer.
    """

    source: str
    keys: Sequence[UserId]
    batches: Sequence[Batch[R]]
    own_batch: Sequence[Batch[R]]
    context: RequestContext
    asked_at: float
    max_wait: float
    clock: Clock
    cancel: Callable[[Batch[R]], None]
    keys_per_batch: dict[Batch[R], int] = field(init=False)
    wait: "BatchWait | None" = None
    left: bool = False

    def __post_init__(self) -> None:
        """Take the seats."""
        batches = self.batches
        if batches and batches.count(batches[0]) == len(batches):  # the everyday case
            self.keys_per_batch = {batches[0]: len(batches)}
        else:
            self.keys_per_batch = {batch: batches.count(batch) for batch in dict.fromkeys(batches)}
        for batch in self.keys_per_batch:
            batch.waiters += 1
            batch.tickets.append(self)

    @property
    def waits(self) -> bool:
        """Whether somebody still waits for the batches."""
        return not self.left and (self.wait is None or not self.wait.done.done())

    def keys_on(self, batch: Batch[R]) -> Sequence[UserId]:
        """List the users that are on a batch."""
        return [key for key, one in zip(self.keys, self.batches, strict=True) if one is batch]

    def move(
        self, before: Batch[R], after: Batch[R], keys: Sequence[UserId], *, first: bool
    ) -> None:
        """Wait for another batch.

        Args:
            before: The batch before, which has not landed.
            after: The batch from now on.
            keys: The users that it is about.
            first: Whether that batch was begun for this request.
        """
        moved = set(keys)
        self.batches = [
            after if one is before and key in moved else one
            for key, one in zip(self.keys, self.batches, strict=True)
        ]
        self.keys_per_batch[before] -= len(keys)
        self.keys_per_batch[after] = len(keys)
        after.waiters += 1
        after.tickets.append(self)
        stays = self.keys_per_batch[before] > 0
        if not stays:
            del self.keys_per_batch[before]
            before.waiters -= 1
            if before in self.own_batch:  # its calls count all the same
                batch_trace, trace = (
                    before.trace.for_source(self.source),
                    self.context.trace.for_source(self.source),
                )
                trace.calls += batch_trace.calls
                trace.attempts += batch_trace.attempts
        if first:
            self.own_batch = (*self.own_batch, after)
        if self.wait is not None:
            self.wait.move(None if stays else before, after)

    def release(self) -> None:
        """Wait no longer; a batch that nobody wants any more is called off."""
        self.left = True
        for batch in self.keys_per_batch:
            batch.waiters -= 1
            if not (batch.completed or batch.waiters or batch.keep_running):
                self.cancel(batch)

    def collect(self) -> Mapping[UserId, SourceResult[R]]:
        """Take what has come, and note in the request's trace what came of it.

        Returns:
            The answers of all keys; there may be those of other users beside them, who were asked
            about by the same call. ``SOURCE_TIMEOUT`` for those that did not come in time.

        Raises:
            Exception: What a batch raised: a bug of ours.
        """
        if not self.batches:
            return dict.fromkeys(self.keys, self._cancelled_failure())
        for batch, count in self.keys_per_batch.items():
            self._record_trace(batch, count)
        for batch in self.keys_per_batch:
            if batch.bug is not None:
                raise batch.bug
        if len(self.keys_per_batch) == 1 and (results := self.batches[0].results) is not None:
            return results  # the everyday case: nothing is copied
        return {
            key: self._missing_result(batch) if batch.results is None else batch.results[key]
            for batch, key in zip(self.batches, self.keys, strict=True)
        }

    def _record_trace(self, batch: Batch[R], count: int) -> None:
        """Take note of a batch in the trace of the request, which waited for so many on it."""
        trace, batch_trace = (
            self.context.trace.for_source(self.source),
            batch.trace.for_source(self.source),
        )
        shared = trace is not batch_trace
        if shared and batch in self.own_batch:
            trace.calls += batch_trace.calls
            trace.attempts += batch_trace.attempts
        if shared or batch.results is None:
            trace.keys += count
            if trace.started is None or trace.started > self.asked_at:
                trace.started = self.asked_at
            over = (
                batch_trace.ended
                if batch.completed and batch_trace.ended
                else self.clock.monotonic()
            )
            trace.ended = max(trace.ended, over)
            trace.circuit = batch_trace.circuit or trace.circuit
            trace.pace = batch_trace.pace or trace.pace
        if not batch.completed:
            trace.code = Code.SOURCE_TIMEOUT
        elif batch.results is None:
            trace.code = Code.SOURCE_UNAVAILABLE
        else:
            trace.code = batch_trace.code or trace.code

    def _missing_result(self, batch: Batch[R]) -> SourceFailure:
        """Say why a batch has brought nothing."""
        if batch.completed:
            return self._cancelled_failure()
        return SourceFailure(self.source, Code.SOURCE_TIMEOUT, "no time was left to wait for it")

    def _cancelled_failure(self) -> SourceFailure:
        """Say that the call was called off."""
        return SourceFailure(self.source, Code.SOURCE_UNAVAILABLE, "the call was called off")


async def wait_for_batches(pending_batches: Sequence[PendingBatch[R]]) -> None:
    """Wait until every batch of a request is complete, or as long as the request can.

    Batches are shared: they are never awaited in a way that could cancel them. One that is not
    shared ends in the time of its request by itself, and says why.

    Args:
        pending_batches: What the request waits for; given back at the end.
    """
    batches = [
        batch for one in pending_batches for batch in one.keys_per_batch if not batch.completed
    ]
    first = pending_batches[0]
    try:
        if batches and first.max_wait > 0:
            wait = BatchWait(batches, first.asked_at + first.max_wait)
            for one in pending_batches:
                one.wait = wait
            await wait.done
    finally:
        for pending in pending_batches:
            pending.release()


class BatchWait:
    """One request's wait for its batches; it is nobody else's, and may be cancelled.

    ``asyncio.wait`` and ``asyncio.timeout`` do the same for several times as much, and every
    request waits once.

    Attributes:
        done: Done when all are complete, or when it was ended.
        until: The moment at which it ends, whoever is still in flight.
    """

    __slots__ = ("_left", "done", "until")

    def __init__(self, batches: Sequence[Batch[R]], until: float) -> None:
        """Begin to wait."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.until = until
        self._left = len(batches)
        for batch in batches:
            batch.waits.append(self)
            if batch.shared:
                batch.set_timer(until)

    def move(self, before: Batch[R] | None, after: Batch[R]) -> None:
        """Wait for another batch.

        Args:
            before: The batch that is waited for no longer, if one is.
            after: The other batch.
        """
        if before is None:
            self._left += 1
        else:
            before.waits.remove(self)
        after.waits.append(self)
        after.set_timer(self.until)

    def finish(self) -> None:
        """Wait no longer."""
        if not self.done.done():
            self.done.set_result(None)

    def batch_completed(self) -> None:
        """Take note of a batch that is complete."""
        self._left -= 1
        if not self._left:
            self.finish()


@dataclass(slots=True)
class BatchQueue(Generic[R]):
    """The batches of one identity.

    Attributes:
        identity: For whom they are.
        in_flight: On which batch a user is who may be shared.
        open_batch: The batch that takes on users; ``None`` when there is none.
        dispatch_scheduled: Whether it leaves in the next turn of the event loop.
        active: How many batches are in flight.
        counted: Those of them that take a place, the first to leave first.
        stop_waiting: Calls off the end of the wait of the batch that gathers; ``None`` where it
            does not wait.
    """

    identity: str
    in_flight: dict[UserId, Batch[R]]
    open_batch: Batch[R] | None = None
    dispatch_scheduled: bool = False
    active: int = 0
    counted: dict[Batch[R], None] = field(default_factory=dict[Batch[R], None])
    stop_waiting: Callable[[], object] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing of it is left."""
        return not (self.in_flight or self.open_batch or self.active or self.dispatch_scheduled)

    def is_full(self, limit: int, now: float) -> bool:
        """Tell whether all places are taken. A batch that is overdue gives its place back.

        Args:
            limit: How many places there are.
            now: The moment, by the clock's ``monotonic``.
        """
        while len(self.counted) >= limit:
            oldest = next(iter(self.counted))
            if oldest.overdue_at > now:
                return True
            del self.counted[oldest]
        return False

    def end_wait(self) -> None:
        """Take note that the batch that gathers waits no longer."""
        if self.stop_waiting is not None:
            self.stop_waiting()
            self.stop_waiting = None

    def in_flight_with(
        self, keys: Iterable[UserId], fields: FieldSet | None
    ) -> Mapping[UserId, Batch[R]]:
        """Find the batches of users that ask for some fields, or do from now on.

        Args:
            keys: The users.
            fields: The fields; ``None`` for all.

        Returns:
            The batch of each who is on one.
        """
        found = ((key, self.in_flight.get(key)) for key in keys)
        return {key: one for key, one in found if one is not None and one.try_add_fields(fields)}

    def remove(self, batch: Batch[R]) -> None:
        """Let nobody join a batch any more."""
        if batch.shared:
            for key in batch.keys:
                if self.in_flight.get(key) is batch:
                    del self.in_flight[key]
