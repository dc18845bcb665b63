"""Requests share the keys that are in flight, and the batches that are not sent yet."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.errors import Code, SourceFailure
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.observability.trace_context import TraceContext
from app.settings.models import LogSettings
from app.settings.resilience import DeadlineSettings
from app.sources.base import FetchResult, RequestContext, UserId
from app.sources.batch import PendingBatch
from app.sources.batch_scheduler import SLOW_SOURCE_S, BatchScheduler, Sharing
from app.sources.round_trip import WINDOW
from app.sources.telemetry import SourceTelemetry
from app.sources.trace import SourceTrace
from tests.clock import ManualClock
from tests.sources.scheduler import (
    ATTEMPT,
    BUDGET,
    RESERVE,
    SETTINGS,
    SchedulerHarness,
    asked,
)
from tests.sources.upstream import (
    NAME,
    PersonRecord,
    Requests,
    Said,
    Upstream,
    failure,
    ids,
    told,
)

COUNTS = st.integers(1, 5)

TIMEOUT, UNAVAILABLE = Code.SOURCE_TIMEOUT.value, Code.SOURCE_UNAVAILABLE.value


class SourceBugError(Exception):
    """A bug in a source."""


@pytest.fixture
async def harness(clock: ManualClock) -> AsyncGenerator[SchedulerHarness]:
    """Return a scheduler; at the end it has no tasks, and the loop reported no exceptions."""
    harness = SchedulerHarness(clock)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: harness.unhandled.append(context))
    async with harness.scheduler:
        yield harness
    assert harness.scheduler.in_flight == 0
    await clock.settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    gc.collect()
    assert harness.unhandled == []


async def test_keys_in_flight_are_not_fetched_again(
    harness: SchedulerHarness,
) -> None:
    first = await harness.ask("ab")
    second = await harness.ask("bcad")

    await harness.let_go(0)
    assert first.done()
    assert not second.done()
    await harness.let_go(1)

    assert harness.upstream.batches == ["ab", "cd"]
    assert told(first.result()) == [0, 1]
    assert told(second.result()) == [1, 2, 0, 3]
    assert harness.scheduler.shared == 2


@pytest.mark.parametrize("sharing", Sharing)
async def test_an_identity_without_batches_is_forgotten(
    clock: ManualClock, sharing: Sharing
) -> None:
    harness = SchedulerHarness(clock, sharing)
    async with harness.scheduler:
        for identity in "xyz":
            await harness.ask("ab", harness.call(identity=identity))
        during = harness.scheduler.identities
        for number in range(3):
            await harness.let_go(number)

        assert (during, harness.scheduler.identities) == (3, 0)


async def test_a_key_is_fetched_again_after_its_batch_has_ended(harness: SchedulerHarness) -> None:
    harness.upstream.held = False

    await harness.ask("a")
    again = await harness.ask("a")

    assert harness.upstream.batches == ["a", "a"]
    assert told(again.result()) == [1]


async def test_two_identities_never_share_a_key_in_flight(harness: SchedulerHarness) -> None:
    ann = await harness.ask("a", harness.call(identity="ann"))
    bob = await harness.ask("a", harness.call(identity="bob"))
    await harness.let_go(0)
    await harness.let_go(1)

    (for_ann,), (for_bob,) = ann.result(), bob.result()
    assert isinstance(for_ann, PersonRecord)
    assert isinstance(for_bob, PersonRecord)
    assert (for_ann.identity, for_bob.identity) == ("ann", "bob")
    assert harness.scheduler.shared == 0


async def test_a_batch_has_its_own_deadline_and_the_context_of_its_first_request(
    harness: SchedulerHarness,
) -> None:
    context = harness.call("r1", identity="ann", seconds=1.0)

    await harness.ask("a", context)

    (batch_trace,) = harness.upstream.calls
    assert (batch_trace.request_id, batch_trace.identity) == ("r1", "ann")
    assert batch_trace.deadline is not None
    assert batch_trace.deadline.remaining == BUDGET


async def test_a_later_caller_gets_the_result_after_the_first_is_cancelled(
    harness: SchedulerHarness,
) -> None:
    first = await harness.ask("a")
    second = await harness.ask("a")

    await harness.cancel(first)
    await harness.let_go()

    assert told(second.result()) == [0]
    assert harness.upstream.batches == ["a"]


async def test_a_caller_waits_until_its_deadline_and_the_others_continue(
    harness: SchedulerHarness,
) -> None:
    first = await harness.ask("a", harness.call(seconds=1.0))
    second = await harness.ask("a", harness.call(seconds=3.0))

    await harness.pass_time(0.74)
    assert not first.done()
    await harness.pass_time(0.01)
    assert told(first.result()) == [TIMEOUT]
    await harness.let_go()

    assert told(second.result()) == [0]
    assert harness.upstream.cancelled == []


async def test_a_caller_at_its_deadline_gets_the_results_that_are_there(
    harness: SchedulerHarness,
) -> None:
    other = await harness.ask("a")
    caller = await harness.ask("ab", harness.call(seconds=1.0))

    await harness.let_go(0)
    await harness.pass_time(0.75)

    assert told(caller.result()) == [0, TIMEOUT]
    assert other.done()


async def test_a_batch_is_cancelled_when_its_last_caller_has_left(
    harness: SchedulerHarness,
) -> None:
    first = await harness.ask("ab")
    second = await harness.ask("bc", harness.call(seconds=1.0))

    await harness.cancel(first)
    assert harness.upstream.cancelled == []
    await harness.pass_time(1.0)

    assert second.done()
    assert sorted(harness.upstream.cancelled) == [0, 1]
    assert harness.scheduler.in_flight == 0


async def test_a_caller_does_not_join_a_batch_that_is_being_cancelled(
    harness: SchedulerHarness,
) -> None:
    first = await harness.ask("a")
    first.cancel()
    await asyncio.sleep(0)  # the first has ended, but its batch does not know that yet

    second = await harness.ask("a")
    await harness.let_go()

    assert told(second.result()) == [0]
    assert harness.upstream.batches == ["a", "a"]


async def test_a_caller_without_time_makes_no_call(harness: SchedulerHarness) -> None:
    caller = await harness.ask("a", harness.call(seconds=RESERVE))

    assert told(caller.result()) == [TIMEOUT]
    assert harness.upstream.batches == []


async def test_a_background_batch_continues_without_a_caller(
    harness: SchedulerHarness,
) -> None:
    caller = await harness.ask("", harness.call(seconds=1.0), behind="a")

    assert caller.done()
    await harness.pass_time(2.0)
    later = await harness.ask("a", harness.call(seconds=1.0))
    await harness.cancel(later)

    assert harness.upstream.batches == ["a"]
    assert harness.upstream.cancelled == []
    assert harness.scheduler.in_flight == 1


async def test_keys_of_a_caller_and_background_keys_go_in_one_call(
    harness: SchedulerHarness,
) -> None:
    caller = await harness.ask("ab", behind="c")

    await harness.let_go()

    assert harness.upstream.batches == ["abc"]
    assert told(caller.result()) == [0, 1]


async def test_a_batch_that_hangs_ends_when_its_budget_is_used_up(
    harness: SchedulerHarness,
) -> None:
    context = harness.call(seconds=60.0)
    first = await harness.ask("a", behind="b")
    second = await harness.ask("b", context)

    await harness.pass_time(BUDGET)

    assert told(first.result()) == told(second.result()) == [TIMEOUT]
    trace = harness.requests.trace_of(context)
    assert trace.code is Code.SOURCE_TIMEOUT
    [running] = trace.timeline  # the call that goes on for the other request
    assert (running.code, running.steps) == (Code.SOURCE_TIMEOUT, ())
    assert running.ended == trace.ended
    assert harness.scheduler.in_flight == 0


async def test_each_caller_of_a_batch_waits_until_its_own_deadline(
    harness: SchedulerHarness,
) -> None:
    long = await harness.ask("a", harness.call("long", seconds=4.0))
    short = await harness.ask("a", harness.call("short", seconds=1.0))
    middle = await harness.ask("a", harness.call("middle", seconds=2.0))
    left: list[tuple[float, int]] = []
    for seconds in (0.75, 1.0, 2.0):
        await harness.pass_time(seconds - 0.01)
        left.append((harness.clock.seconds, sum(not one.done() for one in (long, short, middle))))
        await harness.pass_time(0.01)
        left.append((harness.clock.seconds, sum(not one.done() for one in (long, short, middle))))

    assert [waiting for _, waiting in left] == [3, 2, 2, 1, 1, 0]
    assert told(await short) == told(await middle) == told(await long) == [TIMEOUT]
    assert harness.scheduler.in_flight == 0


class Stubborn(Upstream):
    """An upstream whose calls delay their own cancellation."""

    def __init__(self) -> None:
        super().__init__()
        self.gives_in = asyncio.Event()

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[Said]:
        try:
            return await super().fetch_many(keys, context)
        except asyncio.CancelledError:
            await self.gives_in.wait()
            raise


async def test_a_call_that_delays_its_cancellation_does_not_delay_its_callers(
    clock: ManualClock,
) -> None:
    upstream = Stubborn()
    harness = SchedulerHarness(clock, upstream=upstream)
    async with harness.scheduler:
        await harness.ask("a")
        await harness.pass_time(1.0)
        late = await harness.ask("a", harness.call(seconds=BUDGET))
        await harness.pass_time(BUDGET - 1.0)
        waits = not late.done()
        await harness.pass_time(1.0)
        done = late.done()
        upstream.gives_in.set()
        await harness.clock.settle()

    assert waits
    assert done
    assert told(await late) == [TIMEOUT]


async def test_a_source_that_raises_a_timeout_has_timed_out(harness: SchedulerHarness) -> None:
    harness.upstream.error = TimeoutError()
    caller = await harness.ask("a")

    await harness.let_go()

    assert told(await caller) == [TIMEOUT]


async def test_a_bug_in_a_source_is_raised_to_each_caller_of_the_batch(
    harness: SchedulerHarness,
) -> None:
    harness.upstream.error = SourceBugError()
    first = await harness.ask("a")
    second = await harness.ask("ab")
    await harness.let_go(0)
    harness.upstream.error = None
    await harness.let_go(1)

    for caller in (first, second):
        with pytest.raises(SourceBugError):
            caller.result()
    assert harness.scheduler.in_flight == 0
    assert harness.events() == []


async def test_a_bug_in_a_background_batch_is_logged(harness: SchedulerHarness) -> None:
    harness.upstream.error = SourceBugError()

    await harness.ask("", behind="a")
    await harness.let_go()

    (event,) = harness.events()
    assert (event["event"], event["source"]) == ("source.batch_failed", NAME)
    assert "BugError" in event["exception"]
    assert harness.scheduler.in_flight == 0


async def test_a_batch_with_fewer_results_than_keys_raises_an_error(
    clock: ManualClock,
) -> None:
    async def fetch(_: Sequence[UserId], __: RequestContext) -> FetchResult[Said]:
        return FetchResult([None])

    batches: BatchScheduler[PersonRecord] = BatchScheduler(
        NAME,
        fetch,
        sharing=Sharing.KEYS,
        settings=SETTINGS,
        deadlines=DeadlineSettings(),
        clock=clock,
        log=make_log(LogSettings()),
        telemetry=SourceTelemetry(Telemetry()),
    )
    pending = batches.enqueue(ids("ab"), RequestContext("r"))
    with pytest.raises(ValueError, match="shorter"):
        await Requests().fetch(pending, ids("ab"), RequestContext("r"))
    assert batches.in_flight == 0


async def test_a_batch_that_cancels_itself_is_a_failure_for_each_caller(
    harness: SchedulerHarness,
) -> None:
    harness.upstream.error = asyncio.CancelledError()
    context = harness.call()
    first = await harness.ask("a", context)
    second = await harness.ask("a")

    await harness.let_go()

    assert told(first.result()) == told(second.result()) == [UNAVAILABLE]
    assert harness.requests.trace_of(context).code is Code.SOURCE_UNAVAILABLE


async def test_closing_the_scheduler_cancels_its_batches_and_ends_its_callers(
    clock: ManualClock,
) -> None:
    harness = SchedulerHarness(clock)
    async with harness.scheduler:
        caller = await harness.ask("a", behind="b")
        late = asyncio.create_task(harness.fetch("c", harness.call()))
        await asyncio.sleep(0)  # its batch is not sent yet
    await clock.settle()

    assert told(caller.result()) == told(await late) == [UNAVAILABLE]
    assert harness.upstream.cancelled == [0]
    assert harness.scheduler.in_flight == 0
    after = await harness.ask("a")
    assert told(after.result()) == [UNAVAILABLE]
    assert harness.upstream.batches == ["ab"]


async def test_the_trace_of_the_first_request_has_the_calls_of_a_shared_batch(
    harness: SchedulerHarness,
) -> None:
    harness.upstream.says = lambda _: failure()
    context, other = harness.call("r1"), harness.call("r2")
    began = harness.clock.seconds

    await harness.ask("abc", context)
    await harness.pass_time(1.0)
    await harness.ask("ab", other)
    await harness.pass_time(1.0)
    await harness.let_go()

    assert harness.requests.sums_of(context) == SourceTrace(
        calls=1,
        attempts=3,
        keys=3,
        started=began,
        ended=began + 2,
        code=Code.SOURCE_UNAVAILABLE,
        circuit="half_open",
    )
    assert harness.requests.sums_of(other) == SourceTrace(
        keys=2,
        started=began + 1,
        ended=began + 2,
        code=Code.SOURCE_UNAVAILABLE,
        circuit="half_open",
        coalesced=2,
    )


@pytest.mark.parametrize("last", [0, 1])
async def test_a_trace_of_several_batches_ends_with_the_last_of_them(
    harness: SchedulerHarness, last: int
) -> None:
    context, began = harness.call("r2"), harness.clock.seconds
    harness.upstream.now = harness.clock.monotonic
    await harness.ask("a", harness.call("r1"))
    await harness.ask("ab", context)
    for number in (1 - last, last):
        await harness.pass_time(1.0)
        await harness.let_go(number)

    assert harness.upstream.batches == ["a", "b"]
    trace = harness.requests.trace_of(context)
    assert (trace.started, trace.ended) == (began, began + 2)


async def test_the_trace_of_a_caller_at_its_deadline_has_a_timeout(
    harness: SchedulerHarness,
) -> None:
    context = harness.call(seconds=1.0)
    began = harness.clock.seconds

    await harness.ask("a", context)
    await harness.pass_time(0.75)

    assert harness.requests.sums_of(context) == SourceTrace(
        keys=1, started=began, ended=began + 0.75, code=Code.SOURCE_TIMEOUT
    )


async def test_the_trace_of_a_request_is_the_sum_of_its_batches(
    harness: SchedulerHarness,
) -> None:
    context = harness.call()
    harness.upstream.held = False

    await harness.ask("ab", context)
    await harness.pass_time(1.0)
    await harness.ask("c", context)

    trace = harness.requests.trace_of(context)
    assert (trace.calls, trace.attempts, trace.keys) == (2, 6, 3)
    assert trace.seconds == 1.0
    assert trace.status == "ok"


@pytest.fixture
async def joint(clock: ManualClock) -> AsyncGenerator[SchedulerHarness]:
    """Return a scheduler whose batches are shared by several requests."""
    harness = SchedulerHarness(clock, sharing=Sharing.BATCHES)
    async with harness.scheduler:
        yield harness


async def test_requests_of_the_same_turn_of_the_event_loop_share_a_call(
    joint: SchedulerHarness,
) -> None:
    callers = [
        asyncio.create_task(joint.fetch(keys, joint.call(keys))) for keys in ("ab", "bc", "d")
    ]
    await joint.clock.settle()
    await joint.let_go()

    assert joint.upstream.batches == ["abcd"]
    assert [told(one.result()) for one in callers] == [[0, 1], [1, 2], [3]]
    assert joint.scheduler.shared == 1


async def test_a_request_that_adds_keys_to_its_own_batch_counts_its_call_once(
    joint: SchedulerHarness,
) -> None:
    context = joint.call()
    callers = [asyncio.create_task(joint.fetch(keys, context)) for keys in ("a", "b")]
    await joint.clock.settle()
    await joint.let_go()

    assert joint.upstream.batches == ["ab"]
    assert [told(one.result()) for one in callers] == [[0], [1]]
    trace = joint.requests.trace_of(context)
    assert (trace.calls, trace.keys, trace.coalesced) == (1, 2, 0)


async def test_a_batch_to_an_idle_source_is_sent_at_once(joint: SchedulerHarness) -> None:
    await joint.ask("a")
    await joint.ask("b")

    assert joint.upstream.batches == ["a", "b"]


async def test_keys_gather_in_the_next_batch_while_the_allowed_batches_are_in_flight(
    joint: SchedulerHarness,
) -> None:
    first, second = await joint.ask("a"), await joint.ask("b")
    third, fourth = await joint.ask("cd"), await joint.ask("de")
    assert joint.upstream.batches == ["a", "b"]

    await joint.let_go(1)
    assert joint.upstream.batches == ["a", "b", "cde"]
    assert second.done()
    assert not third.done()
    await joint.let_go(2)

    assert told(third.result()) == [1, 2]
    assert told(fourth.result()) == [2, 3]
    assert not first.done()


async def test_a_gathering_batch_has_each_key_once_and_none_that_is_in_flight(
    joint: SchedulerHarness,
) -> None:
    await joint.ask("ab")
    await joint.ask("c")
    await joint.ask("ad")
    await joint.ask("dbe")

    await joint.let_go(1)

    assert joint.upstream.batches == ["ab", "c", "de"]


async def test_two_identities_never_share_a_call(joint: SchedulerHarness) -> None:
    callers = [
        asyncio.create_task(joint.fetch("a", joint.call(identity=name)))
        for name in ("ann", "bob", "ann")
    ]
    await joint.clock.settle()
    await joint.let_go(0)
    await joint.let_go(1)

    assert joint.upstream.batches == ["a", "a"]
    assert [context.identity for context in joint.upstream.calls] == ["ann", "bob"]
    said = [answer for caller in callers for answer in caller.result()]
    assert [one.identity for one in said if isinstance(one, PersonRecord)] == ["ann", "bob", "ann"]


async def test_batches_of_one_identity_do_not_delay_another_identity(
    joint: SchedulerHarness,
) -> None:
    for key in "abc":
        await joint.ask(key, joint.call(identity="ann"))
    await joint.ask("a", joint.call(identity="bob"))

    assert joint.upstream.batches == ["a", "b", "a"]


async def test_a_shared_call_has_its_own_id_and_lists_its_requests(
    joint: SchedulerHarness,
) -> None:
    for name in ("r1", "r2"):
        await joint.ask("a", joint.call(name))  # so that as many batches as allowed are in flight
        await joint.ask("b", joint.call(name))
    context = replace(joint.call("r3"), trace=TraceContext("trace-3"))
    await joint.ask("c", context)
    await joint.ask("d", joint.call("r4"))
    await joint.let_go(0)

    batch_trace = joint.upstream.calls[-1]
    assert batch_trace.requests == ("r3", "r4")
    assert batch_trace.request_id not in {"", "r3", "r4"}
    assert batch_trace.trace == TraceContext("trace-3")


async def test_a_call_for_one_request_has_the_id_and_trace_of_that_request(
    joint: SchedulerHarness,
) -> None:
    await joint.ask("a", replace(joint.call("r1"), trace=TraceContext("trace-1")))

    (batch_trace,) = joint.upstream.calls
    assert (batch_trace.request_id, batch_trace.trace, batch_trace.requests) == (
        "r1",
        TraceContext("trace-1"),
        (),
    )


async def test_the_other_callers_of_a_shared_call_continue_when_the_first_leaves(
    joint: SchedulerHarness,
) -> None:
    await joint.ask("x")
    await joint.ask("y")
    leader, follower = await joint.ask("a"), await joint.ask("b")

    await joint.cancel(leader)
    await joint.let_go(0)
    await joint.let_go(2)

    assert joint.upstream.batches[2] == "ab"
    assert isinstance(follower.result()[0], PersonRecord)


async def test_keys_whose_caller_left_a_gathering_batch_are_never_sent(
    joint: SchedulerHarness,
) -> None:
    await joint.ask("x")
    await joint.ask("y")
    gone = await joint.ask("a")

    await joint.cancel(gone)
    await joint.let_go(0)
    await joint.let_go(1)
    again = await joint.ask("a")
    await joint.let_go(2)

    assert joint.upstream.batches == ["x", "y", "a"]
    assert again.done()


async def test_the_deadline_of_the_first_caller_does_not_shorten_a_shared_call(
    joint: SchedulerHarness,
) -> None:
    await joint.ask("x")
    await joint.ask("y")
    leader = await joint.ask("a", joint.call(seconds=1.0))
    follower = await joint.ask("b", joint.call(seconds=BUDGET))

    await joint.pass_time(0.75)
    assert told(leader.result()) == [TIMEOUT]
    await joint.let_go(0)
    await joint.pass_time(1.0)
    await joint.let_go(2)

    deadline = joint.upstream.calls[2].deadline
    assert deadline is not None
    assert deadline.at == joint.clock.seconds - 1.0 + BUDGET
    assert isinstance(follower.result()[0], PersonRecord)


async def test_a_caller_with_little_time_makes_a_call_of_its_own(joint: SchedulerHarness) -> None:
    hurried = joint.call(seconds=RESERVE + 0.9 * ATTEMPT - 0.01)
    alone = await joint.ask("a", hurried)
    other = await joint.ask("a")
    shared = await joint.ask("a", joint.call(seconds=RESERVE + 0.1))

    assert joint.upstream.batches == ["a", "a"]
    assert joint.upstream.calls[0].deadline is hurried.deadline
    await joint.let_go(1)
    assert told(shared.result()) == told(other.result()) == [0]
    assert not alone.done()


async def test_a_shared_call_has_no_context_variables_of_a_request(
    joint: SchedulerHarness,
) -> None:
    seen: list[str] = []
    name: ContextVar[str] = ContextVar("name", default="nobody")

    def look(_: UserId) -> Said:
        seen.append(name.get())
        return None

    joint.upstream.says = look
    joint.upstream.held = False
    name.set("r1")
    await joint.ask("a")

    assert seen == ["nobody"]


async def test_closing_the_scheduler_ends_the_callers_of_gathering_batches(
    clock: ManualClock,
) -> None:
    harness = SchedulerHarness(clock, sharing=Sharing.BATCHES)
    async with harness.scheduler:
        callers = [await harness.ask(key) for key in "abcd"]
    await clock.settle()

    assert [told(one.result()) for one in callers] == [[UNAVAILABLE]] * 4
    assert harness.upstream.batches == ["a", "b"]
    assert harness.scheduler.in_flight == 0


@dataclass
class RandomCallers:
    """Random requests, ends of calls, cancellations and delays.

    Attributes:
        harness: The scheduler.
        data: The source of random values.
        callers: The keys, the identity and the task of each caller.
    """

    harness: SchedulerHarness
    data: st.DataObject
    callers: list[tuple[str, str, asyncio.Task[Sequence[Said]]]] = field(
        default_factory=list[tuple[str, str, asyncio.Task[Sequence[Said]]]]
    )

    def ask(self) -> None:
        """Start a caller."""
        keys = "".join(self.data.draw(st.permutations("abcde")))[: self.data.draw(COUNTS)]
        who = self.data.draw(st.sampled_from(["ann", "bob"]))
        seconds = self.data.draw(st.sampled_from([None, 0.3, 1.0, 4.0]))
        context = self.harness.call(identity=who, seconds=seconds)
        work: Coroutine[Any, Any, Sequence[Said]] = self.harness.fetch(keys, context)
        self.callers.append((keys, who, asyncio.create_task(work)))

    def end_calls(self) -> None:
        """End some calls."""
        for number in range(len(self.harness.upstream.calls)):
            if self.data.draw(st.booleans()):
                self.harness.upstream.let_go(number)

    def cancel(self) -> None:
        """Cancel some callers."""
        for _, _, task in self.callers:
            if self.data.draw(st.booleans()):
                task.cancel()

    def pass_time(self) -> None:
        """Let some time pass."""
        self.harness.clock.advance(0.2)

    async def end(self) -> None:
        """End calls until no caller waits."""
        await self.harness.clock.settle()
        while not all(task.done() for _, _, task in self.callers):
            for number in range(len(self.harness.upstream.calls)):
                self.harness.upstream.let_go(number)
            await self.harness.clock.settle()

    def check(self) -> None:
        """Check that each caller got its own records, or failures."""
        for keys, who, task in self.callers:
            if task.cancelled():
                continue
            for key, answer in zip(keys, task.result(), strict=True):
                if isinstance(answer, PersonRecord):
                    assert (answer.id, answer.identity) == (key, who)
                else:
                    assert isinstance(answer, SourceFailure)
                    assert answer.code in {Code.SOURCE_TIMEOUT, Code.SOURCE_UNAVAILABLE}


@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_each_caller_gets_its_own_results_in_any_order_of_events(
    data: st.DataObject,
) -> None:
    harness = SchedulerHarness(ManualClock(), sharing=data.draw(st.sampled_from(Sharing)))
    actions = RandomCallers(harness, data)
    things = [
        actions.ask,
        actions.ask,
        actions.ask,
        actions.end_calls,
        actions.cancel,
        actions.pass_time,
    ]
    async with harness.scheduler:
        for _ in range(data.draw(st.integers(1, 25))):
            data.draw(st.sampled_from(things))()
            if data.draw(st.booleans()):
                await harness.clock.settle()
        await actions.end()
        assert harness.scheduler.in_flight == 0
    actions.check()


async def test_a_full_batch_is_sent_without_more_keys_of_the_same_turn(
    joint: SchedulerHarness,
) -> None:
    callers = [asyncio.create_task(joint.fetch(key, joint.call(key))) for key in "abcdefg"]
    await joint.clock.settle()

    assert joint.upstream.batches == ["abcd", "efg"]
    await joint.let_go(0)
    await joint.let_go(1)
    assert all(caller.done() for caller in callers)


async def test_a_full_batch_waits_while_the_allowed_batches_are_in_flight(
    joint: SchedulerHarness,
) -> None:
    await joint.ask("x")
    await joint.ask("y")
    for key in "abcdef":
        await joint.ask(key)
    assert joint.upstream.batches == ["x", "y"]

    await joint.let_go(0)

    assert joint.upstream.batches == ["x", "y", "abcdef"]


async def flown(harness: SchedulerHarness, seconds: float) -> None:
    """Make as many calls as the scheduler needs to know the speed of the source."""
    for _ in range(WINDOW):
        await harness.ask("x")
        await harness.pass_time(seconds)
        await harness.let_go()
    harness.upstream.batches.clear()


@pytest.mark.parametrize(
    ("seconds", "each", "batches"),
    [
        pytest.param(SLOW_SOURCE_S / 2, "abcdef", ["abcd", "ef"], id="fast source"),
        pytest.param(2 * SLOW_SOURCE_S, "abcdef", ["a", "b"], id="slow source"),
        pytest.param(2 * SLOW_SOURCE_S, ["abcdefgh", "i", "j"], ["abcdefghij"], id="many users"),
    ],
)
async def test_batches_to_a_slow_source_are_smaller(
    joint: SchedulerHarness, seconds: float, each: Sequence[str], batches: list[str]
) -> None:
    await flown(joint, seconds)
    joint.upstream.makes = 0
    await joint.ask("z")  # no call is made for it, which says nothing of the source
    await joint.let_go()
    joint.upstream.batches.clear()

    for keys in each:
        asyncio.create_task(joint.fetch(keys, joint.call(keys)))  # noqa: RUF006
    await joint.clock.settle()

    assert joint.upstream.batches == batches


@pytest.mark.parametrize(
    ("first", "second", "calls"),
    [
        ("xy", "x", [("a", "xy")]),
        ("x", "", [("a", "x")]),
        (None, "x", [("a", None)]),
        ("", "", [("a", "")]),
        ("x", "y", [("a", "x"), ("a", "y")]),
        ("x", "xy", [("a", "x"), ("a", "xy")]),
        ("x", None, [("a", "x"), ("a", None)]),
    ],
)
async def test_a_key_in_flight_is_fetched_again_only_for_missing_fields(
    harness: SchedulerHarness,
    first: str | None,
    second: str | None,
    calls: list[tuple[str, str | None]],
) -> None:
    one = await harness.ask("a", fields=first)
    other = await harness.ask("a", fields=second)
    for number in range(len(calls)):
        await harness.let_go(number)

    assert asked(harness.upstream) == calls
    assert told(one.result()) == [0]
    assert told(other.result()) == [len(calls) - 1]
    assert harness.scheduler.shared == 2 - len(calls)


async def test_missing_fields_are_fetched_together_with_new_keys_in_one_batch(
    harness: SchedulerHarness,
) -> None:
    await harness.ask("ab", fields="xy")
    second = await harness.ask("bc", fields="xz")
    third = await harness.ask("c", fields="z")
    await harness.let_go(0)
    await harness.let_go(1)

    assert asked(harness.upstream) == [("ab", "xy"), ("bc", "xz")]
    assert told(second.result()) == [2, 3]
    assert told(third.result()) == [3]


@pytest.mark.parametrize(
    ("wanted", "fields"), [(["x", "y"], "xy"), (["x", ""], "x"), (["x", None], None)]
)
async def test_a_gathering_batch_has_the_fields_of_all_its_requests(
    clock: ManualClock, wanted: list[str | None], fields: str | None
) -> None:
    harness = SchedulerHarness(clock, Sharing.BATCHES)
    harness.upstream.held = False
    async with harness.scheduler:
        async with asyncio.TaskGroup() as group:
            for key, one in zip("ab", wanted, strict=True):
                some = None if one is None else frozenset(one)
                group.create_task(harness.fetch(key + "c", harness.call(key), fields=some))

        assert asked(harness.upstream) == [("acb", fields)]


@given(
    requests=st.lists(
        st.tuples(st.sampled_from(["a", "b", "ab"]), st.sets(st.sampled_from("xyz"))), max_size=6
    ),
    sharing=st.sampled_from(Sharing),
    turns=st.lists(st.booleans(), min_size=6, max_size=6),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_each_request_waits_for_a_batch_with_its_keys_and_fields(
    clock: ManualClock,
    requests: list[tuple[str, set[str]]],
    sharing: Sharing,
    turns: list[bool],
) -> None:
    harness = SchedulerHarness(clock, sharing)
    async with harness.scheduler:
        pending_batches: list[tuple[frozenset[str], PendingBatch[PersonRecord]]] = []
        for (keys, fields), settles in zip(requests, turns, strict=False):
            wanted = frozenset(fields)
            pending_batches.append(
                (wanted, harness.scheduler.enqueue(ids(keys), harness.call(), fields=wanted))
            )
            if settles:
                await clock.settle()

        for wanted, pending in pending_batches:
            for batch, key in zip(pending.batches, pending.keys, strict=True):
                assert batch.fields is not None
                assert batch.fields >= wanted
                assert key in batch.keys
        assert all(len(set(batch)) == len(batch) for batch in harness.upstream.batches)
