"""Batches: keys that go upstream in one call, and the requests that wait for the results.

A shared batch belongs to none of its waiters. It has its own task and its own trace, so that the
request that began it can give up, be cancelled or time out without harm to the others. It has one
timer, shared by its waiters, because timers are expensive and rarely fire.

A batch that takes far longer than usual is overdue. Requests that wait for only some of its keys
then wait for their own batches (``PendingBatch.move``).
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from operator import getitem
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct, field

from app.errors import Code, SourceFailure
from app.observability.trace_context import TraceContext
from app.resilience.clock import Clock
from app.sources.base import FieldSet, Record, RequestContext, SourceResult, UserId
from app.sources.trace import CallTrace, SourceTrace

R = TypeVar("R", bound=Record)


class Batch(Struct, Generic[R], eq=False):
    """Keys that a source is asked for, by one call or a few. All times are ``clock.monotonic()``.

    Attributes:
        identity: The identity of its requests.
        shared: Whether other requests may join it.
        keys: The keys of users.
        requests: The requests that added keys; the one that began the batch is first.
        fields: The requested fields of the record; ``None`` for all.
        clock: The clock.
        waits: The waits that end when it completes.
        completed: Whether it is done, with or without results.
        task: The task that calls the source; ``None`` while keys can still be added.
        results: The results by key; ``None`` if the task was cancelled or raised.
        trace: What it did at the source, once it is complete.
        bug: The exception that the task raised: a bug of ours.
        waiters: How many pending batches wait for it.
        keep_running: Whether it continues when no request waits for it.
        ends_at: When it is cancelled if it is not complete.
        timed_out: Whether it was cancelled at that time.
        began: When it started.
        overdue_at: When it becomes overdue.
        overdue: Whether it is overdue.
        on_overdue: Called with the batch when its timer fires and it is overdue.
        pending_batches: The pending batches that wait for it.
        timer_at: When its timer fires.
        cancel_timer: Cancels the timer; ``None`` if there is none.
        span: Its span; ``None`` if its trace is not exported.
    """

    identity: str
    shared: bool
    keys: list[UserId]
    requests: list[RequestContext]
    fields: FieldSet | None
    clock: Clock
    waits: "list[BatchWait]" = []
    completed: bool = False
    task: asyncio.Task[None] | None = None
    results: Mapping[UserId, SourceResult[R]] | None = None
    trace: SourceTrace = field(default_factory=SourceTrace)
    bug: Exception | None = None
    waiters: int = 0
    keep_running: bool = False
    ends_at: float = math.inf
    timed_out: bool = False
    began: float = math.inf
    overdue_at: float = math.inf
    overdue: bool = False
    on_overdue: "Callable[[Batch[R]], None] | None" = None
    pending_batches: "list[PendingBatch[R]]" = []
    timer_at: float = math.inf
    cancel_timer: Callable[[], object] | None = None
    span: TraceContext | None = None

    @property
    def trace_of_requests(self) -> TraceContext | None:
        """The span of the request that it continues: the first that is exported, or has a trace."""
        traces = [one.trace for one in self.requests if one.trace is not None]
        return next((one for one in traces if one.exported), traces[0]) if traces else None

    def exported_spans(self) -> Sequence[TraceContext]:
        """List the exported spans of all requests that wait for it.

        Returns:
            The spans without duplicates; first of the requests that added keys.
        """
        waiting = [pending.context for pending in self.pending_batches]
        traces = (one.trace for one in (*self.requests, *waiting))
        return [*{one.span_id: one for one in traces if one is not None and one.exported}.values()]

    def sharers(self) -> Sequence[str]:
        """List the ids of the requests that share it.

        Returns:
            Ids without duplicates: first of the requests that added keys, then of those that wait.
        """
        ids = [context.request_id for context in self.requests]
        ids += [pending.context.request_id for pending in self.pending_batches]
        return [*dict.fromkeys(ids)]

    def try_add_fields(self, fields: FieldSet | None) -> bool:
        """Add fields to the requested ones, unless the batch has started.

        Args:
            fields: The fields; ``None`` for all.

        Returns:
            Whether the batch requests all these fields now.
        """
        if self.fields is None or (fields is not None and self.fields >= fields):
            return True
        if self.task is not None:
            return False
        self.fields = None if fields is None else self.fields | fields
        return True

    @property
    def has_partial_waiters(self) -> bool:
        """Whether some requests wait for some of its keys, but not for all."""
        count = len(self.keys)
        if count == 1 or len(self.pending_batches) == 1:  # the common case
            return False
        return any(
            0 < pending.keys_per_batch.get(self, 0) < count for pending in self.pending_batches
        )

    def waiting_for_some(
        self, keys: Sequence[UserId]
    ) -> "Mapping[tuple[UserId, ...], Sequence[PendingBatch[R]]]":
        """List the requests that wait for some of its keys, but not for all.

        Args:
            keys: The keys that matter, such as those that failed.

        Returns:
            The requests by which of these keys they wait for, at least one.
        """
        candidates = set(keys)
        groups: dict[tuple[UserId, ...], list[PendingBatch[R]]] = {}
        for pending in self.pending_batches:
            count = pending.keys_per_batch.get(self)
            if pending.is_waiting and count is not None and count < len(self.keys):
                wanted = tuple(key for key in pending.keys_on(self) if key in candidates)
                if wanted:
                    groups.setdefault(wanted, []).append(pending)
        return groups

    def complete(self) -> None:
        """Mark it as completed, cancel its timer, and wake its waiters."""
        self.completed = True
        self.on_overdue = None
        self.pending_batches.clear()  # breaks the reference cycle, so no garbage collection is due
        if self.cancel_timer is not None:
            self.cancel_timer()
        for wait in self.waits:
            wait.batch_completed()

    def end_at(self, moment: float) -> None:
        """Set when it is cancelled if it is not complete.

        Args:
            moment: The time, by ``clock.monotonic()``.
        """
        self.ends_at = moment
        self.set_timer(moment)

    def warn_at(self, moment: float) -> None:
        """Set when it becomes overdue and ``on_overdue`` is called.

        Args:
            moment: The time, by ``clock.monotonic()``.
        """
        self.overdue_at = moment
        self.set_timer(moment)

    def set_timer(self, moment: float) -> None:
        """Set the timer to a time, unless it fires before.

        Args:
            moment: The time, by ``clock.monotonic()``.
        """
        if moment >= self.timer_at:
            return
        if self.cancel_timer is not None:
            self.cancel_timer()
        self.timer_at = moment
        self.cancel_timer = self.clock.call_later(moment - self.clock.monotonic(), self._on_timer)

    def _on_timer(self) -> None:
        """End the waits and the batch whose time is up, and set the timer again."""
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


class Collected(Struct, Generic[R], frozen=True):
    """The results that one request collects from its batches.

    Attributes:
        results: The result of each of its keys, and possibly of other keys of the same calls. A bug
            of ours is a value.
        trace: What the request did at the source.
    """

    results: "Mapping[UserId, SourceResult[R] | Exception]"
    trace: SourceTrace


class PendingFetch(Protocol[R]):
    """The keys of one source that one request waits for."""

    @property
    def pending(self) -> "Sequence[PendingBatch[Any]]":
        """The batches to wait for before ``collect``; none if all results are here already."""
        ...

    @property
    def arrival(self) -> "asyncio.Future[None] | None":
        """What has to be done before ``pending`` is known; ``None`` if it is known."""
        ...

    def end(self) -> None:
        """Stop waiting before ``pending`` is known."""
        ...

    def collect(self) -> Collected[R]:
        """Collect the results, after the wait.

        Returns:
            The results, and what the request did.
        """
        ...


class BatchedSource(Protocol[R]):
    """A source whose batches requests may share."""

    def enqueue(
        self, keys: Sequence[UserId], context: RequestContext, *, fields: FieldSet | None = None
    ) -> PendingFetch[R]:
        """Begin to fetch keys.

        Args:
            keys: Keys of users, without duplicates.
            context: The request.
            fields: The wanted fields of the record; ``None`` for all.

        Returns:
            The keys, to wait for.
        """
        ...


class PendingBatch(Struct, Generic[R], eq=False):
    """The keys of one source that one request waits for, in one batch or several.

    Attributes:
        source: Name of the source.
        keys: The keys of users.
        batches: The batch of each key, in the order of ``keys``; empty if the scheduler is closed.
        own_batches: The batches that began for this request.
        context: The request.
        asked_at: When the request came, by ``clock.monotonic()``.
        max_wait: Seconds that it can wait.
        clock: The clock.
        cancel: Cancels a batch that no request waits for any more.
        keys_per_batch: How many of the keys are in each batch.
        wait: The wait for the batches, once it has begun.
        released: Whether the request no longer waits.
        left: The own batches that it no longer waits for.
    """

    source: str
    keys: Sequence[UserId]
    batches: Sequence[Batch[R]]
    own_batches: Sequence[Batch[R]]
    context: RequestContext
    asked_at: float
    max_wait: float
    clock: Clock
    cancel: Callable[[Batch[R]], None]
    keys_per_batch: dict[Batch[R], int] = {}
    wait: "BatchWait | None" = None
    released: bool = False
    left: list[Batch[R]] = []

    def __post_init__(self) -> None:
        """Register as a waiter of each batch."""
        batches = self.batches
        if batches and batches.count(batches[0]) == len(batches):  # the common case
            self.keys_per_batch = {batches[0]: len(batches)}
        else:
            self.keys_per_batch = {batch: batches.count(batch) for batch in dict.fromkeys(batches)}
        for batch in self.keys_per_batch:
            batch.waiters += 1
            batch.pending_batches.append(self)

    @property
    def pending(self) -> "Sequence[PendingBatch[R]]":
        """Itself: a ``PendingFetch`` that waits for its batches."""
        return (self,)

    @property
    def arrival(self) -> "asyncio.Future[None] | None":
        """Nothing has to be done before."""
        return None

    def end(self) -> None:
        """Do not wait at all."""
        self.release()

    @property
    def is_waiting(self) -> bool:
        """Whether the request still waits for the batches."""
        return not self.released and (self.wait is None or not self.wait.done.done())

    def keys_on(self, batch: Batch[R]) -> Sequence[UserId]:
        """List the keys that are in a batch.

        Args:
            batch: The batch.

        Returns:
            The keys of this request in it, in the order of ``keys``.
        """
        pairs = zip(self.keys, self.batches, strict=True)
        return [key for key, batch_of_key in pairs if batch_of_key is batch]

    def move(
        self, before: Batch[R], after: Batch[R], keys: Sequence[UserId], *, first: bool
    ) -> None:
        """Wait for another batch.

        Args:
            before: The old batch, which has not completed.
            after: The new batch.
            keys: The keys that move to it.
            first: Whether the new batch began for this request.
        """
        moved = set(keys)
        self.batches = [
            after if batch is before and key in moved else batch
            for key, batch in zip(self.keys, self.batches, strict=True)
        ]
        self.keys_per_batch[before] -= len(keys)
        self.keys_per_batch[after] = len(keys)
        after.waiters += 1
        after.pending_batches.append(self)
        stays = self.keys_per_batch[before] > 0
        if not stays:
            del self.keys_per_batch[before]
            before.waiters -= 1
            if before in self.own_batches:  # its calls count nevertheless
                self.left.append(before)
        if first:
            self.own_batches = (*self.own_batches, after)
        if self.wait is not None:
            self.wait.move(None if stays else before, after)

    def release(self) -> None:
        """Stop waiting; cancel each batch that no other request waits for."""
        self.released = True
        for batch in self.keys_per_batch:
            batch.waiters -= 1
            if not (batch.completed or batch.waiters or batch.keep_running):
                self.cancel(batch)

    def collect(self) -> Collected[R]:
        """Collect the results, and what the request did.

        Returns:
            The result of each key. A key whose batch has not completed in time has
            ``SOURCE_TIMEOUT``; a key whose call was cancelled has ``SOURCE_UNAVAILABLE``. A bug of
            ours in a batch is the result of its keys.
        """
        trace = SourceTrace()
        if self.keys and not self.batches:
            trace.code = Code.SOURCE_UNAVAILABLE
            return Collected(dict.fromkeys(self.keys, self._cancelled_failure()), trace)
        for batch in self.left:
            trace.calls += batch.trace.calls
            trace.attempts += batch.trace.attempts
        for batch, count in self.keys_per_batch.items():
            self._add_trace(trace, batch, count)
        if len(self.keys_per_batch) == 1 and (results := self.batches[0].results) is not None:
            return Collected(results, trace)  # the common case, without a copy
        by_batch = {batch: self._results_of(batch) for batch in self.keys_per_batch}
        results_of_keys = map(by_batch.__getitem__, self.batches)
        by_key = dict(zip(self.keys, map(getitem, results_of_keys, self.keys), strict=True))
        return Collected(by_key, trace)

    def _add_trace(self, trace: SourceTrace, batch: Batch[R], count: int) -> None:
        """Add a batch with ``count`` keys of the request to the trace of the request."""
        if batch in self.own_batches:
            trace.calls += batch.trace.calls
            trace.attempts += batch.trace.attempts
        elif batch.requests[0] is not self.context:
            trace.coalesced += count
        trace.timeline += batch.trace.timeline
        trace.seen += batch.trace.seen
        trace.keys += count
        trace.started = self.asked_at
        ended = batch.trace.ended if batch.completed else 0.0
        trace.ended = max(trace.ended, ended or self.clock.monotonic())
        trace.circuit = batch.trace.circuit or trace.circuit
        trace.pace = batch.trace.pace or trace.pace
        if not batch.completed:
            trace.code = Code.SOURCE_TIMEOUT
            if batch.task is not None:  # its call still runs, and is seen as one without steps
                seen = CallTrace(len(batch.keys), batch.began, trace.ended, (), trace.code)
                trace.timeline.append(seen)
        elif batch.results is None:
            trace.code = Code.SOURCE_UNAVAILABLE
        else:
            trace.code = batch.trace.code or trace.code

    def _results_of(self, batch: Batch[R]) -> Mapping[UserId, SourceResult[R] | Exception]:
        """Return the results of a batch; without results, a bug or a failure for each key."""
        if batch.results is not None:
            return batch.results
        if batch.bug is not None:
            return dict.fromkeys(self.keys, batch.bug)
        failure = self._cancelled_failure()
        if not batch.completed:
            reason = "no time was left to wait for it"
            failure = SourceFailure(self.source, Code.SOURCE_TIMEOUT, reason)
        return dict.fromkeys(self.keys, failure)

    def _cancelled_failure(self) -> SourceFailure:
        """Return the failure for a cancelled call."""
        return SourceFailure(self.source, Code.SOURCE_UNAVAILABLE, "the call was called off")


async def wait_for_fetches(fetches: "Sequence[PendingFetch[Any]]") -> None:
    """Wait for the keys of several sources that one request waits for.

    Args:
        fetches: The keys, at least one.

    Raises:
        Exception: A bug of ours in a look-up. No other wait goes on then.
    """
    try:
        for one in fetches:
            if one.arrival is not None:
                await one.arrival
    except BaseException:  # also when the wait is cancelled
        for one in fetches:
            one.end()
        raise
    if batches := [batch for one in fetches for batch in one.pending]:
        await wait_for_batches(batches)


async def wait_for_batches(pending_batches: Sequence[PendingBatch[R]]) -> None:
    """Wait until every batch of a request is complete, or until its ``max_wait``.

    The wait never cancels a shared batch directly. A batch that is not shared ends by itself within
    the time of its request, with the reason in its results.

    Args:
        pending_batches: The pending batches of one request, at least one. They are released at the
            end.
    """
    batches = [
        batch
        for pending in pending_batches
        for batch in pending.keys_per_batch
        if not batch.completed
    ]
    first = pending_batches[0]
    try:
        if batches and first.max_wait > 0:
            wait = BatchWait(batches, first.asked_at + first.max_wait)
            for pending in pending_batches:
                pending.wait = wait
            await wait.done
    finally:
        for pending in pending_batches:
            pending.release()


class BatchWait:
    """The wait of one request for its batches. Its future belongs to it alone and may be cancelled.

    ``asyncio.wait`` and ``asyncio.timeout`` cost several times as much, and every request waits
    once.

    Attributes:
        done: Done when all batches are complete, or when the time is up.
        until: When the wait ends at the latest, by ``clock.monotonic()``.
    """

    __slots__ = ("_remaining", "done", "until")

    def __init__(self, batches: Sequence[Batch[R]], until: float) -> None:
        """Begin to wait.

        Args:
            batches: Batches that have not completed, at least one.
            until: When the wait ends at the latest, by ``clock.monotonic()``.
        """
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.until = until
        self._remaining = len(batches)
        for batch in batches:
            batch.waits.append(self)
            if batch.shared:
                batch.set_timer(until)

    def move(self, before: Batch[R] | None, after: Batch[R]) -> None:
        """Wait for another batch.

        Args:
            before: The batch that it no longer waits for; ``None`` if it still waits for all.
            after: The other batch.
        """
        if before is None:
            self._remaining += 1
        else:
            before.waits.remove(self)
        after.waits.append(self)
        after.set_timer(self.until)

    def finish(self) -> None:
        """End the wait."""
        if not self.done.done():
            self.done.set_result(None)

    def batch_completed(self) -> None:
        """Count a completed batch; end the wait after the last."""
        self._remaining -= 1
        if not self._remaining:
            self.finish()
