"""Coalescing: requests share batches to one source, and keys that are in flight.

``Sharing`` sets what requests share. A key that is in flight is not requested again. Keys of
several requests go in one call if they come in the same turn of the event loop, or while
``max_batches`` batches are in flight: these keys wait in one open batch, which is dispatched when
a batch completes, or after ``max_wait``. If the source is idle, nothing waits. Requests of two
identities never share anything, because a source may answer them differently.

A slow or failing key does not harm other keys. A batch that takes far longer than usual is overdue,
unless it is the event loop that had no time. It no longer counts against ``max_batches``, and no
request joins it. A batch that is overdue, or that fails as a whole, is divided: each request that
wants only some of its keys gets its own batch for these, as if nothing were shared. Keys that were
slow or failed in a batch of one request are suspects for a while (``suspects.py``) and go in
separate batches at once. All this holds where requests share batches. Where they share only keys, a
request joins what is in flight as it is.

A request whose deadline would cut its batch short joins what is in flight, but no other request
can join its batch.

A source may be able to return only some fields. Then a batch has a set of fields. A request that
needs other fields of a key in flight begins its own batch; an open batch adds the fields.
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

from app.errors import Code, SourceFailure, bare
from app.observability.trace_context import TraceContext
from app.resilience.clock import Clock, Deadline
from app.resilience.tasks import Tasks
from app.settings.resilience import DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import (
    FetchResult,
    FieldSet,
    Record,
    RequestContext,
    SourceResult,
    UserId,
    new_request_id,
)
from app.sources.batch import Batch, PendingBatch
from app.sources.batch_queue import BatchQueue
from app.sources.credentials import identity_of
from app.sources.round_trip import RoundTrip
from app.sources.suspects import Suspects
from app.sources.telemetry import SourceTelemetry, batch_span
from app.sources.trace import CallTrace

R = TypeVar("R", bound=Record)

FetchKeys: TypeAlias = Callable[
    [Sequence[UserId], RequestContext], Awaitable[FetchResult[SourceResult[R]]]
]
"""Fetches keys from a source, as ``Source.fetch_many`` does."""


SHORT_DEADLINE_SHARE = 0.1
"""A request that has less than an attempt's time by this share gets a batch that none can join."""


SLOW_SOURCE_S = 0.005
"""A source whose round trip takes at least these seconds is slow."""

SMALL_BATCH_DIVISOR = 4
"""A batch to a slow source is full at ``full_at`` divided by this."""


OVERDUE_FACTOR = 3.0
"""A batch that takes this many times the usual time is overdue."""


LATE_S = 0.005
"""If a timer is later than these seconds, the event loop has more work than time. Then the time of
a batch says nothing of the source, whose answer may be there. More calls would be more work."""


def never() -> bool:
    """Return ``False``: the default of ``congested``."""
    return False


class Sharing(Enum):
    """What requests share."""

    NOTHING = "nothing"
    """Every request makes its own calls."""
    KEYS = "keys"
    """A key that is in flight for one request is not requested again for another."""
    BATCHES = "batches"
    """The same, and keys of several requests go in one call."""


class BatchScheduler(Generic[R]):
    """Owns all batches to one source. Leaving its context ends them.

    Attributes:
        name: The source.
        shared: How many requested keys were in flight already, in total.
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
        telemetry: SourceTelemetry,
        congested: Callable[[], bool] = never,
    ) -> None:
        """Create a scheduler without batches.

        Args:
            name: The source.
            fetch: Fetches keys. An exception that it raises is a bug, and the result of the keys.
            sharing: What requests share.
            settings: Settings of the source.
            deadlines: ``budget`` is the time of a batch. ``reserve`` is subtracted from the time of
                a request.
            clock: The clock.
            log: Gets the exception of a batch that no request waits for.
            telemetry: Where batches are counted, and their spans go.
            congested: Returns whether calls to the source wait before they are sent. Then the time
                of a call depends on this wait, not on its keys, and more calls would do harm.
        """
        self.name = name
        self.shared = 0
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
        self._telemetry = telemetry
        self._queues: dict[str, BatchQueue[R]] = {}
        self._congested = congested
        self._round_trip = RoundTrip()
        self._suspects = Suspects(clock)
        self._answered_at = -math.inf  # when a batch last succeeded without being overdue
        self._has_field_sets = False  # whether any request has wanted only some fields
        self._task_name = f"batch {name}"
        self._tasks = Tasks()
        # A shared batch belongs to no request: it must not run with the context variables of one.
        self._empty_context = Context()

    @property
    def in_flight(self) -> int:
        """How many keys are in flight that requests can share."""
        return sum(len(queue.in_flight) for queue in self._queues.values())

    @property
    def identities(self) -> int:
        """How many identities have batches now."""
        return len(self._queues)

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

    def enqueue(
        self,
        keys: Sequence[UserId],
        context: RequestContext,
        *,
        background: Sequence[UserId] = (),
        fields: FieldSet | None = None,
    ) -> PendingBatch[R]:
        """Assign keys to batches: those in flight, and one batch for all other keys.

        Args:
            keys: Keys of users, without duplicates.
            context: The request.
            background: More keys, which are fetched too, but not waited for.
            fields: The wanted fields of the record; ``None`` for all.

        Returns:
            The pending batches of this request, for ``wait_for_batches``.
        """
        now = self._clock.monotonic()
        max_wait = self._deadlines.budget  # no batch takes longer
        if context.deadline is not None:
            max_wait = context.deadline.at - now - self._deadlines.reserve
        batches: Sequence[Batch[R]] = ()
        began: Sequence[Batch[R]] = ()
        if not self._tasks.closed:
            short_of_time = max_wait < self._usual_wait and not background
            batches, began = self._assign(
                keys, background, context, fields, now, alone=short_of_time
            )
        return PendingBatch(
            self.name, keys, batches, began, context, now, max_wait, self._clock, self._cancel
        )

    def forget(self, is_outdated: Callable[[UserId], bool]) -> None:
        """Let no further request join a call that has begun. Those who wait for it still get it.

        Args:
            is_outdated: Returns whether this is so for the call of a key.
        """
        for queue in self._queues.values():
            begun = [key for key, batch in queue.in_flight.items() if batch.task is not None]
            for key in begun:
                if is_outdated(key):
                    del queue.in_flight[key]

    def _assign(
        self,
        keys: Sequence[UserId],
        background: Sequence[UserId],
        context: RequestContext,
        fields: FieldSet | None,
        now: float,
        *,
        alone: bool,
    ) -> tuple[Sequence[Batch[R]], Sequence[Batch[R]]]:
        """Return the batch of each key, and the batches that begin for keys not in flight."""
        queue = self._queue_of(context)
        in_flight, overdue = self._join(queue, keys, background, fields, now)
        new = [key for key in keys if key not in in_flight] if in_flight else [*keys]
        self.shared += len(keys) - len(new)
        if background:
            new += [key for key in background if key not in in_flight]
        began: list[Batch[R]] = []
        if overdue or self._suspects.by_key:
            began = [
                self._begin_separate(queue, group, context, fields, shared=not alone)
                for group in self._separate_groups(new, overdue)
            ]
        if began:
            separate = {key: batch for batch in began for key in batch.keys}
            joined = {key: in_flight[key] for key in (*keys, *background) if key in in_flight}
            in_flight = {**joined, **separate}
            new = [key for key in new if key not in separate]
        joined_batch: Batch[R] | None = None
        if new:
            open_batch = queue.open_batch
            joined_batch = self._add_to_batch(queue, new, context, fields, alone=alone)
            if joined_batch is not open_batch:
                began.append(joined_batch)
            added = dict.fromkeys(new, joined_batch)
            if joined_batch.shared:
                queue.in_flight.update(added)
            if in_flight is not queue.in_flight or not joined_batch.shared:
                in_flight = {**in_flight, **added}
        if joined_batch is None or len(new) < len(keys) + len(background):
            batches = [*map(in_flight.__getitem__, keys)]
        else:
            batches = [joined_batch] * len(keys)
        for key in background:
            in_flight[key].keep_running = True
        self._dispatch_if_full(queue, joined_batch)
        return batches, began

    def _dispatch_if_full(self, queue: BatchQueue[R], joined_batch: Batch[R] | None) -> None:
        """Dispatch the joined batch if it is full; drop an idle queue if no batch was joined."""
        if joined_batch is None:
            self._drop_if_idle(queue)
        elif joined_batch is queue.open_batch and self._is_full(joined_batch):
            self._dispatch(queue)

    def _join(
        self,
        queue: BatchQueue[R],
        keys: Sequence[UserId],
        background: Sequence[UserId],
        fields: FieldSet | None,
        now: float,
    ) -> tuple[Mapping[UserId, Batch[R]], Sequence[UserId]]:
        """Return the batches that keys can join, and the keys whose batches are overdue.

        A request joins an overdue batch of one key: no other key slows it down.
        """
        in_flight: Mapping[UserId, Batch[R]] = queue.in_flight
        self._has_field_sets = self._has_field_sets or fields is not None
        if self._has_field_sets:
            in_flight = queue.in_flight_with((*keys, *background), fields)
        if now < queue.overdue_from or not self._shares_batches:  # the common case
            return in_flight, ()
        batches = {*queue.in_flight.values()}
        queue.overdue_from = min((batch.overdue_at for batch in batches), default=math.inf)
        overdue = [
            key
            for key in keys
            if (batch := in_flight.get(key)) is not None and batch.overdue and len(batch.keys) > 1
        ]
        if not overdue or self._congested():
            return in_flight, ()
        others = {*keys, *background}.difference(overdue)
        return {key: in_flight[key] for key in others if key in in_flight}, overdue

    def _separate_groups(
        self, new: Sequence[UserId], overdue: Sequence[UserId]
    ) -> Sequence[Sequence[UserId]]:
        """Return the groups of keys that need separate batches: overdue keys, and suspects."""
        overdue_keys = set(overdue)
        others = [key for key in new if key not in overdue_keys]
        groups = self._suspects.groups(others, self._answered_at)
        return [overdue, *groups] if overdue else groups

    def _begin_separate(
        self,
        queue: BatchQueue[R],
        keys: Sequence[UserId],
        context: RequestContext,
        fields: FieldSet | None,
        *,
        shared: bool,
    ) -> Batch[R]:
        """Start a batch of some keys of one request; it does not count against ``max_batches``."""
        batch = self._new_batch(queue, [*keys], [context], fields, shared=shared)
        if batch.shared:
            queue.in_flight.update(dict.fromkeys(keys, batch))
        self._start(queue, batch, counted=False)
        return batch

    def _queue_of(self, context: RequestContext) -> BatchQueue[R]:
        """Return the queue of the identity of a request; create it if there is none."""
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
        """Add keys that are not in flight to the open batch, or to a new one, and return it."""
        shared = self._shares_keys and not alone
        joinable = shared and self._shares_batches
        if joinable and queue.open_batch is not None:
            batch = queue.open_batch
            batch.keys += new
            batch.requests.append(context)
            batch.try_add_fields(fields)
            return batch
        batch = self._new_batch(queue, new, [context], fields, shared=shared)
        if not joinable:
            self._start(queue, batch)
        else:
            queue.open_batch = batch
            self._schedule_dispatch(queue)
        return batch

    def _new_batch(
        self,
        queue: BatchQueue[R],
        keys: list[UserId],
        requests: list[RequestContext],
        fields: FieldSet | None,
        *,
        shared: bool,
    ) -> Batch[R]:
        """Create a batch."""
        shared = shared and self._shares_keys
        return Batch(queue.identity, shared, keys, requests, fields, self._clock)

    def _schedule_dispatch(self, queue: BatchQueue[R]) -> None:
        """Schedule the open batch for the next turn of the event loop, or for ``max_wait``."""
        if queue.open_batch is None or queue.dispatch_scheduled:
            return
        if self._has_to_wait(queue):
            return
        queue.dispatch_scheduled = True
        asyncio.get_running_loop().call_soon(self._dispatch_scheduled, queue)

    def _has_to_wait(self, queue: BatchQueue[R]) -> bool:
        """Return whether ``max_batches`` are in flight; if so, set the timer of the open batch."""
        if not queue.is_full(self._coalesce.max_batches):
            return False
        if queue.stop_waiting is None:
            dispatch = partial(self._dispatch_after_wait, queue)
            queue.stop_waiting = self._clock.call_later(self._coalesce.max_wait, dispatch)
        return True

    def _dispatch_after_wait(self, queue: BatchQueue[R]) -> None:
        """Start the open batch after ``max_wait``, even if ``max_batches`` are in flight."""
        queue.stop_waiting = None
        batch = queue.open_batch
        if batch is not None and not self._tasks.closed:
            queue.open_batch = None
            self._start(queue, batch)

    def _is_full(self, batch: Batch[R]) -> bool:
        """Return whether a batch should not wait for more requests.

        The requests of a batch are answered one after the other. During a slow call there is time
        to make more calls, so no request has to wait for a whole burst. With a fast source the
        calls themselves take the time; and with many keys, several requests want the same ones.
        """
        limit = self._coalesce.full_at
        if len(batch.requests) < limit // SMALL_BATCH_DIVISOR:
            return False
        if self._round_trip.seconds >= SLOW_SOURCE_S and len(batch.keys) <= self._max_keys:
            limit //= SMALL_BATCH_DIVISOR
        return len(batch.requests) >= limit

    def _dispatch_scheduled(self, queue: BatchQueue[R]) -> None:
        """Dispatch the open batch in the turn of the event loop for which it was scheduled."""
        queue.dispatch_scheduled = False
        self._dispatch(queue)
        self._drop_if_idle(queue)

    def _dispatch(self, queue: BatchQueue[R]) -> None:
        """Start the open batch unless it has to wait."""
        batch = queue.open_batch
        if batch is None or self._tasks.closed:
            return
        if not self._has_to_wait(queue):
            queue.open_batch = None
            queue.end_wait()
            self._start(queue, batch)

    def _start(self, queue: BatchQueue[R], batch: Batch[R], *, counted: bool = True) -> None:
        """Start the task of a batch."""
        queue.active += 1
        if counted:
            queue.counted[batch] = None
        batch.began = self._clock.monotonic()
        batch.overdue_at = batch.began + self._overdue_after(batch)
        if self._shares_batches and batch.shared:
            batch.on_overdue = self._on_overdue
            batch.set_timer(batch.overdue_at)
            queue.overdue_from = min(queue.overdue_from, batch.overdue_at)
        context = self._empty_context.copy() if batch.shared else None
        batch.task = self._tasks.begin(self._run(queue, batch), self._task_name, context)
        batch.task.add_done_callback(partial(self._on_task_done, queue, batch))

    async def _run(self, queue: BatchQueue[R], batch: Batch[R]) -> None:
        """Fetch a batch within its time, even if ``fetch`` ignores the deadline."""
        try:
            context = self._context_of(batch)
            seconds = self._deadlines.budget
            if not batch.shared and context.deadline is not None:
                seconds = context.deadline.remaining
            batch.end_at(batch.began + seconds)
            # Without the time in which the task waited for its turn: under load that is the larger
            # part, and a fast source would count as slow.
            sent_at = self._clock.monotonic()
            fetched = await self._fetch(batch.keys, context)
            batch.trace = fetched.trace
            batch.results = dict(zip(batch.keys, fetched.results, strict=True))
            self._telemetry.record_batch(self.name, fetched.results, batch.trace.code)
            self._record_outcome(queue, batch, sent_at)
        except (asyncio.CancelledError, TimeoutError) as error:
            if not (batch.timed_out or isinstance(error, TimeoutError)):
                raise
            batch.trace.code = Code.SOURCE_TIMEOUT
            # What its calls did is lost with them. At least it is seen how long they took.
            ended, count = self._clock.monotonic(), len(batch.keys)
            cut_short = CallTrace(count, batch.began, ended, (), Code.SOURCE_TIMEOUT)
            batch.trace.timeline.append(cut_short)
            failure = SourceFailure(self.name, Code.SOURCE_TIMEOUT, "no time was left for the call")
            batch.results = dict.fromkeys(batch.keys, failure)
            results = [failure] * len(batch.keys)
            self._telemetry.record_batch(self.name, results, Code.SOURCE_TIMEOUT)
            if batch.shared and self._shares_batches:
                self._suspects.add(batch.keys, len(batch.keys), began=batch.began)
        except Exception as error:  # noqa: BLE001 # all requests that wait for the batch get it
            batch.bug = error
            if not batch.waiters:
                self._log.error("source.batch_failed", source=self.name, exc_info=error)
                bare(error)
        finally:
            queue.remove(batch)
            if batch.span is not None:
                self._export_span(batch, batch.span)
            batch.complete()

    def _export_span(self, batch: Batch[R], span: TraceContext) -> None:
        """Export the span of a batch that is over."""
        requests = batch.exported_spans()
        self._telemetry.export_batch(
            batch_span(
                self.name,
                span,
                batch.trace_of_requests or span,
                requests,
                started=batch.began,
                ended=self._clock.monotonic(),
                keys=len(batch.keys),
                requests=len(batch.sharers()),
                code=batch.trace.code,
            )
        )

    def _record_outcome(self, queue: BatchQueue[R], batch: Batch[R], sent_at: float) -> None:
        """Record how long a batch took, and which keys were slow or failed."""
        now, trace = self._clock.monotonic(), batch.trace
        if trace.calls:  # zero if no call was made
            self._round_trip.add(now - sent_at)
        if trace.code is None and not batch.overdue:  # the common case
            self._answered_at = now
            if self._suspects.by_key:
                self._suspects.clear(batch.keys)
        elif batch.shared and self._shares_batches:
            self._record_failures(queue, batch, now)

    def _overdue_after(self, batch: Batch[R]) -> float:
        """Return the seconds after which a batch is overdue."""
        calls = -(-len(batch.keys) // self._max_keys)
        return calls * max(self._coalesce.max_wait, OVERDUE_FACTOR * self._round_trip.usual)

    def _on_overdue(self, batch: Batch[R]) -> None:
        """Divide an overdue batch; cancel it if no request waits for it any more."""
        now = self._clock.monotonic()
        if self._congested() or now - batch.overdue_at > LATE_S:
            batch.warn_at(now + self._overdue_after(batch))
            return
        batch.overdue = True
        queue = self._queues[batch.identity]
        if self._divide(queue, batch, batch.keys) and not (batch.waiters or batch.keep_running):
            self._cancel(batch)

    def _record_failures(self, queue: BatchQueue[R], batch: Batch[R], now: float) -> None:
        """Divide a batch by its failed keys, or record its slow or failed keys as suspects."""
        results = batch.results or {}
        if not batch.overdue and any(
            not isinstance(result, SourceFailure) for result in results.values()
        ):
            self._answered_at = now
        failed = [key for key, result in results.items() if _may_be_due_to_one_key(result)]
        if failed and self._divide(queue, batch, failed):
            return
        if failed:
            self._suspects.add(failed, len(failed), began=batch.began)
        elif batch.overdue and not self._congested():
            self._suspects.add(batch.keys, len(batch.keys), began=batch.began)

    def _divide(self, queue: BatchQueue[R], batch: Batch[R], keys: Sequence[UserId]) -> bool:
        """Move requests that wait for only some keys of a batch to their own batches.

        They would have these batches if nothing were shared. A request that waits for all keys of
        the batch stays. Returns whether any request was moved.
        """
        if len(batch.keys) == 1 or self._tasks.closed:
            return False
        groups = batch.waiting_for_some(keys)
        # A key that waits in the open batch, for other fields, would be added to it once more.
        gathering = set(() if queue.open_batch is None else queue.open_batch.keys)
        # The smallest group is last: other requests join the last batch of a key.
        for wanted in sorted(groups, key=len, reverse=True):
            pending_batches = groups[wanted]
            requests = [pending.context for pending in pending_batches]
            own = self._new_batch(queue, [*wanted], requests, batch.fields, shared=True)
            own.keep_running = batch.keep_running
            queue.in_flight.update((key, own) for key in wanted if key not in gathering)
            for pending in pending_batches:
                pending.move(batch, own, wanted, first=pending is pending_batches[0])
            self._start(queue, own, counted=False)
        return bool(groups)

    def _context_of(self, batch: Batch[R]) -> RequestContext:
        """Return the context of a batch: that of its one request, or a new one for several."""
        first = batch.requests[0]
        trace = batch.trace_of_requests
        batch.span = self._telemetry.begin_span(trace)
        isolated = bool(self._suspects.by_key) and self._is_isolated(batch)
        deadline = first.deadline
        if batch.shared:
            deadline = Deadline(self._clock.monotonic() + self._deadlines.budget, self._clock)
        several = len(batch.requests) > 1
        return RequestContext(
            new_request_id() if several else first.request_id,
            batch.span or trace,  # a call belongs to one trace
            batch.identity,
            deadline,
            tuple(request.request_id for request in batch.requests) if several else (),
            first.forwarded,  # the source gets the same from all requests of one identity
            fields=batch.fields,
            isolated=isolated,
            divisible=self._shares_batches and batch.has_partial_waiters,
            sharers=batch.sharers if batch.shared else None,
            baggage=first.baggage,
        )

    def _is_isolated(self, batch: Batch[R]) -> bool:
        """Return whether the batch has one key, known to be slow or to fail while others succeed.

        Another batch must have succeeded since the first slow or failed batch of the key, and
        within the window of the circuit breaker. Otherwise the source itself may be slow or fail.
        """
        since = self._suspects.since(batch.keys[0]) if len(batch.keys) == 1 else None
        window_start = self._clock.monotonic() - self._window
        return since is not None and self._answered_at > max(since, window_start)

    def _cancel(self, batch: Batch[R]) -> None:
        """Cancel a batch that no request waits for any more."""
        queue = self._queues[batch.identity]
        queue.remove(batch)  # at once: a new request must not join it
        if batch.task is not None:
            batch.task.cancel()
        else:
            queue.open_batch = None
            queue.end_wait()
            batch.complete()

    def _on_task_done(self, queue: BatchQueue[R], batch: Batch[R], _: asyncio.Task[None]) -> None:
        """Remove a batch whose task is done, and schedule the open batch."""
        queue.active -= 1
        queue.counted.pop(batch, None)
        if not batch.completed:  # its task was cancelled before it ran
            queue.remove(batch)
            batch.complete()
        self._schedule_dispatch(queue)
        self._drop_if_idle(queue)

    def _drop_if_idle(self, queue: BatchQueue[R]) -> None:
        """Drop a queue that is idle."""
        if queue.idle:
            self._queues.pop(queue.identity, None)


def _may_be_due_to_one_key(result: SourceResult[Record]) -> bool:
    """Return whether a result is a failure that one key of the batch may have caused.

    A status 5xx, a lost connection or a timeout may be: one user can overload the service, or a
    proxy before it. A failure with ``Retry-After`` is not: the service wants fewer calls.
    """
    return (
        isinstance(result, SourceFailure)
        and result.retry_after is None
        and (result.divisible or result.code in {Code.SOURCE_UNAVAILABLE, Code.SOURCE_TIMEOUT})
    )
