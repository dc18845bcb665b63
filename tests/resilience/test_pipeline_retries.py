"""Retries in the pipeline."""

import asyncio
from itertools import pairwise

import pytest

from app.errors import Code
from app.resilience.breaker import BreakerState
from app.resilience.clock import Deadline
from app.resilience.pipeline import PipelineResult
from app.settings.resilience import BreakerSettings, PacingSettings, RetrySettings
from tests.resilience.script import Answer, failure
from tests.resilience.stage import (
    LIMIT,
    NEVER_OPENS,
    NO_PACING,
    OPENS_AT_ONCE,
    SOURCE_CODES,
    Guarded,
)


@pytest.mark.parametrize("code", SOURCE_CODES)
@pytest.mark.parametrize(("retryable", "attempts"), [(True, 3), (False, 1)])
async def test_only_retryable_failures_are_retried(
    code: Code, attempts: int, *, retryable: bool
) -> None:
    retry = RetrySettings(max_retries=2)
    guarded = Guarded(retry=retry, breaker=NEVER_OPENS, pacing=NO_PACING)
    failed = failure(code, retryable=retryable)

    outcome = await guarded.answer(failed)

    assert outcome == PipelineResult(failed, attempts)
    assert len(guarded.began) == attempts


async def test_the_answer_of_a_good_retry_is_returned() -> None:
    guarded = Guarded()

    outcome = await guarded.answer(failure(retryable=True), "good")

    assert outcome == PipelineResult("good", 2)


async def test_the_first_failure_is_returned_when_the_breaker_stops_the_retry() -> None:
    opens_soon = BreakerSettings(min_calls=4, open_for=30.0)
    guarded = Guarded(breaker=opens_soon, pacing=NO_PACING)
    answers: list[Answer] = [failure(Code.SOURCE_TIMEOUT, retryable=True)]
    made: list[float] = []

    async def fail(_: float) -> Answer:
        made.append(guarded.clock.seconds)
        return answers[0]

    def ask() -> asyncio.Task[PipelineResult[str]]:
        end = Deadline(guarded.clock.seconds + 60.0, guarded.clock)
        return asyncio.create_task(guarded.pipeline.run(fail, limit=LIMIT, deadline=end, reserve=0))

    retried = ask()
    await guarded.clock.settle()
    answers[0] = failure(Code.SOURCE_UNAVAILABLE)
    for _ in range(3):
        await ask()
    assert guarded.state() is BreakerState.OPEN
    outcome = await guarded.clock.run(retried)

    assert outcome == PipelineResult(failure(Code.SOURCE_TIMEOUT, retryable=True), 1)
    assert len(made) == 4


async def test_a_failure_that_is_not_retryable_ends_the_retries() -> None:
    guarded = Guarded(retry=RetrySettings(max_retries=5))

    outcome = await guarded.answer(failure(retryable=True), failure(Code.SOURCE_REJECTED))

    assert outcome == PipelineResult(failure(Code.SOURCE_REJECTED), 2)


@pytest.mark.parametrize(
    ("luck", "waits"),
    [
        (0.0, [0.0, 0.0, 0.0, 0.0]),
        (0.5, [0.05, 0.1, 0.2, 0.25]),
        (0.999, [0.0999, 0.1998, 0.3996, 0.4995]),
    ],
)
async def test_the_waits_before_retries_grow_and_vary(luck: float, waits: list[float]) -> None:
    retry = RetrySettings(max_retries=4, base_delay=0.1, max_delay=0.5, budget_minimum=10)
    guarded = Guarded(luck=luck, retry=retry)

    await guarded.answer(failure(retryable=True))

    began = guarded.began
    assert [b - a for a, b in pairwise(began)] == pytest.approx(waits)


@pytest.mark.parametrize("paced", [True, False])
@pytest.mark.parametrize(("retry_after", "waited"), [(0.0, 0.1), (0.1, 0.1), (3.0, 3.0)])
async def test_a_retry_waits_for_its_retry_after_and_at_least_for_base_delay(
    retry_after: float, waited: float, *, paced: bool
) -> None:
    pacing = PacingSettings(enabled=paced)
    guarded = Guarded(retry=RetrySettings(base_delay=0.1), pacing=pacing, luck=0.0)
    failed = failure(Code.SOURCE_OVERLOADED, retryable=True, retry_after=retry_after)

    await guarded.answer(failed, "good")

    assert guarded.began == pytest.approx([1000.0, 1000.0 + waited])


@pytest.mark.parametrize("retry_after", [4.875, 5.0, 1e9, float("inf")])
async def test_a_call_is_not_retried_when_the_wait_exceeds_the_deadline(retry_after: float) -> None:
    guarded = Guarded()
    failed = failure(Code.SOURCE_OVERLOADED, retryable=True, retry_after=retry_after)

    outcome = await guarded.answer(failed, "good", seconds=5.0)

    assert outcome == PipelineResult(failed, 1)
    assert guarded.clock.seconds == 1000.0
    assert guarded.pipeline.take_extra_calls()


@pytest.mark.parametrize(
    ("share", "minimum", "retries"), [(0.1, 0, 10), (0.1, 3, 13), (0.0, 0, 0), (1.0, 0, 100)]
)
async def test_the_budget_limits_retries_to_a_share_of_the_calls(
    share: float, minimum: int, retries: int
) -> None:
    retry = RetrySettings(budget_share=share, budget_minimum=minimum, budget_window=3600.0)
    guarded = Guarded(luck=0.0, retry=retry, breaker=NEVER_OPENS)

    for _ in range(100):
        await guarded.answer(failure(retryable=True))

    assert len(guarded.began) == 100 + retries


async def test_retries_by_a_caller_use_the_same_budget() -> None:
    guarded = Guarded(retry=RetrySettings(budget_share=0.0, budget_minimum=2))

    assert guarded.pipeline.take_extra_calls()
    outcome = await guarded.answer(failure(retryable=True))

    assert outcome.attempts == 2
    assert not guarded.pipeline.take_extra_calls()


async def test_calls_that_were_not_made_add_nothing_to_the_budget() -> None:
    retry = RetrySettings(budget_share=0.1, budget_minimum=0, budget_window=3600.0)
    guarded = Guarded(retry=retry, breaker=OPENS_AT_ONCE)
    await guarded.answer(failure())

    for _ in range(100):
        assert (await guarded.answer("good")).attempts == 0

    assert not guarded.pipeline.take_extra_calls()


async def test_a_caller_cancelled_before_its_retry_makes_no_other_call() -> None:
    guarded = Guarded(retry=RetrySettings(base_delay=1.0))
    await guarded.arrive()
    guarded.service.end(failure(retryable=True))
    await guarded.clock.settle()

    guarded.scene.cancel(0)
    guarded.clock.advance(60.0)
    await guarded.end()

    assert guarded.service.made == 1
