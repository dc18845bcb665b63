"""Overdue and failed batches are divided, and their users are suspects for some time."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from app.settings.resilience import CoalesceSettings
from app.sources.base import UserId
from app.sources.batch_scheduler import Sharing
from tests.clock import ManualClock
from tests.sources.scheduler import SETTINGS, SchedulerHarness, asked
from tests.sources.upstream import PersonRecord, Said, failure, told

OVERDUE = 1.0
"""Seconds until a batch of a few users is overdue."""

HURRIED = SETTINGS.model_copy(
    update={"coalesce": CoalesceSettings(max_batches=1, max_wait=OVERDUE)}
)


def hurried(clock: ManualClock) -> SchedulerHarness:
    """Make a scheduler whose batches are overdue after a short time."""
    return SchedulerHarness(clock, Sharing.BATCHES, limits=HURRIED)


async def ask_at_once(
    harness: SchedulerHarness, *each: str, fields: str | None = None
) -> list[asyncio.Task[Sequence[Said]]]:
    """Start several requests in the same turn, so that one batch has all their users."""
    some = None if fields is None else frozenset(fields)
    tasks = [
        asyncio.create_task(harness.fetch(keys, harness.call(keys), fields=some)) for keys in each
    ]
    await harness.clock.settle()
    return tasks


async def let_all_go(harness: SchedulerHarness) -> None:
    """End all calls that were made so far."""
    for number in range(len(harness.upstream.batches)):
        await harness.let_go(number)


async def test_a_user_with_other_fields_is_fetched_once_after_a_batch_is_divided(
    clock: ManualClock,
) -> None:
    harness = hurried(clock)
    async with harness.scheduler:
        await ask_at_once(harness, "a", "b", fields="x")
        await harness.pass_time(0.5)
        early = await harness.ask("a", fields="y")
        await harness.pass_time(0.5)
        late = await harness.ask("a", fields="y")
        await harness.pass_time(0.5)

        assert asked(harness.upstream) == [("ab", "x"), ("a", "x"), ("b", "x"), ("a", "y")]
        await let_all_go(harness)
        assert told(early.result()) == told(late.result())


async def test_a_divided_call_is_counted_in_the_trace_of_its_first_request(
    clock: ManualClock,
) -> None:
    harness = SchedulerHarness(clock, Sharing.BATCHES)
    answers: list[Said] = [failure()] * 2

    def answer(key: UserId) -> Said:
        return answers.pop() if answers else PersonRecord(id=key)

    harness.upstream.says = answer
    async with harness.scheduler:
        await ask_at_once(harness, "a", "b")
        await harness.let_go()
        await let_all_go(harness)

    assert harness.upstream.batches == ["ab", "a", "b"]
    traces = {one.request_id: trace for one, trace in harness.requests.traces}
    assert [(traces[one].calls, traces[one].attempts) for one in "ab"] == [(2, 6), (1, 3)]
    assert [traces[one].coalesced for one in "ab"] == [0, 0]


async def test_an_overdue_call_that_ends_later_is_counted_in_the_trace_of_its_first_request(
    clock: ManualClock,
) -> None:
    harness = hurried(clock)
    async with harness.scheduler:
        await ask_at_once(harness, "a", "b", "ab")  # the last one stays: it wants all users
        await harness.pass_time(OVERDUE)
        await let_all_go(harness)

    assert harness.upstream.batches == ["ab", "a", "b"]
    traces = {one.request_id: trace for one, trace in harness.requests.traces}
    assert [traces[keys].calls for keys in ("a", "b", "ab")] == [2, 1, 0]


async def test_a_batch_is_not_divided_after_a_failure_with_retry_after(
    clock: ManualClock,
) -> None:
    harness = SchedulerHarness(clock, Sharing.BATCHES)
    harness.upstream.says = lambda _: replace(failure(), retry_after=3.0)
    async with harness.scheduler:
        callers = await ask_at_once(harness, "a", "b")
        await harness.let_go()

        assert [told(one.result()) for one in callers] == [["SOURCE_UNAVAILABLE"]] * 2
    assert harness.upstream.batches == ["ab"]


async def test_no_batch_is_divided_while_calls_wait_to_be_sent(
    clock: ManualClock,
) -> None:
    harness = hurried(clock)
    harness.congested = True
    async with harness.scheduler:
        await ask_at_once(harness, "a", "b")
        await harness.pass_time(1.5 * OVERDUE)
        assert harness.upstream.batches == ["ab"]

        harness.congested = False
        await harness.pass_time(0.5 * OVERDUE)

        assert harness.upstream.batches == ["ab", "a", "b"]
        await let_all_go(harness)


async def test_a_batch_of_several_calls_is_overdue_later(clock: ManualClock) -> None:
    harness = hurried(clock)
    assert harness.limits.max_keys == 7
    async with harness.scheduler:
        await ask_at_once(harness, "abcd", "efgh")
        await harness.pass_time(1.5 * OVERDUE)
        assert harness.upstream.batches == ["abcdefgh"]

        await harness.pass_time(0.5 * OVERDUE)

        assert harness.upstream.batches == ["abcdefgh", "abcd", "efgh"]
        await let_all_go(harness)


async def test_the_parts_of_a_divided_background_batch_continue_without_a_caller(
    clock: ManualClock,
) -> None:
    harness = hurried(clock)
    async with harness.scheduler:
        caller = await harness.ask("a", behind="b")
        await harness.pass_time(OVERDUE)
        assert harness.upstream.batches == ["ab", "a"]

        await harness.cancel(caller)

        assert harness.upstream.cancelled == []
        await let_all_go(harness)


@pytest.mark.parametrize(
    ("congested", "after"), [(False, ["a", "b"]), (True, ["ab"])], ids=["slow", "not sent yet"]
)
async def test_users_of_an_overdue_batch_are_separated_unless_its_calls_only_waited(
    clock: ManualClock, after: list[str], *, congested: bool
) -> None:
    harness = hurried(clock)
    async with harness.scheduler:
        await harness.ask("ab")
        await harness.pass_time(OVERDUE)
        harness.congested = congested
        await harness.let_go()
        harness.congested = False
        await harness.pass_time(0.1)
        await harness.ask("c")
        await harness.let_go()
        harness.upstream.batches.clear()

        await harness.ask("ab")

        assert harness.upstream.batches == after
        for number in range(2, 2 + len(after)):
            await harness.let_go(number)


async def test_a_suspect_is_isolated_only_while_others_were_answered_lately(
    clock: ManualClock,
) -> None:
    harness = SchedulerHarness(clock, Sharing.BATCHES)
    harness.upstream.held = False
    harness.upstream.says = lambda key: failure() if key == "a" else PersonRecord(id=key)
    async with harness.scheduler:
        await harness.ask("a")
        await harness.pass_time(1.0)
        await harness.ask("b")
        await harness.ask("a")
        await harness.pass_time(harness.limits.breaker.window)
        await harness.ask("a")

    assert [context.isolated for context in harness.upstream.calls] == [False, False, True, False]
