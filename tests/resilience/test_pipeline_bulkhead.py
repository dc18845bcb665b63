"""The bulkhead in the pipeline."""

import asyncio

from app.errors import Code, SourceFailure
from tests.resilience.stage import RESERVE, Guarded


async def test_calls_above_the_limits_of_the_bulkhead_are_refused_at_once() -> None:
    guarded = Guarded(max_calls=2, max_waiting_calls=3)

    await guarded.arrive(10)

    assert len(guarded.service.running) == 2
    assert [caller.done() for caller in guarded.scene.callers] == [False] * 5 + [True] * 5
    await guarded.end()
    assert guarded.codes == ["good"] * 5 + [Code.SOURCE_OVERLOADED] * 5
    assert [outcome.attempts for outcome in guarded.outcomes] == [0] * 5 + [1] * 5


async def test_a_call_without_room_in_the_bulkhead_fails_before_the_deadline() -> None:
    guarded = Guarded(max_calls=1)
    asked = guarded.clock.seconds
    await guarded.arrive()
    await guarded.arrive(seconds=1.0)

    guarded.clock.advance(1.0 - RESERVE)
    await guarded.clock.settle()

    assert guarded.outcomes[0].attempts == 0
    assert isinstance(guarded.outcomes[0].answer, SourceFailure)
    assert guarded.outcomes[0].answer.code is Code.SOURCE_OVERLOADED
    assert guarded.clock.seconds == asked + 1.0 - RESERVE
    await guarded.end()


async def test_the_wait_in_the_bulkhead_shortens_the_time_of_the_call() -> None:
    guarded = Guarded(max_calls=1)
    await guarded.arrive()
    await guarded.arrive(seconds=2.0 + RESERVE)

    guarded.clock.advance(0.5)
    guarded.service.end()
    await guarded.clock.settle()

    assert guarded.given == [2.0, 1.5]
    await guarded.end()


async def test_a_call_is_not_made_when_its_time_ends_as_it_gets_its_slot() -> None:
    guarded = Guarded(max_calls=1)
    await guarded.arrive()
    await guarded.arrive(seconds=1.0)

    # The call gets a slot, and the event loop is blocked for long before the call runs.
    guarded.service.end()
    await asyncio.sleep(0)
    guarded.clock.advance(5.0)
    await guarded.end()

    assert guarded.service.made == 1
    assert guarded.outcomes[-1].attempts == 0
