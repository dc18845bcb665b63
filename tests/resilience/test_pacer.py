"""Whose turn it is, and whose pace is remembered."""

import asyncio
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import Code, SourceFailure
from app.resilience.bulkhead import FullError
from app.resilience.pace import CallRate, PaceState, Signal, slowed, sped_up
from app.resilience.pacer import MAX_CALLERS, Pacer, Paces, Slowdown
from app.settings.resilience import PacingSettings, RetrySettings
from app.settings.source import SourceSettings
from tests.clock import ManualClock
from tests.properties import examples
from tests.resilience.script import (
    Answer,
    Come,
    End,
    GiveUp,
    Pass,
    Scene,
    ScriptedService,
    Step,
    Turns,
    failure,
    scripts,
)

FULL = "full"
HELD = "held"
REFUSED = failure(Code.SOURCE_OVERLOADED, retryable=True, retry_after=0.25)

SETTINGS = SourceSettings(
    base_url="http://profile",
    max_calls=4,
    retry=RetrySettings(base_delay=0.125, max_delay=1.0),
    pacing=PacingSettings(max_pause=60.0),
)


class PacerVisits:
    """What calls do that have to wait for their turn, and what may not happen to them."""

    def __init__(self, limit: int, queue: int) -> None:
        self.clock = ManualClock()
        self.service = ScriptedService()
        self.scene = Scene(self.clock, self.service)
        self.settings = SETTINGS.model_copy(update={"max_calls": limit})
        self.pacer = Pacer(limit=limit, capacity=limit + queue, clock=self.clock)
        self.wrong: list[str] = []
        self.turns: list[asyncio.Task[object] | None] = []

    async def visit(self, seconds: float) -> Answer:
        """Come, wait so many seconds at most, call, and heed what the service says."""
        try:
            async with self.pacer.turn(seconds):
                self.turns.append(asyncio.current_task())
                if self.pacer.pause:
                    # It began in the tick in which the turn came. The guard looks once more, too.
                    return HELD
                if len(self.service.running) >= self.pacer.pace.limit:
                    self.wrong.append("more calls ran than may")
                began = self.clock.seconds
                answer = await self.service.call()
                if isinstance(answer, SourceFailure):
                    self._heed(answer, began)
        except FullError:
            return FULL
        if not isinstance(answer, SourceFailure):
            most = self.settings.max_calls
            self.pacer.speed_up(sped_up(self.pacer.pace, began=began, most=most))
        return answer

    def _heed(self, refusal: SourceFailure, began: float) -> None:
        """Heed a refusal, while it is still the call's turn."""
        signal = Signal(refused=True, wait=refusal.retry_after)
        pace, now = self.pacer.pace, self.clock.seconds
        self.pacer.slow_down(
            slowed(pace, signal, self.settings, began=began, now=now, chance=lambda: 0.5)
        )

    async def come(self, times: int, seconds: float = 600.0) -> None:
        """Have callers come, and do what they can at once."""
        for _ in range(times):
            self.scene.callers.append(asyncio.create_task(self.visit(seconds)))
        await self.clock.settle()


@settings(deadline=None, max_examples=examples(80))
@given(limit=st.integers(1, 3), queue=st.integers(0, 3), script=scripts(answers=["good", REFUSED]))
@example(  # the one who gives up has just got its turn
    limit=1,
    queue=3,
    script=[Come(3.0, 3), Turns(4), End(0, "good"), Turns(2), GiveUp(0), Turns(4), Come(3.0)],
)
async def test_whatever_callers_do_each_turn_that_is_given_is_used_or_given_back(
    limit: int, queue: int, script: Sequence[Step]
) -> None:
    visits = PacerVisits(limit, queue)

    await visits.scene.play(script, visits.visit)

    assert visits.wrong == []
    assert visits.pacer.idle
    visits.clock.advance(60.0)
    may = int(visits.pacer.pace.limit)
    await visits.come(limit + queue + 1)
    assert len(visits.service.running) == may
    assert [caller.done() for caller in visits.scene.callers[-limit - queue - 1 :]] == [
        *[False] * (limit + queue),
        True,
    ]
    await visits.scene.end()
    assert visits.wrong == []
    assert visits.pacer.idle


@pytest.mark.parametrize(("turns", "which"), list(product(range(8), range(3))))
async def test_who_is_cancelled_as_its_turn_comes_leaves_it_to_the_next(
    turns: int, which: int
) -> None:
    visits = PacerVisits(limit=1, queue=4)
    await visits.come(4)

    visits.service.end()
    for _ in range(turns):
        await asyncio.sleep(0)
    visits.scene.give_up(which)
    await visits.clock.settle()

    assert len(visits.service.running) == 1
    await visits.scene.end()
    assert visits.scene.answers == ["good"] * 3
    assert visits.pacer.idle


@pytest.mark.parametrize("turns", range(8))
async def test_a_turn_that_comes_as_the_time_is_over_is_not_lost(turns: int) -> None:
    visits = PacerVisits(limit=1, queue=4)
    await visits.come(1)
    await visits.come(1, seconds=1.0)
    await visits.come(1)

    visits.service.end()
    for _ in range(turns):
        await asyncio.sleep(0)
    visits.clock.advance(1.0)
    await visits.clock.settle()

    assert len(visits.service.running) == 1
    await visits.scene.end()
    assert visits.scene.answers[-1] == "good"
    assert visits.pacer.idle


async def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    visits = PacerVisits(limit=1, queue=4)
    await visits.come(5)

    await visits.scene.end()

    assert visits.turns == visits.scene.callers


async def test_after_a_pause_as_many_go_on_at_once_as_may() -> None:
    visits = PacerVisits(limit=3, queue=4)
    visits.pacer.slow_down(CallRate(2.0, until=visits.clock.seconds + 5.0))
    await visits.come(5)

    visits.clock.advance(4.999)
    await visits.clock.settle()
    assert not visits.service.running
    visits.clock.advance(0.001)
    await visits.clock.settle()

    assert len(visits.service.running) == 2
    await visits.scene.end()


async def test_a_pause_that_becomes_longer_while_one_waits_is_waited_for() -> None:
    visits = PacerVisits(limit=1, queue=1)
    visits.pacer.slow_down(CallRate(1.0, until=visits.clock.seconds + 1.0))
    await visits.come(1)

    visits.pacer.slow_down(CallRate(1.0, until=visits.clock.seconds + 3.0))
    visits.clock.advance(2.999)
    await visits.clock.settle()
    assert not visits.service.running
    visits.clock.advance(0.001)
    await visits.clock.settle()

    assert len(visits.service.running) == 1
    await visits.scene.end()


async def test_what_raises_in_its_turn_gives_it_back() -> None:
    pacer = Pacer(limit=1, capacity=1, clock=ManualClock())

    for error in (ValueError, TimeoutError, FullError):
        with pytest.raises(error):
            async with pacer.turn(1.0):
                raise error

    assert pacer.idle


# Whose pace is remembered


class PaceReports:
    """The paces of a service, and what was told of them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.slowdowns: list[Slowdown] = []
        self.paces = Paces(
            SETTINGS, clock=self.clock, chance=lambda: 0.5, on_slow=self.slowdowns.append
        )

    def heed(self, caller: str, wait: float) -> None:
        """Have the service ask one caller to leave it alone."""
        self.paces.apply_signal(caller, Signal(wait=wait, left=0), began=self.clock.seconds)

    def paused(self) -> int:
        """Count the callers who are paused."""
        callers = [str(number) for number in range(2 * MAX_CALLERS)]
        return [self.paces.state_of(one) for one in callers].count(PaceState.PAUSED)


def test_of_too_many_callers_those_are_forgotten_whose_pause_is_over_and_no_other() -> None:
    told = PaceReports()
    for number in range(MAX_CALLERS):
        told.heed(str(number), 1.0 if number % 2 else 60.0)
    told.clock.advance(1.0)

    told.heed(str(MAX_CALLERS), 60.0)

    assert told.paused() == MAX_CALLERS / 2 + 1
    assert told.paces.pacer_of("1") is None
    assert told.paces.pacer_of("0") is not None


def test_where_all_are_paused_one_more_costs_the_oldest_its_pause_and_no_other() -> None:
    told = PaceReports()
    for number in range(MAX_CALLERS + 10):
        told.heed(str(number), 60.0)

    tempos = [told.paces.state_of(str(number)) for number in range(MAX_CALLERS + 10)]

    assert tempos == [PaceState.FREE] * 10 + [PaceState.PAUSED] * MAX_CALLERS


async def test_a_caller_who_calls_or_waits_is_not_forgotten_for_others() -> None:
    told = PaceReports()
    for number in range(MAX_CALLERS):
        told.heed(str(number), 1.0)
    told.clock.advance(1.0)
    busy = told.paces.pacer_of("7")
    assert busy is not None

    async with busy.turn(1.0):
        told.heed("one more", 60.0)

        assert told.paces.pacer_of("7") is busy
        assert told.paces.pacer_of("8") is None


async def test_a_caller_is_not_forgotten_while_it_is_paused_slowed_or_calls() -> None:
    told = PaceReports()
    told.heed("a", 1.0)
    for _ in range(20):  # good answers to calls that were begun in the pause lift the limit
        told.paces.record_success("a", began=told.clock.seconds + 0.5)
    paused = told.paces.pacer_of("a")
    assert paused is not None
    assert told.paces.state_of("a") is PaceState.PAUSED

    told.clock.advance(1.0)
    async with paused.turn(1.0):
        told.paces.record_success("a", began=told.clock.seconds)
        assert told.paces.pacer_of("a") is paused
    told.paces.record_success("a", began=told.clock.seconds)

    assert told.paces.pacer_of("a") is None


CALLERS = st.sampled_from(["", "a", "b"])
SIGNALS = st.builds(
    Signal,
    refused=st.booleans(),
    wait=st.none() | st.sampled_from([0.0, 0.5, 5.0, 100.0]),
    left=st.none() | st.integers(0, 6),
)


@settings(deadline=None)
@given(
    events=st.lists(
        st.tuples(CALLERS, st.none() | SIGNALS, st.sampled_from([0.0, 0.25, 1.0, 70.0]))
    )
)
def test_each_caller_has_the_pace_that_it_would_have_alone(
    events: list[tuple[str, Signal | None, float]],
) -> None:
    told, alone = PaceReports(), {caller: PaceReports() for caller in ("", "a", "b")}

    for caller, signal, passed in events:
        for one in (told, alone[caller]):
            now = one.clock.seconds
            if signal is None:
                one.paces.record_success(caller, began=now)
            else:
                one.paces.apply_signal(caller, signal, began=now)
        for one in (told, *alone.values()):
            one.clock.advance(passed)

        for name, one in alone.items():
            here, there = told.paces.pacer_of(name), one.paces.pacer_of(name)
            assert (here and here.pace) == (there and there.pace)
            assert told.paces.state_of(name) is one.paces.state_of(name)
        tempos = {one.paces.state for one in alone.values()}
        ranked = (PaceState.PAUSED, PaceState.SLOWED, PaceState.FREE)
        slowest = next(one for one in ranked if one in tempos)
        assert told.paces.state is slowest


@pytest.mark.parametrize("step", [Pass(0.25), GiveUp(0)])
async def test_a_line_is_empty_when_all_who_waited_have_gone(step: Step) -> None:
    visits = PacerVisits(limit=1, queue=1)
    visits.pacer.slow_down(CallRate(1.0, until=visits.clock.seconds + 0.25))

    await visits.scene.play([Come(0.125), Come(0.375), Turns(4), step], visits.visit)

    assert visits.pacer.idle
