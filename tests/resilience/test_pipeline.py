"""The resilience pipeline as a whole: its limits hold whatever callers and the service do."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Code, SourceFailure
from app.resilience.clock import Deadline
from app.resilience.hedge import MIN_SAMPLES
from app.settings.resilience import BreakerSettings, RetrySettings
from tests.properties import examples
from tests.resilience.script import (
    Answer,
    Arrive,
    Cancel,
    PassTime,
    Step,
    Turns,
    failure,
    scripts,
)
from tests.resilience.stage import (
    LIMIT,
    OPENS_AT_ONCE,
    RESERVE,
    Guarded,
    check_recovery,
)


@settings(deadline=None, max_examples=examples(80))
@given(
    max_calls=st.integers(1, 3),
    max_waiting_calls=st.integers(0, 3),
    hedge=st.booleans(),
    retry=st.builds(
        RetrySettings,
        max_retries=st.integers(0, 2),
        budget_share=st.sampled_from([0.0, 0.5]),
        budget_minimum=st.integers(0, 2),
        budget_window=st.just(3600.0),
    ),
    breaker=st.builds(
        BreakerSettings,
        min_calls=st.sampled_from([1, 3, 1000]),
        probes=st.integers(1, 2),
        open_for=st.just(2.0),
    ),
    script=scripts(),
)
async def test_the_limits_of_the_pipeline_hold_in_any_script(
    script: Sequence[Step],
    **changes: Any,  # noqa: ANN401 # any setting
) -> None:
    guarded = Guarded(**changes)
    if changes["hedge"]:
        await guarded.measure_calls(0.5)

    await guarded.scene.play(script, guarded.visit)

    guarded.check_calls()
    retry: RetrySettings = changes["retry"]
    first_calls = len(guarded.scene.callers) + (MIN_SAMPLES if changes["hedge"] else 0)
    postponed = sum(
        not isinstance(answer, str) and is_postponed(answer) for answer in guarded.service.ended
    )
    allowed = retry.budget_minimum + retry.budget_share * first_calls + postponed
    assert guarded.service.made - len(guarded.scene.callers) <= allowed
    await check_recovery(guarded, changes["max_calls"])


def is_postponed(failed: SourceFailure) -> bool:
    """Return whether pacing postpones the call: that takes nothing from the budget of retries."""
    has_time = failed.retry_after is not None
    return failed.retryable and (has_time or failed.code is Code.SOURCE_OVERLOADED)


@settings(deadline=None)
@given(script=scripts(answers=["good", failure(Code.SOURCE_REJECTED)]), hedge=st.booleans())
async def test_cancelled_calls_are_not_counted_by_the_breaker(
    script: Sequence[Step], *, hedge: bool
) -> None:
    breaker = OPENS_AT_ONCE.model_copy(update={"slow_call": 3600.0})
    guarded = Guarded(max_calls=2, hedge=hedge, breaker=breaker)
    if hedge:
        await guarded.measure_calls(0.25)
    no_timeouts = [step for step in script if not isinstance(step, PassTime)]

    await guarded.scene.play(no_timeouts, lambda _: guarded.visit(60.0))

    assert guarded.changes == []


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("which", [0, 1])
async def test_a_cancelled_caller_frees_its_slot_or_its_place_in_the_queue(
    turns: int, which: int
) -> None:
    guarded = Guarded(max_calls=1, max_waiting_calls=1)

    await guarded.scene.play(
        [Arrive(60.0, times=2), Turns(turns), Cancel(which), Turns(9), Arrive(60.0)], guarded.visit
    )

    assert guarded.codes == ["good", "good"]
    await check_recovery(guarded, 1)


@pytest.mark.parametrize("error", [ValueError, TimeoutError])
async def test_an_error_of_a_call_is_raised_frees_its_slot_and_does_not_count(
    error: type[Exception],
) -> None:
    guarded = Guarded(max_calls=1, max_waiting_calls=0, breaker=OPENS_AT_ONCE)
    deadline = Deadline(guarded.clock.seconds + 5.0, guarded.clock)

    async def call(_seconds: float) -> Answer:
        raise error

    for _ in range(3):
        with pytest.raises(error):
            await guarded.pipeline.run(call, limit=LIMIT, deadline=deadline, reserve=RESERVE)

    assert guarded.changes == []
    assert (await guarded.answer("good")).answer == "good"
