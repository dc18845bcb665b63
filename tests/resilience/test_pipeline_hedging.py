"""Hedging in the pipeline."""

import pytest

from app.settings.resilience import RetrySettings
from tests.resilience.script import Arrive, End, PassTime, Turns, failure
from tests.resilience.stage import NEVER_OPENS, NO_RETRIES, OPENS_AT_ONCE, Guarded


async def test_hedging_is_off_by_default() -> None:
    guarded = Guarded()
    await guarded.measure_calls(0.5)

    await guarded.arrive()
    guarded.clock.advance(1.0)
    await guarded.clock.settle()

    assert guarded.service.made == 1
    await guarded.end()


async def test_no_call_is_hedged_before_enough_calls_were_measured() -> None:
    guarded = Guarded(hedge=True)

    await guarded.arrive()
    guarded.clock.advance(1.0)
    await guarded.clock.settle()

    assert guarded.service.made == 1
    await guarded.end()


async def test_failures_are_not_measured_for_hedging() -> None:
    guarded = Guarded(hedge=True, breaker=NEVER_OPENS, retry=NO_RETRIES)
    await guarded.measure_calls(0.01, failure())

    await guarded.arrive()
    guarded.clock.advance(1.0)
    await guarded.clock.settle()

    assert guarded.service.made == 1
    await guarded.end()


@pytest.mark.parametrize("winner", [0, 1])
async def test_a_slow_call_is_hedged_and_the_cancelled_call_does_not_count(
    winner: int,
) -> None:
    guarded = Guarded(hedge=True, breaker=OPENS_AT_ONCE)
    await guarded.measure_calls(0.5)
    await guarded.arrive()

    guarded.clock.advance(0.499)
    await guarded.clock.settle()
    assert guarded.service.made == 1
    guarded.clock.advance(0.001)
    await guarded.clock.settle()
    assert guarded.service.made == 2
    guarded.service.end(which=winner)
    await guarded.clock.settle()

    assert guarded.codes == ["good"]
    assert guarded.service.running == []
    assert guarded.changes == []
    await guarded.end()


async def test_both_calls_of_a_hedge_count_as_attempts() -> None:
    guarded = Guarded(hedge=True)
    await guarded.measure_calls(0.5)

    await guarded.scene.play(
        [Arrive(60.0), Turns(9), PassTime(0.5), Turns(9), End(1, "good"), Turns(9)], guarded.visit
    )

    assert guarded.service.made == 2
    assert [outcome.attempts for outcome in guarded.outcomes] == [2]


async def test_hedges_and_retries_share_a_budget() -> None:
    retry = RetrySettings(budget_share=0.0, budget_minimum=2, budget_window=3600.0)
    guarded = Guarded(hedge=True, retry=retry)
    await guarded.measure_calls(0.5)

    await guarded.arrive(5)
    guarded.clock.advance(0.5)
    await guarded.clock.settle()

    assert guarded.service.made == 7
    assert not guarded.pipeline.take_extra_calls()
    await guarded.end()


async def test_no_hedge_is_made_without_room_in_the_bulkhead() -> None:
    guarded = Guarded(hedge=True, max_calls=1, max_waiting_calls=0)
    await guarded.measure_calls(0.5)
    await guarded.arrive()

    guarded.clock.advance(0.5)
    await guarded.clock.settle()

    assert guarded.service.made == 1
    await guarded.end()
    assert guarded.codes == ["good"]
