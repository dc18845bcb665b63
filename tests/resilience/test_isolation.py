"""Calls for suspects do not harm calls for other users.

A suspect is a user that is known to be slow or to fail.
"""

import asyncio
from typing import Any

import pytest

from app.errors import Code, SourceFailure
from app.resilience.breaker import BreakerState
from app.resilience.clock import Deadline
from app.resilience.pipeline import ISOLATED_SHARE, Attempt, PipelineResult
from app.settings.resilience import BreakerSettings, RetrySettings
from tests.resilience.script import Answer, failure
from tests.resilience.stage import LIMIT, RESERVE, Guarded

OPENS_SOON = BreakerSettings(min_calls=4, failure_rate=0.5, window=10.0, probes=2, open_for=1.0)

FAILURES = [failure(), failure(retryable=True), failure(Code.SOURCE_TIMEOUT)]


async def run(guarded: Guarded, answer: Answer, **how: Any) -> Answer:  # noqa: ANN401 # flags
    """Make a call that gets its answer at once."""

    async def call(_: float) -> Answer:
        guarded.began.append(guarded.clock.seconds)
        return answer

    deadline = Deadline(guarded.clock.seconds + 60.0, guarded.clock)
    outcome = await guarded.clock.run(
        guarded.pipeline.run(call, limit=LIMIT, deadline=deadline, reserve=RESERVE, **how)
    )
    return outcome.answer


async def call_for_suspect(guarded: Guarded, answer: Answer) -> Answer:
    """Make a call for a suspect that gets its answer at once."""
    return await run(guarded, answer, isolated=True)


@pytest.mark.parametrize("answer", FAILURES)
async def test_failed_calls_for_a_suspect_are_not_retried_and_open_no_breaker(
    answer: SourceFailure,
) -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(budget_share=1.0))
    await guarded.answer("good")
    guarded.began.clear()

    for _ in range(20):
        assert await call_for_suspect(guarded, answer) is answer

    assert guarded.state() is BreakerState.CLOSED
    assert len(guarded.began) == 20


async def test_good_answers_for_a_suspect_do_not_keep_the_breaker_closed() -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0))

    for _ in range(6):
        await call_for_suspect(guarded, "good")
    for _ in range(4):
        await guarded.answer(failure())

    assert guarded.state() is BreakerState.OPEN


async def test_a_divisible_batch_that_fails_does_not_count_but_its_parts_do() -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0))

    for _ in range(20):
        await run(guarded, failure(), divisible=True)
    assert guarded.state() is BreakerState.CLOSED
    for _ in range(4):
        await run(guarded, failure())
    assert guarded.state() is BreakerState.OPEN


async def test_a_divisible_probe_that_fails_opens_the_breaker_again() -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0))
    for _ in range(4):
        await run(guarded, failure())
    guarded.clock.advance(1.0)

    await run(guarded, failure(), divisible=True)

    assert guarded.state() is BreakerState.OPEN


async def test_a_good_call_counts_once_for_each_request_that_shares_it() -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0))

    await run(guarded, "good", requests=5)
    for _ in range(4):
        await run(guarded, failure(), requests=5)
    assert guarded.state() is BreakerState.CLOSED
    await run(guarded, failure())
    assert guarded.state() is BreakerState.OPEN


async def test_a_call_for_a_suspect_is_not_used_as_a_probe() -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0))
    await guarded.answer("good")
    for _ in range(4):
        await guarded.answer(failure())
    assert guarded.state() is BreakerState.OPEN
    guarded.clock.advance(1.0)
    await guarded.answer("good")
    guarded.began.clear()

    answer = await call_for_suspect(guarded, "good")

    assert isinstance(answer, SourceFailure)
    assert answer.code is Code.SOURCE_CIRCUIT_OPEN
    assert guarded.began == []
    await guarded.answer("good")
    assert guarded.state() is BreakerState.CLOSED


async def test_a_call_for_a_suspect_that_waited_is_not_used_as_a_probe() -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0), max_calls=4)
    hangs = asyncio.Event()

    async def hang(_: float) -> Answer:
        await hangs.wait()
        return "good"

    def start_call_for_suspect(call: Attempt[str]) -> asyncio.Task[PipelineResult[str]]:
        deadline = Deadline(guarded.clock.seconds + 60.0, guarded.clock)
        return asyncio.create_task(
            guarded.pipeline.run(
                call, limit=LIMIT, deadline=deadline, reserve=RESERVE, isolated=True
            )
        )

    running = start_call_for_suspect(hang)
    await guarded.clock.settle()
    waiting = start_call_for_suspect(guarded.attempt(guarded.clock.seconds + 60.0))
    await guarded.clock.settle()
    for _ in range(4):
        await guarded.answer(failure())
    guarded.clock.advance(1.0)
    guarded.began.clear()

    hangs.set()
    answers = [(await guarded.clock.run(one)).answer for one in (running, waiting)]

    assert answers[0] == "good"
    assert isinstance(answers[1], SourceFailure)
    assert answers[1].code is Code.SOURCE_CIRCUIT_OPEN
    assert guarded.began == []
    assert guarded.state() is BreakerState.OPEN


@pytest.mark.parametrize(("max_calls", "most"), [(1, 1), (2 * ISOLATED_SHARE, 2), (64, 16)])
async def test_suspects_have_a_share_of_the_slots_and_do_not_delay_others(
    max_calls: int, most: int
) -> None:
    guarded = Guarded(max_calls=max_calls, max_waiting_calls=100)
    await guarded.answer("good")
    running = 0

    async def hang(_: float) -> Answer:
        nonlocal running
        running += 1
        await guarded.clock.sleep(LIMIT)
        running -= 1
        return failure(Code.SOURCE_TIMEOUT)

    deadline = Deadline(guarded.clock.seconds + 60.0, guarded.clock)
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(
                guarded.pipeline.run(
                    hang, limit=LIMIT, deadline=deadline, reserve=RESERVE, isolated=True
                )
            )
        await guarded.clock.settle()
        assert running == most
        assert guarded.pipeline.congested is False
        if max_calls > 1:
            began = guarded.clock.seconds
            assert (await guarded.answer("good")).answer == "good"
            assert guarded.clock.seconds == began
        await guarded.clock.run(asyncio.sleep(0))
        while running:
            guarded.clock.advance(LIMIT)
            await guarded.clock.settle()


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (2 * ISOLATED_SHARE, 2)])
async def test_suspects_have_a_share_of_the_slots_of_an_endpoint(limit: int, most: int) -> None:
    guarded = Guarded(max_calls=64)
    endpoint = guarded.pipeline.endpoint_bulkhead(limit)
    running = 0

    async def hang(_: float) -> Answer:
        nonlocal running
        running += 1
        await guarded.clock.sleep(LIMIT)
        running -= 1
        return failure(Code.SOURCE_TIMEOUT)

    async def answer(_: float) -> Answer:
        return "good"

    async def ask(call: Attempt[str], *, isolated: bool) -> Answer:
        deadline = Deadline(guarded.clock.seconds + 60.0, guarded.clock)
        result = await guarded.pipeline.run(
            call,
            limit=LIMIT,
            deadline=deadline,
            reserve=RESERVE,
            isolated=isolated,
            inner=endpoint,
        )
        return result.answer

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(ask(hang, isolated=True))
        await guarded.clock.settle()
        assert running == most
        assert endpoint.calls.waiting == 0
        if limit > most:
            began = guarded.clock.seconds
            assert await guarded.clock.run(ask(answer, isolated=False)) == "good"
            assert guarded.clock.seconds == began
        while running:
            guarded.clock.advance(LIMIT)
            await guarded.clock.settle()
