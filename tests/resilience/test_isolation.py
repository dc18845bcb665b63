"""Calls about users who are known to be slow or to fail harm no calls about others."""

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
    """Make a call that is answered at once."""

    async def call(_: float) -> Answer:
        guarded.began.append(guarded.clock.seconds)
        return answer

    deadline = Deadline(guarded.clock.seconds + 60.0, guarded.clock)
    outcome = await guarded.clock.run(
        guarded.guard.run(call, limit=LIMIT, deadline=deadline, reserve=RESERVE, **how)
    )
    return outcome.answer


async def ask_about_suspect(guarded: Guarded, answer: Answer) -> Answer:
    """Ask about a user who is known to be slow or to fail, and answer at once."""
    return await run(guarded, answer, isolated=True)


@pytest.mark.parametrize("answer", FAILURES)
async def test_while_others_are_answered_a_suspect_opens_no_circuit_and_is_asked_once(
    answer: SourceFailure,
) -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(budget_share=1.0))
    await guarded.answer("good")
    guarded.began.clear()

    for _ in range(20):
        assert await ask_about_suspect(guarded, answer) is answer

    assert guarded.state() is BreakerState.CLOSED
    assert len(guarded.began) == 20


async def test_good_answers_about_a_suspect_keep_no_circuit_closed() -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0))

    for _ in range(6):
        await ask_about_suspect(guarded, "good")
    for _ in range(4):
        await guarded.answer(failure())

    assert guarded.state() is BreakerState.OPEN


async def test_a_batch_that_is_divided_if_it_fails_does_not_count_and_its_parts_do() -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0))

    for _ in range(20):
        await run(guarded, failure(), divisible=True)
    assert guarded.state() is BreakerState.CLOSED
    for _ in range(4):
        await run(guarded, failure())
    assert guarded.state() is BreakerState.OPEN


async def test_a_divided_probe_that_fails_opens_the_circuit_again() -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0))
    for _ in range(4):
        await run(guarded, failure())
    guarded.clock.advance(1.0)

    await run(guarded, failure(), divisible=True)

    assert guarded.state() is BreakerState.OPEN


async def test_a_call_that_succeeds_counts_as_often_as_requests_share_it() -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0))

    await run(guarded, "good", requests=5)
    for _ in range(4):
        await run(guarded, failure(), requests=5)
    assert guarded.state() is BreakerState.CLOSED
    await run(guarded, failure())
    assert guarded.state() is BreakerState.OPEN


async def test_a_suspect_is_no_probe() -> None:
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0))
    await guarded.answer("good")
    for _ in range(4):
        await guarded.answer(failure())
    assert guarded.state() is BreakerState.OPEN
    guarded.clock.advance(1.0)
    await guarded.answer("good")
    guarded.began.clear()

    answer = await ask_about_suspect(guarded, "good")

    assert isinstance(answer, SourceFailure)
    assert answer.code is Code.SOURCE_CIRCUIT_OPEN
    assert guarded.began == []
    await guarded.answer("good")
    assert guarded.state() is BreakerState.CLOSED


async def test_a_suspect_that_waited_for_a_place_until_the_circuit_may_be_probed_is_no_probe() -> (
    None
):
    guarded = Guarded(breaker=OPENS_SOON, retry=RetrySettings(max_retries=0), max_calls=4)
    hangs = asyncio.Event()

    async def hang(_: float) -> Answer:
        await hangs.wait()
        return "good"

    def ask_about_another(call: Attempt[str]) -> asyncio.Task[PipelineResult[str]]:
        deadline = Deadline(guarded.clock.seconds + 60.0, guarded.clock)
        return asyncio.create_task(
            guarded.guard.run(call, limit=LIMIT, deadline=deadline, reserve=RESERVE, isolated=True)
        )

    running = ask_about_another(hang)
    await guarded.clock.settle()
    waiting = ask_about_another(guarded.attempt(guarded.clock.seconds + 60.0))
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
async def test_suspects_have_a_share_of_the_places_and_nobody_else_waits_for_them(
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
                guarded.guard.run(
                    hang, limit=LIMIT, deadline=deadline, reserve=RESERVE, isolated=True
                )
            )
        await guarded.clock.settle()
        assert running == most
        assert guarded.guard.congested is False
        if max_calls > 1:
            began = guarded.clock.seconds
            assert (await guarded.answer("good")).answer == "good"
            assert guarded.clock.seconds == began
        await guarded.clock.run(asyncio.sleep(0))
        while running:
            guarded.clock.advance(LIMIT)
            await guarded.clock.settle()


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (2 * ISOLATED_SHARE, 2)])
async def test_suspects_have_a_share_of_the_places_of_an_endpoint_too(
    limit: int, most: int
) -> None:
    guarded = Guarded(max_calls=64)
    endpoint = guarded.guard.endpoint_bulkhead(limit)
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
        result = await guarded.guard.run(
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
