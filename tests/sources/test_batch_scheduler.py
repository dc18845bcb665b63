"""Whom a source is being asked about, no other request asks about again."""

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
    """Give batches; nothing is left of them at the end, and nobody but the log was told of it."""
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


async def test_users_who_are_asked_about_already_are_not_asked_about_again(
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
async def test_nothing_is_kept_of_an_identity_that_has_no_batches(
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


async def test_what_has_landed_is_asked_about_again(harness: SchedulerHarness) -> None:
    harness.upstream.held = False

    await harness.ask("a")
    again = await harness.ask("a")

    assert harness.upstream.batches == ["a", "a"]
    assert told(again.result()) == [1]


async def test_two_identities_never_share_a_batch(harness: SchedulerHarness) -> None:
    ann = await harness.ask("a", harness.call(identity="ann"))
    bob = await harness.ask("a", harness.call(identity="bob"))
    await harness.let_go(0)
    await harness.let_go(1)

    (for_ann,), (for_bob,) = ann.result(), bob.result()
    assert isinstance(for_ann, PersonRecord)
    assert isinstance(for_bob, PersonRecord)
    assert (for_ann.identity, for_bob.identity) == ("ann", "bob")
    assert harness.scheduler.shared == 0


async def test_a_batch_has_time_and_a_trace_of_its_own_and_the_rest_of_who_began_it(
    harness: SchedulerHarness,
) -> None:
    context = harness.call("r1", identity="ann", seconds=1.0)

    await harness.ask("a", context)

    (batch_trace,) = harness.upstream.calls
    assert (batch_trace.request_id, batch_trace.identity) == ("r1", "ann")
    assert batch_trace.deadline is not None
    assert batch_trace.deadline.remaining == BUDGET


async def test_who_comes_later_gets_the_answer_though_the_first_was_cancelled(
    harness: SchedulerHarness,
) -> None:
    first = await harness.ask("a")
    second = await harness.ask("a")

    await harness.cancel(first)
    await harness.let_go()

    assert told(second.result()) == [0]
    assert harness.upstream.batches == ["a"]


async def test_a_caller_waits_until_its_deadline_less_the_reserve_and_the_others_go_on(
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


async def test_a_caller_gets_what_has_come_in_its_time(harness: SchedulerHarness) -> None:
    other = await harness.ask("a")
    caller = await harness.ask("ab", harness.call(seconds=1.0))

    await harness.let_go(0)
    await harness.pass_time(0.75)

    assert told(caller.result()) == [0, TIMEOUT]
    assert other.done()


async def test_when_the_last_who_waits_has_gone_the_batch_is_called_off(
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


async def test_whoever_comes_in_the_moment_of_calling_off_gets_a_batch_of_their_own(
    harness: SchedulerHarness,
) -> None:
    first = await harness.ask("a")
    first.cancel()
    await asyncio.sleep(0)  # the first has gone, but its batch has not heard of it

    second = await harness.ask("a")
    await harness.let_go()

    assert told(second.result()) == [0]
    assert harness.upstream.batches == ["a", "a"]


async def test_who_has_no_time_left_does_not_call(harness: SchedulerHarness) -> None:
    caller = await harness.ask("a", harness.call(seconds=RESERVE))

    assert told(caller.result()) == [TIMEOUT]
    assert harness.upstream.batches == []


async def test_nobody_waits_for_what_is_wanted_behind_and_it_goes_on(
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


async def test_what_is_waited_for_and_what_is_wanted_behind_go_in_one_call(
    harness: SchedulerHarness,
) -> None:
    caller = await harness.ask("ab", behind="c")

    await harness.let_go()

    assert harness.upstream.batches == ["abc"]
    assert told(caller.result()) == [0, 1]


async def test_a_batch_whose_source_forgets_the_time_ends_with_its_budget(
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


async def test_everybody_on_a_batch_waits_only_as_long_as_they_can(
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
    """An upstream that does not let itself be ended before it wants to."""

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


async def test_a_source_that_does_not_let_go_keeps_nobody_longer_than_they_can_wait(
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


async def test_a_bug_in_a_source_is_raised_to_everybody_and_leaves_nothing_in_flight(
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


async def test_a_bug_behind_everybodys_back_is_logged(harness: SchedulerHarness) -> None:
    harness.upstream.error = SourceBugError()

    await harness.ask("", behind="a")
    await harness.let_go()

    (event,) = harness.events()
    assert (event["event"], event["source"]) == ("source.batch_failed", NAME)
    assert "BugError" in event["exception"]
    assert harness.scheduler.in_flight == 0


async def test_too_few_answers_are_a_bug_and_nobody_gets_those_of_others(
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


async def test_a_batch_that_is_cancelled_from_within_settles_everybody(
    harness: SchedulerHarness,
) -> None:
    harness.upstream.error = asyncio.CancelledError()
    context = harness.call()
    first = await harness.ask("a", context)
    second = await harness.ask("a")

    await harness.let_go()

    assert told(first.result()) == told(second.result()) == [UNAVAILABLE]
    assert harness.requests.trace_of(context).code is Code.SOURCE_UNAVAILABLE


async def test_leaving_calls_every_batch_off_and_settles_everybody(clock: ManualClock) -> None:
    harness = SchedulerHarness(clock)
    async with harness.scheduler:
        caller = await harness.ask("a", behind="b")
        late = asyncio.create_task(harness.fetch("c", harness.call()))
        await asyncio.sleep(0)  # its batch has not begun to fly
    await clock.settle()

    assert told(caller.result()) == told(await late) == [UNAVAILABLE]
    assert harness.upstream.cancelled == [0]
    assert harness.scheduler.in_flight == 0
    after = await harness.ask("a")
    assert told(after.result()) == [UNAVAILABLE]
    assert harness.upstream.batches == ["ab"]


async def test_the_trace_of_who_began_has_the_calls_and_those_who_share_have_none(
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
async def test_the_trace_of_a_request_with_several_batches_ends_with_the_last_of_them(
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


async def test_the_trace_of_who_ran_out_of_time_says_so(harness: SchedulerHarness) -> None:
    context = harness.call(seconds=1.0)
    began = harness.clock.seconds

    await harness.ask("a", context)
    await harness.pass_time(0.75)

    assert harness.requests.sums_of(context) == SourceTrace(
        keys=1, started=began, ended=began + 0.75, code=Code.SOURCE_TIMEOUT
    )


async def test_a_trace_adds_up_what_a_request_had_of_several_batches(
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
    """Give batches that requests share whole."""
    harness = SchedulerHarness(clock, sharing=Sharing.BATCHES)
    async with harness.scheduler:
        yield harness


async def test_requests_of_the_same_turn_of_the_loop_go_in_one_call(
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


async def test_a_request_that_adds_keys_to_its_own_batch_has_its_call_once(
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


async def test_where_the_source_is_idle_nobody_waits(joint: SchedulerHarness) -> None:
    await joint.ask("a")
    await joint.ask("b")

    assert joint.upstream.batches == ["a", "b"]


async def test_while_as_many_are_in_flight_as_may_be_the_next_gathers(
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


async def test_what_gathers_is_taken_on_once_and_what_is_in_flight_not_again(
    joint: SchedulerHarness,
) -> None:
    await joint.ask("ab")
    await joint.ask("c")
    await joint.ask("ad")
    await joint.ask("dbe")

    await joint.let_go(1)

    assert joint.upstream.batches == ["ab", "c", "de"]


async def test_two_identities_never_go_in_one_call(joint: SchedulerHarness) -> None:
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


async def test_one_identity_waits_for_no_other(joint: SchedulerHarness) -> None:
    for key in "abc":
        await joint.ask(key, joint.call(identity="ann"))
    await joint.ask("a", joint.call(identity="bob"))

    assert joint.upstream.batches == ["a", "b", "a"]


async def test_a_joined_call_has_an_id_of_its_own_and_names_its_requests(
    joint: SchedulerHarness,
) -> None:
    for name in ("r1", "r2"):
        await joint.ask("a", joint.call(name))  # to have the air full
        await joint.ask("b", joint.call(name))
    context = replace(joint.call("r3"), trace=TraceContext("trace-3"))
    await joint.ask("c", context)
    await joint.ask("d", joint.call("r4"))
    await joint.let_go(0)

    batch_trace = joint.upstream.calls[-1]
    assert batch_trace.requests == ("r3", "r4")
    assert batch_trace.request_id not in {"", "r3", "r4"}
    assert batch_trace.trace == TraceContext("trace-3")


async def test_a_call_for_one_request_is_that_request_s(joint: SchedulerHarness) -> None:
    await joint.ask("a", replace(joint.call("r1"), trace=TraceContext("trace-1")))

    (batch_trace,) = joint.upstream.calls
    assert (batch_trace.request_id, batch_trace.trace, batch_trace.requests) == (
        "r1",
        TraceContext("trace-1"),
        (),
    )


async def test_who_began_a_joint_call_can_go_and_the_others_get_theirs(
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


async def test_what_gathered_and_nobody_wants_any_more_never_leaves(
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


async def test_the_deadline_of_who_began_does_not_shorten_the_call_of_the_others(
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


async def test_who_is_in_a_hurry_flies_alone_and_nobody_joins(joint: SchedulerHarness) -> None:
    hurried = joint.call(seconds=RESERVE + 0.9 * ATTEMPT - 0.01)
    alone = await joint.ask("a", hurried)
    other = await joint.ask("a")
    shared = await joint.ask("a", joint.call(seconds=RESERVE + 0.1))

    assert joint.upstream.batches == ["a", "a"]
    assert joint.upstream.calls[0].deadline is hurried.deadline
    await joint.let_go(1)
    assert told(shared.result()) == told(other.result()) == [0]
    assert not alone.done()


async def test_a_shared_call_sees_nothing_of_the_context_of_a_request(
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


async def test_leaving_settles_who_still_gathers(clock: ManualClock) -> None:
    harness = SchedulerHarness(clock, sharing=Sharing.BATCHES)
    async with harness.scheduler:
        callers = [await harness.ask(key) for key in "abcd"]
    await clock.settle()

    assert [told(one.result()) for one in callers] == [[UNAVAILABLE]] * 4
    assert harness.upstream.batches == ["a", "b"]
    assert harness.scheduler.in_flight == 0


@dataclass
class RandomCallers:
    """Random requests, landings, departures and cancellations.

    Attributes:
        harness: Where they are.
        data: Where the chance comes from.
        callers: Who has asked about whom, and for whom.
    """

    harness: SchedulerHarness
    data: st.DataObject
    callers: list[tuple[str, str, asyncio.Task[Sequence[Said]]]] = field(
        default_factory=list[tuple[str, str, asyncio.Task[Sequence[Said]]]]
    )

    def ask(self) -> None:
        """Have somebody ask."""
        keys = "".join(self.data.draw(st.permutations("abcde")))[: self.data.draw(COUNTS)]
        who = self.data.draw(st.sampled_from(["ann", "bob"]))
        seconds = self.data.draw(st.sampled_from([None, 0.3, 1.0, 4.0]))
        context = self.harness.call(identity=who, seconds=seconds)
        work: Coroutine[Any, Any, Sequence[Said]] = self.harness.fetch(keys, context)
        self.callers.append((keys, who, asyncio.create_task(work)))

    def end_calls(self) -> None:
        """Let some calls end."""
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
        """Let all calls end until nobody waits."""
        await self.harness.clock.settle()
        while not all(task.done() for _, _, task in self.callers):
            for number in range(len(self.harness.upstream.calls)):
                self.harness.upstream.let_go(number)
            await self.harness.clock.settle()

    def check(self) -> None:
        """Hold that everybody got what is theirs, or a failure to get it."""
        for keys, who, task in self.callers:
            for key, answer in zip(keys, () if task.cancelled() else task.result(), strict=False):
                if isinstance(answer, PersonRecord):
                    assert (answer.id, answer.identity) == (key, who)
                else:
                    assert isinstance(answer, SourceFailure)
                    assert answer.code in {Code.SOURCE_TIMEOUT, Code.SOURCE_UNAVAILABLE}


@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_whatever_happens_everybody_gets_their_own_and_nothing_is_left(
    data: st.DataObject,
) -> None:
    harness = SchedulerHarness(ManualClock(), sharing=data.draw(st.sampled_from(Sharing)))
    bustle = RandomCallers(harness, data)
    things = [bustle.ask, bustle.ask, bustle.ask, bustle.end_calls, bustle.cancel, bustle.pass_time]
    async with harness.scheduler:
        for _ in range(data.draw(st.integers(1, 25))):
            data.draw(st.sampled_from(things))()
            if data.draw(st.booleans()):
                await harness.clock.settle()
        await bustle.end()
        assert harness.scheduler.in_flight == 0
    bustle.check()


async def test_a_full_batch_waits_for_no_more_of_the_same_turn(joint: SchedulerHarness) -> None:
    callers = [asyncio.create_task(joint.fetch(key, joint.call(key))) for key in "abcdefg"]
    await joint.clock.settle()

    assert joint.upstream.batches == ["abcd", "efg"]
    await joint.let_go(0)
    await joint.let_go(1)
    assert all(caller.done() for caller in callers)


async def test_a_full_batch_waits_for_room_as_any_other(joint: SchedulerHarness) -> None:
    await joint.ask("x")
    await joint.ask("y")
    for key in "abcdef":
        await joint.ask(key)
    assert joint.upstream.batches == ["x", "y"]

    await joint.let_go(0)

    assert joint.upstream.batches == ["x", "y", "abcdef"]


async def flown(harness: SchedulerHarness, seconds: float) -> None:
    """Have enough calls made that it is known how long the source takes."""
    for _ in range(WINDOW):
        await harness.ask("x")
        await harness.pass_time(seconds)
        await harness.let_go()
    harness.upstream.batches.clear()


@pytest.mark.parametrize(
    ("seconds", "each", "batches"),
    [
        pytest.param(SLOW_SOURCE_S / 2, "abcdef", ["abcd", "ef"], id="it answers at once"),
        pytest.param(2 * SLOW_SOURCE_S, "abcdef", ["a", "b"], id="it takes its time"),
        pytest.param(2 * SLOW_SOURCE_S, ["abcdefgh", "i", "j"], ["abcdefghij"], id="many users"),
    ],
)
async def test_batches_to_a_source_that_takes_its_time_are_smaller(
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
async def test_a_user_in_flight_is_asked_about_again_only_for_fields_that_the_batch_lacks(
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


async def test_fields_that_a_batch_lacks_are_asked_of_the_users_it_has_and_of_no_others(
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
async def test_a_batch_that_gathers_takes_on_the_fields_of_all(
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
async def test_everybody_waits_for_a_batch_that_asks_for_what_they_want(
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
