"""The report of a call: its attempts, and the waits before them."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Code, SourceFailure
from app.resilience.pipeline import PipelineResult
from app.resilience.steps import StepKind
from app.settings.resilience import BreakerSettings, RetrySettings
from tests.resilience.script import Answer, Arrive, End, PassTime, Turns, failure
from tests.resilience.stage import Guarded

NEVER_OPENS = BreakerSettings(min_calls=100_000)
ATTEMPT, BACKOFF = StepKind.ATTEMPT, StepKind.BACKOFF


def shape(result: PipelineResult[str]) -> Sequence[tuple[StepKind, float, Code | None]]:
    """Return kind, length and code of each step."""
    return [(one.kind, round(one.ended - one.started, 6), one.code) for one in result.steps]


async def test_a_call_that_succeeds_at_once_is_one_attempt() -> None:
    result = await Guarded().answer("good")

    assert shape(result) == [(ATTEMPT, 0.0, None)]


@pytest.mark.parametrize("luck", [0.0, 0.0001, 0.5])
async def test_a_retry_is_reported_as_an_attempt_a_wait_and_an_attempt(luck: float) -> None:
    guarded = Guarded(luck=luck, retry=RetrySettings(base_delay=1.0))

    result = await guarded.answer(failure(retryable=True), "good")

    waited = guarded.began[1] - guarded.began[0]
    assert (waited > 0) == (luck > 0)
    assert shape(result) == [
        (ATTEMPT, 0.0, Code.SOURCE_UNAVAILABLE),
        (BACKOFF, round(waited, 6), None),
        (ATTEMPT, 0.0, None),
    ]


async def test_a_call_that_the_open_breaker_refuses_has_no_step() -> None:
    guarded = Guarded(breaker=BreakerSettings(min_calls=1), retry=RetrySettings(max_retries=0))
    await guarded.answer(failure())

    refused = await guarded.answer("good")

    assert isinstance(refused.answer, SourceFailure)
    assert refused.answer.code is Code.SOURCE_CIRCUIT_OPEN
    assert not refused.steps


async def test_the_wait_for_the_end_of_a_pause_is_a_pacing_step() -> None:
    guarded = Guarded(retry=RetrySettings(max_retries=0))
    later = failure(Code.SOURCE_OVERLOADED, retryable=True, retry_after=3.0)

    result = await guarded.answer(later, "good")

    kinds = [kind for kind, _, _ in shape(result)]
    assert kinds == [ATTEMPT, StepKind.PACING, ATTEMPT]
    assert shape(result)[1][1] >= 3.0


async def test_the_wait_for_a_slot_is_a_bulkhead_step() -> None:
    guarded = Guarded(max_calls=1)
    await guarded.scene.play(
        [Arrive(60.0), Turns(5), Arrive(60.0), Turns(5), PassTime(0.25), End(0, "good"), Turns(9)],
        guarded.visit,
    )
    await guarded.scene.play([End(0, "good"), Turns(9)], guarded.visit)

    first, second = guarded.outcomes
    assert shape(first) == [(ATTEMPT, 0.25, None)]
    waited, attempt = shape(second)
    assert waited == (StepKind.BULKHEAD, 0.25, None)
    assert attempt[0] is ATTEMPT


async def test_the_second_call_of_a_hedge_is_a_hedge_step() -> None:
    guarded = Guarded(hedge=True)
    await guarded.measure_calls(0.5)
    await guarded.scene.play(
        [Arrive(60.0), Turns(9), PassTime(0.5), Turns(9), PassTime(0.25), End(1, "good"), Turns(9)],
        guarded.visit,
    )

    [result] = guarded.outcomes
    assert shape(result) == [(ATTEMPT, 0.75, None), (StepKind.HEDGE, 0.25, None)]


@given(
    st.lists(st.sampled_from([failure(retryable=True), failure(Code.SOURCE_REJECTED), "good"])),
    st.integers(0, 4),
)
async def test_steps_are_in_order_and_include_every_attempt(
    answers: list[Answer], retries: int
) -> None:
    guarded = Guarded(retry=RetrySettings(max_retries=retries, base_delay=0.5), breaker=NEVER_OPENS)

    result = await guarded.answer(*answers, "good")

    attempts = [one for one in result.steps if one.kind is ATTEMPT]
    assert len(attempts) == result.attempts == len(guarded.began)
    assert [one.started for one in attempts] == guarded.began
    for before, after in zip(result.steps, result.steps[1:], strict=False):
        assert before.started <= before.ended <= after.started
    codes = [getattr(one, "code", None) for one in answers][: result.attempts]
    assert [one.code for one in attempts][: len(codes)] == codes
