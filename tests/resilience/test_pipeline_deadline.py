"""The deadline in the pipeline."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Code, SourceFailure
from app.resilience.clock import Deadline
from app.settings.resilience import RetrySettings
from tests.resilience.script import Answer, failure
from tests.resilience.stage import LIMIT, NEVER_OPENS, RESERVE, Guarded


@pytest.mark.parametrize("seconds", [RESERVE, 0.1, 0.0, -1.0])
async def test_no_call_is_made_without_time_left(seconds: float) -> None:
    guarded = Guarded()

    outcome = await guarded.answer("good", seconds=seconds)

    assert isinstance(outcome.answer, SourceFailure)
    assert outcome.answer.code is Code.SOURCE_TIMEOUT
    assert outcome.attempts == 0
    assert guarded.began == []


@pytest.mark.parametrize(
    ("seconds", "given"), [(60.0, LIMIT), (LIMIT + RESERVE, LIMIT), (1.0, 1.0 - RESERVE)]
)
async def test_a_call_may_take_its_limit_or_the_rest_of_the_deadline(
    seconds: float, given: float
) -> None:
    guarded = Guarded()

    await guarded.answer("good", seconds=seconds)

    assert guarded.given == [given]


@settings(deadline=None)
@given(
    seconds=st.integers(0, 40).map(lambda tenths: tenths / 10),
    takes=st.integers(0, 10).map(lambda tenths: tenths / 10),
    retry_after=st.none() | st.sampled_from([0.0, 0.3, 1.0, 10.0]),
    luck=st.sampled_from([0.0, 0.5, 0.999]),
)
async def test_no_call_and_no_wait_goes_past_the_deadline(
    seconds: float, takes: float, retry_after: float | None, luck: float
) -> None:
    retry = RetrySettings(max_retries=10, base_delay=0.2, budget_minimum=1000)
    guarded = Guarded(luck=luck, retry=retry, breaker=NEVER_OPENS)
    failed = failure(retryable=True, retry_after=retry_after)
    end = guarded.clock.seconds + seconds - RESERVE

    async def call(given: float) -> Answer:
        assert 0 < given <= LIMIT
        assert guarded.clock.seconds + given <= end + 1e-9
        await guarded.clock.sleep(min(takes, given))
        return failed

    deadline = Deadline(guarded.clock.seconds + seconds, guarded.clock)
    await guarded.clock.run(
        guarded.pipeline.run(call, limit=LIMIT, deadline=deadline, reserve=RESERVE)
    )

    assert guarded.clock.seconds <= max(end, 1000.0) + 1e-9
