"""Coalescing: how requests that want the same, or at the same time, share batches.

How long a source takes, told from how long we take to hear of it.

All batches to one source: how requests that want the same, or at the same time, share calls.

What requests share is said by ``Sharing``. Keys that are in flight are never asked again. Keys of
several requests go in one call when they come in the same turn of the event loop, or while as many
batches are in flight as may be: they leave together when one is complete, or after ``max_wait``.
Where the source is idle nobody waits. Requests of two identities never share anything: a source may
answer them differently.

No user harms others by being slow or failing. A batch that takes far longer than usual is overdue.
It takes no place any longer, and nobody joins it. A batch that is overdue, or that fails as a
whole, is divided: each request that wants only some of its users gets a batch of its own for
these, as if nothing were shared. Users who were slow or failed on a batch of one request are
suspects for a while (``suspects.py``): they fly apart at once. All this is so where requests share
batches; where they share keys alone, what is in flight is joined as it is.

A request with so little time that its batch would be cut short shares what is in flight, but
nobody can join its own.

Where a source can be asked for some fields alone, a batch knows for which it asks: whoever needs
others of a user who is in flight makes a batch of its own; one that still gathers takes them on.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context, copy_context
from enum import Enum
from functools import partial
from math import inf
from types import TracebackType
from typing import Generic, Self, TypeAlias, TypeVar

from structlog.typing import FilteringBoundLogger

from app.errors import Code, SourceFailure, bare
from app.resilience.clock import Clock, Deadline
from app.resilience.tasks import Tasks
from app.settings.resilience import DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import FieldSet, Record, RequestContext, Trace, UserId, new_request_id
from app.sources.batch import Batch, BatchQueue, PendingBatch, SourceResult, wait_for_batches
from app.sources.credentials import identity_of
from app.sources.suspects import Suspects

WINDOW = 64
"""Calls of which the fastest counts."""


class RoundTrip:
    """The least time that calls to a source have taken lately.

    Under load a call also waits for its turn on the event loop, on both of its ways; the fastest of
    many has hardly waited (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue
    14(5), 2016, does the same with packets).
    """

    def __init__(self) -> None:
        self._before = self._now = inf
        self._left = WINDOW

    @property
    def seconds(self) -> float:
        """The least of the last 64 to 128 calls, in seconds; 0 while there were too few."""
        least = min(self._before, self._now)
        return 0.0 if least == inf else least

    @property
    def usual(self) -> float:
        """The same, in seconds, where it is known from 64 calls at least; 0 before."""
        return 0.0 if self._before == inf else self.seconds

    def add(self, seconds: float) -> None:
        """Take note of a call.

        Args:
            seconds: How long it took.
        """
        self._now = min(self._now, seconds)
        self._left -= 1
        if not self._left:
            self._before, self._now, self._left = self._now, inf, WINDOW


R = TypeVar("R", bound=Record)

FetchKeys: TypeAlias = Callable[
    [Sequence[UserId], RequestContext], Awaitable[Sequence[SourceResult[R]]]
]
"""Asks a source about users; ``Source.fetch_many`` is one."""


SHORT_DEADLINE_SHARE = 0.1
"""By which share of the time of an attempt a request has to have less, to fly on its own."""


SLOW_SOURCE_S = 0.005
"""From how many seconds on a source takes its time."""

SMALL_BATCH_DIVISOR = 4
"""By what a batch to such a source is smaller."""


FAR_LONGER = 3.0
"""From how many times the usual time on a batch takes far longer than usual."""


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


class BatchScheduler(Generic[R]):
    """All batches to one source, and their owner: leaving its context ends them.

    Attributes:
        name: The source.
        shared: How many users were found to be asked about already, so far.
        joined: How many requests put their users on a batch that another began, so far.
        divided: How many batches were divided, so far.
    """

    def __init__(
        self,
        name: str,
        fetch: FetchKeys[R],
        *,
        sharing: Sharing,
        settings: SourceSettings,
        deadlines: DeadlineSettings,
        clock: Clock,
        log: FilteringBoundLogger,
        congested: Callable[[], bool] = never,
    ) -> None:
        """Make a place for batches.

        Args:
            name: The source.
            fetch: Asks it. What it raises, everybody who waits for it gets.
            sharing: What requests share.
            settings: How the source is reached.
            deadlines: ``budget`` is the time of a batch; ``reserve`` is kept of a caller's.
            clock: Tells the time.
            log: Where a batch that raised is reported if there is nobody else to tell.
            congested: Tells whether calls to the source wait before they are made. Then their time
                says nothing of the users that they are about, and more calls would do harm.
        """
        self.name = name
        self.shared = self.joined = self.divided = 0
        self._fetch = fetch
        self._shares_keys = sharing is not Sharing.NOTHING
        self._shares_batches = sharing is Sharing.BATCHES
        self._coalesce = settings.coalesce
        self._max_keys = settings.max_keys
        self._window = settings.breaker.window
        self._forwards = settings.auth.forwards
        usual = min(settings.timeout, deadlines.budget - deadlines.reserve)
        self._usual_wait = (1 - SHORT_DEADLINE_SHARE) * usual
        self._deadlines = deadlines
        self._clock = clock
        self._log = log
        self._queues: dict[str, BatchQueue[R]] = {}
        self._congested = congested
        self._round_trip = RoundTrip()
        self._suspects = Suspects(clock)
        self._answered_at = -math.inf  # when a batch that was not slow was last answered well
        self._has_field_sets = False  # whether anybody has asked for some fields alone
        self._task = f"flight {name}"
        self._tasks = Tasks()
        # A shared batch is no request's: it must not run with the context variables of one.
        self._empty_context = Context()

    @property
    def in_flight(self) -> int:
        """How many users the source is being asked about now, and who are shared."""
        return sum(len(queue.in_flight) for queue in self._queues.values())

    async def __aenter__(self) -> Self:
        self._empty_context = copy_context()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)
        for queue in self._queues.values():
            queue.end_wait()
            if queue.open_batch is not None:
                queue.open_batch.complete()
        self._queues.clear()

    async def fetch(
        self,
        keys: Sequence[UserId],
        context: RequestContext,
        *,
        behind: Sequence[UserId] = (),
        fields: FieldSet | None = None,
    ) -> Sequence[SourceResult[R]]:
        """Ask about users, and wait for what the source says.

        Args:
            keys: Users, each once.
            context: Of the request that wants to know. Its deadline bounds the wait; its trace
                takes note of the batches that it waited for.
            behind: More users, whose answers are wanted but not waited for.
            fields: The fields of the record that are wanted; ``None`` for all.

        Returns:
            One answer a key, in the order of the keys. ``SOURCE_TIMEOUT`` for those that did not
            come in the call's time.
        """
        pending = self.enqueue(keys, context, behind=behind, fields=fields)
        await wait_for_batches([pending])
        results = pending.collect()
        return [results[key] for key in keys]

    def enqueue(
        self,
        keys: Sequence[UserId],
        context: RequestContext,
        *,
        behind: Sequence[UserId] = (),
        fields: FieldSet | None = None,
    ) -> PendingBatch[R]:
        """Put users on batches: those that are in flight already, or one for all others.

        Args:
            keys: Users, each once.
            context: Of the request that wants to know.
            behind: More users, whose answers are wanted but not waited for.
            fields: The fields of the record that are wanted; ``None`` for all.

        Returns:
            What to wait for, by ``wait_for_batches``.
        """
        now = self._clock.monotonic()
        max_wait = self._deadlines.budget  # no batch takes longer
        if context.deadline is not None:
            max_wait = context.deadline.at - now - self._deadlines.reserve
        batches: Sequence[Batch[R]] = ()
        began: Sequence[Batch[R]] = ()
        if not self._tasks.closed:
            short_of_time = max_wait < self._usual_wait and not behind
            batches, began = self._assign(keys, behind, context, fields, now, alone=short_of_time)
        return PendingBatch(
            self.name, keys, batches, began, context, now, max_wait, self._clock, self._cancel
        )

    def _assign(
        self,
        keys: Sequence[UserId],
        behind: Sequence[UserId],
        context: RequestContext,
        fields: FieldSet | None,
        now: float,
        *,
        alone: bool,
    ) -> tuple[Sequence[Batch[R]], Sequence[Batch[R]]]:
        """Find a batch for each of the keys, and those that were begun for keys not in flight."""
        queue = self._queue_of(context)
        in_flight, overdue = self._join(queue, keys, behind, fields, now)
        new = [key for key in keys if key not in in_flight]
        shared_keys = len(keys) - len(new)
        self.shared += shared_keys
        if behind:
            new += [key for key in behind if key not in in_flight]
        began: list[Batch[R]] = []
        if overdue or self._suspects:
            groups = self._set_apart(new, overdue)
            began = [
                self._begin_apart(queue, one, context, fields, shared=not alone) for one in groups
            ]
        if apart := {key: batch for batch in began for key in batch.keys}:
            in_flight = {
                **{key: in_flight[key] for key in (*keys, *behind) if key in in_flight},
                **apart,
            }
            new = [key for key in new if key not in apart]
        joined_batch: Batch[R] | None = None
        if new:
            joined_batch = self._add_to_batch(queue, new, context, fields, alone=alone)
            if joined_batch.requests[0] is context:
                began.append(joined_batch)
            added = dict.fromkeys(new, joined_batch)
            if joined_batch.shared:
                queue.in_flight.update(added)
            if in_flight is not queue.in_flight or not joined_batch.shared:
                in_flight = {**in_flight, **added}
        if joined_batch is None or shared_keys or apart:
            batches = [in_flight[key] for key in keys]
        else:
            batches = [joined_batch] * len(keys)
        for key in behind:
            in_flight[key].keep_running = True
        self._see_off(queue, joined_batch)
        return batches, began

    def _see_off(self, queue: BatchQueue[R], joined_batch: Batch[R] | None) -> None:
        """Have the batch that was boarded leave where it is full; tidy up where there is none."""
        if joined_batch is None:
            self._drop_if_idle(queue)
        elif joined_batch is queue.open_batch and self._is_full(joined_batch):
            self._dispatch(queue)

    def _join(
        self,
        queue: BatchQueue[R],
        keys: Sequence[UserId],
        behind: Sequence[UserId],
        fields: FieldSet | None,
        now: float,
    ) -> tuple[Mapping[UserId, Batch[R]], Sequence[UserId]]:
        """Find the batches that keys can join, and the keys whose batches are overdue.

        A batch of one user is joined all the same: no other user does harm there.
        """
        in_flight: Mapping[UserId, Batch[R]] = queue.in_flight
        self._has_field_sets = self._has_field_sets or fields is not None
        if self._has_field_sets:
            in_flight = queue.in_flight_with((*keys, *behind), fields)
        if not self._shares_batches or in_flight.keys().isdisjoint(keys):  # the everyday case
            return in_flight, ()
        overdue: list[UserId] = []
        for key in keys:
            batch = in_flight.get(key)
            if batch is None or batch.task is None or len(batch.keys) == 1:
                continue
            if batch.overdue_at <= now and not self._congested():
                overdue.append(key)
            else:
                batch.set_timer(batch.overdue_at)
        if overdue:
            left = {*keys, *behind}.difference(overdue)
            in_flight = {key: in_flight[key] for key in left if key in in_flight}
        return in_flight, overdue

    def _set_apart(
        self, new: Sequence[UserId], overdue: Sequence[UserId]
    ) -> Sequence[Sequence[UserId]]:
        """Divide those who should go apart from others: whose batch is overdue, and suspects."""
        late = set(overdue)
        others = [key for key in new if key not in late]
        groups = self._suspects.groups(others, self._answered_at)
        return [overdue, *groups] if overdue else groups

    def _begin_apart(
        self,
        queue: BatchQueue[R],
        keys: Sequence[UserId],
        context: RequestContext,
        fields: FieldSet | None,
        *,
        shared: bool,
    ) -> Batch[R]:
        """Begin a batch of some users of one request, which takes no place."""
        batch = self._new_flight(queue, [*keys], [context], fields, shared=shared)
        if batch.shared:
            queue.in_flight.update(dict.fromkeys(keys, batch))
        self._start(queue, batch, counted=False)
        return batch

    def _queue_of(self, context: RequestContext) -> BatchQueue[R]:
        """Find or begin the queue of all who are the same to the source as a caller."""
        identity = identity_of(context, self._forwards) if self._forwards else context.identity
        queue = self._queues.get(identity)
        if queue is None:
            queue = self._queues[identity] = BatchQueue(identity, {})
        return queue

    def _add_to_batch(
        self,
        queue: BatchQueue[R],
        new: list[UserId],
        context: RequestContext,
        fields: FieldSet | None,
        *,
        alone: bool,
    ) -> Batch[R]:
        """Put what a request wants that is not in flight on the batch that gathers, or a new one.

        Returns:
            The batch.
        """
        shared = self._shares_keys and not alone
        gathers = shared and self._shares_batches
        if gathers and queue.open_batch is not None:
            batch = queue.open_batch
            self.joined += 1
            batch.keys += new
            batch.requests.append(context)
            batch.try_add_fields(fields)
            return batch
        begun = self._new_flight(queue, new, [context], fields, shared=shared)
        if not gathers:
            self._start(queue, begun)
        else:
            queue.open_batch = begun
            self._schedule_dispatch(queue)
        return begun

    def _new_flight(
        self,
        queue: BatchQueue[R],
        keys: list[UserId],
        requests: list[RequestContext],
        fields: FieldSet | None,
        *,
        shared: bool,
    ) -> Batch[R]:
        """Make a batch."""
        shared = shared and self._shares_keys
        trace = Trace() if shared else requests[0].trace
        return Batch(queue.identity, shared, trace, keys, requests, fields, self._clock)

    def _schedule_dispatch(self, queue: BatchQueue[R]) -> None:
        """Have the batch that gathers leave in the next turn, if it may, or after a while."""
        if queue.open_batch is None or queue.dispatch_scheduled:
            return
        if self._has_to_wait(queue):
            return
        queue.dispatch_scheduled = True
        asyncio.get_running_loop().call_soon(self._dispatch_scheduled, queue)

    def _has_to_wait(self, queue: BatchQueue[R]) -> bool:
        """Tell whether all places are taken; then the batch that gathers leaves after a while."""
        if not queue.is_full(self._coalesce.max_batches, self._clock.monotonic()):
            return False
        if queue.stop_waiting is None:
            late = partial(self._leave_late, queue)
            queue.stop_waiting = self._clock.call_later(self._coalesce.max_wait, late)
        return True

    def _leave_late(self, queue: BatchQueue[R]) -> None:
        """Have the batch that gathers leave: it has waited long enough for a place."""
        queue.stop_waiting = None
        batch = queue.open_batch
        if batch is not None and not self._tasks.closed:
            queue.open_batch = None
            self._start(queue, batch)

    def _is_full(self, batch: Batch[R]) -> bool:
        """Tell whether a batch has no reason to wait for others that may just come.

        Those who share a call are answered together, one after the other. Where the source takes
        its time, there is some to make more calls, and nobody has to wait for a whole burst. Where
        it does not, calls are what takes time; and of many users, several requests want the same.
        """
        limit = self._coalesce.full_at
        if self._round_trip.seconds >= SLOW_SOURCE_S and len(batch.keys) <= self._max_keys:
            limit //= SMALL_BATCH_DIVISOR
        return len(batch.requests) >= limit

    def _dispatch_scheduled(self, queue: BatchQueue[R]) -> None:
        """Have the batch that gathers leave, as it was promised to the first of its turn."""
        queue.dispatch_scheduled = False
        self._dispatch(queue)
        self._drop_if_idle(queue)

    def _dispatch(self, queue: BatchQueue[R]) -> None:
        """Have the batch that gathers leave, if it may."""
        batch = queue.open_batch
        if batch is None or self._tasks.closed:
            return
        if not self._has_to_wait(queue):
            queue.open_batch = None
            queue.end_wait()
            self._start(queue, batch)

    def _start(self, queue: BatchQueue[R], batch: Batch[R], *, counted: bool = True) -> None:
        """Begin to ask."""
        queue.active += 1
        if counted:
            queue.counted[batch] = None
        batch.began = self._clock.monotonic()
        batch.overdue_at = batch.began + self._long(batch)
        if self._shares_batches and batch.shared:
            batch.on_overdue = self._overdue
            if len(batch.requests) > 1:
                batch.set_timer(batch.overdue_at)
        context = self._empty_context.copy() if batch.shared else None
        batch.task = self._tasks.begin(self._run(queue, batch), self._task, context)
        batch.task.add_done_callback(partial(self._on_task_done, queue, batch))

    async def _run(self, queue: BatchQueue[R], batch: Batch[R]) -> None:
        """Ask the source; no longer than a batch may take, even if the source forgets that."""
        context = self._context_of(batch)
        seconds = self._deadlines.budget
        if not batch.shared and context.deadline is not None:
            seconds = context.deadline.remaining
        try:
            batch.end_at(batch.began + seconds)
            results = await self._fetch(batch.keys, context)
            batch.results = dict(zip(batch.keys, results, strict=True))
            self._learn(queue, batch)
        except (asyncio.CancelledError, TimeoutError) as error:
            if not (batch.timed_out or isinstance(error, TimeoutError)):
                raise
            batch.trace.for_source(self.name).code = Code.SOURCE_TIMEOUT
            late = SourceFailure(self.name, Code.SOURCE_TIMEOUT, "no time was left for the call")
            batch.results = dict.fromkeys(batch.keys, late)
            if batch.shared and self._shares_batches:
                self._suspects.add(batch.keys, len(batch.keys), left=batch.began)
        except Exception as error:  # noqa: BLE001 # everybody who waits for it gets it
            batch.bug = error
            if not batch.waiters:
                self._log.error("source.flight_failed", source=self.name, exc_info=error)
                bare(error)
        finally:
            queue.remove(batch)
            batch.complete()

    def _learn(self, queue: BatchQueue[R], batch: Batch[R]) -> None:
        """Take note of how long a batch took, and of who was slow or failed."""
        now, trace = self._clock.monotonic(), batch.trace.for_source(self.name)
        if trace.calls:  # not where all were remembered
            self._round_trip.add(now - batch.began)
        if trace.code is None and now < batch.overdue_at:  # the everyday case
            self._answered_at = now
            if self._suspects:
                self._suspects.clear(batch.keys)
        elif batch.shared and self._shares_batches:
            self._judge(queue, batch, now)

    def _long(self, batch: Batch[R]) -> float:
        """Tell how many seconds are far longer than a batch usually takes."""
        calls = -(-len(batch.keys) // self._max_keys)
        return calls * max(self._coalesce.max_wait, FAR_LONGER * self._round_trip.usual)

    def _overdue(self, batch: Batch[R]) -> None:
        """Divide a batch that takes far longer than usual; it ends where nobody is left on it."""
        if self._congested():
            batch.warn_at(self._clock.monotonic() + self._long(batch))
            return
        queue = self._queues[batch.identity]
        if self._divide(queue, batch, batch.keys) and not (batch.waiters or batch.keep_running):
            self._cancel(batch)

    def _judge(self, queue: BatchQueue[R], batch: Batch[R], now: float) -> None:
        """Divide a batch whose users failed as a whole; remember who was slow or failed."""
        results = batch.results or {}
        if now < batch.overdue_at and any(
            not isinstance(one, SourceFailure) for one in results.values()
        ):
            self._answered_at = now
        failed = [key for key, answer in results.items() if _may_be_its_own(answer)]
        if failed and self._divide(queue, batch, failed):
            return
        if failed:
            self._suspects.add(failed, len(failed), left=batch.began)
        elif now >= batch.overdue_at and not self._congested():
            self._suspects.add(batch.keys, len(batch.keys), left=batch.began)

    def _divide(self, queue: BatchQueue[R], batch: Batch[R], keys: Sequence[UserId]) -> bool:
        """Give requests that wait for some users of a batch only batches of their own for these.

        That is what they would have if nothing were shared. Who waits for all of its users stays.

        Returns:
            Whether there were any.
        """
        if len(batch.keys) == 1 or self._tasks.closed:
            return False
        among = set(keys)
        groups: dict[tuple[UserId, ...], list[PendingBatch[R]]] = {}
        for pending in batch.tickets:
            seats = pending.keys_per_batch.get(batch)
            if pending.waits and seats is not None and seats < len(batch.keys):
                mine = tuple(key for key in pending.keys_on(batch) if key in among)
                if mine:
                    groups.setdefault(mine, []).append(pending)
        # The smallest last: that is the one that others join.
        for mine in sorted(groups, key=len, reverse=True):
            pending_batches = groups[mine]
            requests = [pending.context for pending in pending_batches]
            own = self._new_flight(queue, [*mine], requests, batch.fields, shared=True)
            own.keep_running = batch.keep_running
            queue.in_flight.update(dict.fromkeys(mine, own))
            for pending in pending_batches:
                pending.move(batch, own, mine, first=pending is pending_batches[0])
            self._start(queue, own, counted=False)
        self.divided += bool(groups)
        return bool(groups)

    def _context_of(self, batch: Batch[R]) -> RequestContext:
        """Say for whom a batch asks: its one request, or all of them under an id of its own."""
        first = batch.requests[0]
        isolated = bool(self._suspects) and self._is_isolated(batch)
        deadline = first.deadline
        if batch.shared:
            deadline = Deadline(self._clock.monotonic() + self._deadlines.budget, self._clock)
        if len(batch.requests) == 1:
            return RequestContext(
                first.request_id,
                first.traceparent,
                batch.identity,
                deadline,
                batch.trace,
                forwarded=first.forwarded,
                fields=batch.fields,
                isolated=isolated,
                sharers=batch.sharers if batch.shared else None,
            )
        return RequestContext(
            new_request_id(),
            # One call has one trace: that of the first request that has one.
            next((one.traceparent for one in batch.requests if one.traceparent), None),
            batch.identity,
            deadline,
            batch.trace,
            tuple(request.request_id for request in batch.requests),
            first.forwarded,  # what the source is sent of it is the same for all of one identity
            fields=batch.fields,
            isolated=isolated,
            sharers=batch.sharers,
        )

    def _is_isolated(self, batch: Batch[R]) -> bool:
        """Tell whether its one user is known to be slow or to fail, while others are answered.

        Others were answered since the first such batch of the user, and in the time by which the
        circuit breaker judges. Else it may be the source that is slow or fails.
        """
        since = self._suspects.since(batch.keys[0]) if len(batch.keys) == 1 else None
        lately = self._clock.monotonic() - self._window
        return since is not None and self._answered_at > max(since, lately)

    def _cancel(self, batch: Batch[R]) -> None:
        """End a batch that nobody wants any more."""
        queue = self._queues[batch.identity]
        queue.remove(batch)  # at once: whoever comes now needs a new one
        if batch.task is not None:
            batch.task.cancel()
        else:
            queue.open_batch = None
            queue.end_wait()
            batch.complete()

    def _on_task_done(self, queue: BatchQueue[R], batch: Batch[R], _: asyncio.Task[None]) -> None:
        """Make room for the next batch."""
        queue.active -= 1
        queue.counted.pop(batch, None)
        if not batch.completed:  # it was called off before it began
            queue.remove(batch)
            batch.complete()
        self._schedule_dispatch(queue)
        self._drop_if_idle(queue)

    def _drop_if_idle(self, queue: BatchQueue[R]) -> None:
        """Drop a queue that nothing is left of."""
        if queue.idle:
            self._queues.pop(queue.identity, None)


def _may_be_its_own(answer: SourceResult[Record]) -> bool:
    """Tell whether a failure may be due to one of the users that were asked about together.

    A status 5xx, a lost connection and a call that timed out may be: a user can be too much for the
    service, or for a proxy before it. A service that wants to be left alone is left alone.
    """
    return (
        isinstance(answer, SourceFailure)
        and answer.retry_after is None
        and (answer.divisible or answer.code in {Code.SOURCE_UNAVAILABLE, Code.SOURCE_TIMEOUT})
    )
