"""The bulkhead limits how many calls of one source run and wait."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.resilience.bulkhead import Bulkhead, FullError
from tests.clock import ManualClock
from tests.resilience.script import (
    Answer,
    Arrive,
    Cancel,
    End,
    Scene,
    ScriptedService,
    Step,
    Turns,
    scripts,
)

FULL = "full"


class BulkheadVisits:
    """Callers of a bulkhead; each call checks that a refusal is justified."""

    def __init__(self, limit: int, queue: int) -> None:
        self.clock = ManualClock()
        self.service = ScriptedService()
        self.bulkhead = Bulkhead(limit=limit, queue=queue, clock=self.clock)
        self.scene = Scene(self.clock, self.service)
        self._capacity = limit + queue
        self._inside = 0

    async def visit(self, seconds: float) -> Answer:
        """Wait for a slot for so many seconds at most, and call the service."""
        came, others = self.clock.seconds, self._inside
        self._inside += 1
        try:
            async with self.bulkhead.slot(seconds):
                return await self.service.call()
        except FullError:
            waited = self.clock.seconds - came
            assert waited >= seconds or (waited == 0 and others >= self._capacity)
            return FULL
        finally:
            self._inside -= 1

    async def arrive(self, times: int) -> None:
        """Start callers that have a minute, and run until all of them wait."""
        await self.arrive_with(60.0, times)

    async def arrive_with(self, seconds: float, times: int = 1) -> None:
        """Start callers that have so many seconds, and run until all of them wait."""
        for _ in range(times):
            self.scene.callers.append(asyncio.ensure_future(self.visit(seconds)))
        await self.clock.settle()


@settings(deadline=None)
@given(limit=st.integers(1, 3), queue=st.integers(0, 3), script=scripts())
async def test_no_more_calls_than_the_limit_run_and_no_slot_is_lost(
    limit: int, queue: int, script: Sequence[Step]
) -> None:
    visits = BulkheadVisits(limit, queue)

    await visits.scene.play(script, visits.visit)

    assert visits.service.most <= limit
    assert visits.bulkhead.waiting == 0
    await visits.arrive(limit + queue + 1)
    assert len(visits.service.running) == limit
    assert visits.bulkhead.waiting == queue
    await visits.scene.end()
    assert visits.scene.answers[-1] == FULL


async def test_callers_above_the_limit_wait_and_run_in_the_order_of_arrival() -> None:
    visits = BulkheadVisits(limit=1, queue=2)
    await visits.arrive(3)

    for number in range(3):
        assert len(visits.service.running) == 1
        visits.service.end(str(number))
        await visits.clock.settle()

    assert visits.scene.answers == ["0", "1", "2"]


@pytest.mark.parametrize("queue", [0, 1, 5])
async def test_callers_above_the_limit_of_the_queue_are_refused_at_once(queue: int) -> None:
    visits = BulkheadVisits(limit=2, queue=queue)

    await visits.arrive(2 + queue + 3)

    refused = [caller for caller in visits.scene.callers if caller.done()]
    assert len(refused) == 3
    assert visits.bulkhead.waiting == queue
    await visits.scene.end()


async def test_a_caller_that_waits_too_long_is_refused_and_leaves_the_queue() -> None:
    visits = BulkheadVisits(limit=1, queue=1)
    await visits.arrive(1)
    await visits.arrive_with(2.0)

    visits.clock.advance(1.999)
    await visits.clock.settle()
    assert visits.bulkhead.waiting == 1

    visits.clock.advance(0.001)
    await visits.clock.settle()
    assert visits.bulkhead.waiting == 0
    await visits.arrive(1)
    assert visits.bulkhead.waiting == 1
    await visits.scene.end()
    assert visits.scene.answers == ["good", FULL, "good"]


async def test_each_caller_waits_for_its_own_time_at_most() -> None:
    visits = BulkheadVisits(limit=1, queue=5)
    await visits.arrive(1)
    for seconds in (5.0, 2.0, 3.0, 2.0, 9.0):
        await visits.arrive_with(seconds)

    left: list[int] = []
    for _ in range(9):
        visits.clock.advance(1.0)
        await visits.clock.settle()
        left.append(visits.bulkhead.waiting)

    assert left == [5, 3, 2, 2, 1, 1, 1, 1, 0]
    assert not visits.clock.pending
    await visits.scene.end()


async def test_no_timer_is_left_when_no_caller_waits() -> None:
    visits = BulkheadVisits(limit=1, queue=2)
    await visits.arrive(3)
    assert visits.clock.pending

    visits.scene.cancel(2)
    visits.service.end("0")
    await visits.clock.settle()

    assert not visits.clock.pending
    await visits.scene.end()


async def test_a_caller_without_time_to_wait_is_refused_at_once() -> None:
    visits = BulkheadVisits(limit=1, queue=1)
    await visits.arrive(1)

    await visits.arrive_with(0.0)

    assert visits.scene.callers[-1].done()
    await visits.scene.end()


async def test_a_caller_cancelled_while_it_waits_leaves_the_queue() -> None:
    visits = BulkheadVisits(limit=1, queue=1)
    await visits.arrive(2)

    visits.scene.cancel(1)
    await visits.clock.settle()

    assert visits.bulkhead.waiting == 0
    assert len(visits.service.running) == 1
    await visits.scene.end()


async def test_the_slot_of_a_caller_cancelled_in_its_call_goes_to_the_next() -> None:
    visits = BulkheadVisits(limit=1, queue=1)
    await visits.arrive(2)

    visits.scene.cancel(0)
    await visits.clock.settle()

    assert visits.service.made == 2
    assert len(visits.service.running) == 1
    await visits.scene.end()


@pytest.mark.parametrize("turns", range(5))
async def test_a_slot_given_to_a_cancelled_caller_goes_to_the_next(turns: int) -> None:
    visits = BulkheadVisits(limit=1, queue=2)
    await visits.arrive(3)

    await visits.scene.play([End(0, "good"), Turns(turns + 1), Cancel(0), Turns(9)], visits.visit)

    assert [caller.cancelled() for caller in visits.scene.callers].count(True) == 1
    assert visits.service.most == 1
    assert "good" in visits.scene.answers


@pytest.mark.parametrize("turns", range(5))
async def test_a_slot_that_is_freed_as_a_wait_ends_is_not_lost(turns: int) -> None:
    visits = BulkheadVisits(limit=1, queue=2)
    await visits.arrive(1)
    await visits.arrive_with(1.0)
    await visits.arrive(1)

    visits.service.end()
    for _ in range(turns):
        await asyncio.sleep(0)
    visits.clock.advance(1.0)
    await visits.scene.end()

    assert visits.scene.answers[-1] == "good"
    assert visits.bulkhead.waiting == 0


async def test_a_slot_is_freed_when_its_call_raises() -> None:
    bulkhead = Bulkhead(limit=1, queue=0, clock=ManualClock())

    for error in (ValueError, TimeoutError, FullError):
        with pytest.raises(error):
            async with bulkhead.slot(1.0):
                raise error

    async with bulkhead.slot(1.0):
        pass


async def test_a_caller_is_not_refused_while_a_slot_is_free() -> None:
    visits = BulkheadVisits(limit=2, queue=1)
    await visits.arrive(3)

    # Both calls end, and a caller comes before the waiting caller has run.
    await visits.scene.play([End(0, "good"), End(0, "good"), Arrive(1.0)], visits.visit)

    assert visits.scene.answers == ["good"] * 4
