"""A bound on what one service can hold up."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.resilience.bulkhead import Bulkhead, FullError
from tests.clock import ManualClock
from tests.resilience.script import (
    Answer,
    Come,
    End,
    GiveUp,
    Scene,
    ScriptedService,
    Step,
    Turns,
    scripts,
)

FULL = "full"


class BulkheadVisits:
    """What callers of a bulkhead do, and what may not happen to them."""

    def __init__(self, limit: int, queue: int) -> None:
        self.clock = ManualClock()
        self.service = ScriptedService()
        self.bulkhead = Bulkhead(limit=limit, queue=queue, clock=self.clock)
        self.scene = Scene(self.clock, self.service)
        self._room = limit + queue
        self._inside = 0

    async def visit(self, seconds: float) -> Answer:
        """Come, wait so many seconds at most, call, and go."""
        came, others = self.clock.seconds, self._inside
        self._inside += 1
        try:
            async with self.bulkhead.slot(seconds):
                return await self.service.call()
        except FullError:
            waited = self.clock.seconds - came
            assert waited >= seconds or (waited == 0 and others >= self._room)
            return FULL
        finally:
            self._inside -= 1

    async def come(self, times: int) -> None:
        """Have callers come who have a minute, and do what they can at once."""
        await self.come_with(60.0, times)

    async def come_with(self, seconds: float, times: int = 1) -> None:
        """Have callers come who have so many seconds."""
        for _ in range(times):
            self.scene.callers.append(asyncio.ensure_future(self.visit(seconds)))
        await self.clock.settle()


@settings(deadline=None)
@given(limit=st.integers(1, 3), queue=st.integers(0, 3), script=scripts())
async def test_whoever_comes_ends_or_gives_up_no_more_than_the_limit_runs_and_no_room_is_lost(
    limit: int, queue: int, script: Sequence[Step]
) -> None:
    visits = BulkheadVisits(limit, queue)

    await visits.scene.play(script, visits.visit)

    assert visits.service.most <= limit
    assert visits.bulkhead.waiting == 0
    await visits.come(limit + queue + 1)
    assert len(visits.service.running) == limit
    assert visits.bulkhead.waiting == queue
    await visits.scene.end()
    assert visits.scene.answers[-1] == FULL


async def test_more_than_the_limit_wait_and_are_let_in_as_they_came() -> None:
    visits = BulkheadVisits(limit=1, queue=2)
    await visits.come(3)

    for number in range(3):
        assert len(visits.service.running) == 1
        visits.service.end(str(number))
        await visits.clock.settle()

    assert visits.scene.answers == ["0", "1", "2"]


@pytest.mark.parametrize("queue", [0, 1, 5])
async def test_more_than_may_wait_are_refused_at_once(queue: int) -> None:
    visits = BulkheadVisits(limit=2, queue=queue)

    await visits.come(2 + queue + 3)

    refused = [caller for caller in visits.scene.callers if caller.done()]
    assert len(refused) == 3
    assert visits.bulkhead.waiting == queue
    await visits.scene.end()


async def test_who_waits_too_long_is_refused_and_makes_room_to_wait() -> None:
    visits = BulkheadVisits(limit=1, queue=1)
    await visits.come(1)
    await visits.come_with(2.0)

    visits.clock.advance(1.999)
    await visits.clock.settle()
    assert visits.bulkhead.waiting == 1

    visits.clock.advance(0.001)
    await visits.clock.settle()
    assert visits.bulkhead.waiting == 0
    await visits.come(1)
    assert visits.bulkhead.waiting == 1
    await visits.scene.end()
    assert visits.scene.answers == ["good", FULL, "good"]


async def test_each_wait_ends_at_its_own_time() -> None:
    visits = BulkheadVisits(limit=1, queue=5)
    await visits.come(1)
    for seconds in (5.0, 2.0, 3.0, 2.0, 9.0):
        await visits.come_with(seconds)

    left: list[int] = []
    for _ in range(9):
        visits.clock.advance(1.0)
        await visits.clock.settle()
        left.append(visits.bulkhead.waiting)

    assert left == [5, 3, 2, 2, 1, 1, 1, 1, 0]
    assert not visits.clock.pending
    await visits.scene.end()


async def test_no_timer_is_left_once_nobody_waits() -> None:
    visits = BulkheadVisits(limit=1, queue=2)
    await visits.come(3)
    assert visits.clock.pending

    visits.scene.give_up(2)
    visits.service.end("0")
    await visits.clock.settle()

    assert not visits.clock.pending
    await visits.scene.end()


async def test_who_has_no_time_to_wait_is_refused_at_once() -> None:
    visits = BulkheadVisits(limit=1, queue=1)
    await visits.come(1)

    await visits.come_with(0.0)

    assert visits.scene.callers[-1].done()
    await visits.scene.end()


async def test_who_gives_up_while_waiting_makes_room_to_wait() -> None:
    visits = BulkheadVisits(limit=1, queue=1)
    await visits.come(2)

    visits.scene.give_up(1)
    await visits.clock.settle()

    assert visits.bulkhead.waiting == 0
    assert len(visits.service.running) == 1
    await visits.scene.end()


async def test_who_gives_up_while_running_makes_room_to_run() -> None:
    visits = BulkheadVisits(limit=1, queue=1)
    await visits.come(2)

    visits.scene.give_up(0)
    await visits.clock.settle()

    assert visits.service.made == 2
    assert len(visits.service.running) == 1
    await visits.scene.end()


@pytest.mark.parametrize("turns", range(5))
async def test_room_that_was_given_to_one_who_gives_up_goes_to_the_next(turns: int) -> None:
    visits = BulkheadVisits(limit=1, queue=2)
    await visits.come(3)

    await visits.scene.play([End(0, "good"), Turns(turns + 1), GiveUp(0), Turns(9)], visits.visit)

    assert [caller.cancelled() for caller in visits.scene.callers].count(True) == 1
    assert visits.service.most == 1
    assert "good" in visits.scene.answers


@pytest.mark.parametrize("turns", range(5))
async def test_room_that_comes_free_as_the_time_is_over_is_not_lost(turns: int) -> None:
    visits = BulkheadVisits(limit=1, queue=2)
    await visits.come(1)
    await visits.come_with(1.0)
    await visits.come(1)

    visits.service.end()
    for _ in range(turns):
        await asyncio.sleep(0)
    visits.clock.advance(1.0)
    await visits.scene.end()

    assert visits.scene.answers[-1] == "good"
    assert visits.bulkhead.waiting == 0


async def test_room_is_given_back_when_what_is_done_in_it_raises() -> None:
    bulkhead = Bulkhead(limit=1, queue=0, clock=ManualClock())

    for error in (ValueError, TimeoutError, FullError):
        with pytest.raises(error):
            async with bulkhead.slot(1.0):
                raise error

    async with bulkhead.slot(1.0):
        pass


async def test_nobody_is_refused_while_there_is_room() -> None:
    visits = BulkheadVisits(limit=2, queue=1)
    await visits.come(3)

    # Both calls end, and someone comes before the one who waits has noticed.
    await visits.scene.play([End(0, "good"), End(0, "good"), Come(1.0)], visits.visit)

    assert visits.scene.answers == ["good"] * 4
