"""The pacer gives calls their turns, and the pace of each caller is kept."""

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
    Arrive,
    Cancel,
    End,
    PassTime,
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
    """Callers that wait for their turns; each call checks that it may run."""

    def __init__(self, limit: int, queue: int) -> None:
        self.clock = ManualClock()
        self.service = ScriptedService()
        self.scene = Scene(self.clock, self.service)
        self.settings = SETTINGS.model_copy(update={"max_calls": limit})
        self.pacer = Pacer(limit=limit, capacity=limit + queue, clock=self.clock)
        self.wrong: list[str] = []
        self.turns: list[asyncio.Task[object] | None] = []

    async def visit(self, seconds: float) -> Answer:
        """Wait for a turn for so many seconds at most, call, and apply the answer to the pace."""
        try:
            async with self.pacer.turn(seconds):
                self.turns.append(asyncio.current_task())
                if self.pacer.pause:
                    # The pause began in the tick of the turn. The pipeline checks this too.
                    return HELD
                if len(self.service.running) >= self.pacer.pace.limit:
                    self.wrong.append("more calls ran than the pace allows")
                began = self.clock.seconds
                answer = await self.service.call()
                if isinstance(answer, SourceFailure):
                    self._apply_refusal(answer, began)
        except FullError:
            return FULL
        if not isinstance(answer, SourceFailure):
            most = self.settings.max_calls
            self.pacer.speed_up(sped_up(self.pacer.pace, began=began, most=most))
        return answer

    def _apply_refusal(self, refusal: SourceFailure, began: float) -> None:
        """Slow the pace after a refusal, within the turn of the call."""
        signal = Signal(refused=True, wait=refusal.retry_after)
        pace, now = self.pacer.pace, self.clock.seconds
        self.pacer.slow_down(
            slowed(pace, signal, self.settings, began=began, now=now, chance=lambda: 0.5)
        )

    async def arrive(self, times: int, seconds: float = 600.0) -> None:
        """Start callers, and run until all of them wait."""
        for _ in range(times):
            self.scene.callers.append(asyncio.create_task(self.visit(seconds)))
        await self.clock.settle()


@settings(deadline=None, max_examples=examples(80))
@given(limit=st.integers(1, 3), queue=st.integers(0, 3), script=scripts(answers=["good", REFUSED]))
@example(  # the cancelled caller has just got its turn
    limit=1,
    queue=3,
    script=[Arrive(3.0, 3), Turns(4), End(0, "good"), Turns(2), Cancel(0), Turns(4), Arrive(3.0)],
)
async def test_each_turn_is_used_or_given_back_in_any_script(
    limit: int, queue: int, script: Sequence[Step]
) -> None:
    visits = PacerVisits(limit, queue)

    await visits.scene.play(script, visits.visit)

    assert visits.wrong == []
    assert visits.pacer.idle
    visits.clock.advance(60.0)
    may = int(visits.pacer.pace.limit)
    await visits.arrive(limit + queue + 1)
    assert len(visits.service.running) == may
    assert [caller.done() for caller in visits.scene.callers[-limit - queue - 1 :]] == [
        *[False] * (limit + queue),
        True,
    ]
    await visits.scene.end()
    assert visits.wrong == []
    assert visits.pacer.idle


@pytest.mark.parametrize(("turns", "which"), list(product(range(8), range(3))))
async def test_a_caller_cancelled_as_its_turn_comes_leaves_it_to_the_next(
    turns: int, which: int
) -> None:
    visits = PacerVisits(limit=1, queue=4)
    await visits.arrive(4)

    visits.service.end()
    for _ in range(turns):
        await asyncio.sleep(0)
    visits.scene.cancel(which)
    await visits.clock.settle()

    assert len(visits.service.running) == 1
    await visits.scene.end()
    assert visits.scene.answers == ["good"] * 3
    assert visits.pacer.idle


@pytest.mark.parametrize("turns", range(8))
async def test_a_turn_that_comes_as_a_wait_ends_is_not_lost(turns: int) -> None:
    visits = PacerVisits(limit=1, queue=4)
    await visits.arrive(1)
    await visits.arrive(1, seconds=1.0)
    await visits.arrive(1)

    visits.service.end()
    for _ in range(turns):
        await asyncio.sleep(0)
    visits.clock.advance(1.0)
    await visits.clock.settle()

    assert len(visits.service.running) == 1
    await visits.scene.end()
    assert visits.scene.answers[-1] == "good"
    assert visits.pacer.idle


async def test_turns_are_given_in_the_order_of_arrival() -> None:
    visits = PacerVisits(limit=1, queue=4)
    await visits.arrive(5)

    await visits.scene.end()

    assert visits.turns == visits.scene.callers


async def test_as_many_calls_as_the_pace_allows_start_after_a_pause() -> None:
    visits = PacerVisits(limit=3, queue=4)
    visits.pacer.slow_down(CallRate(2.0, until=visits.clock.seconds + 5.0))
    await visits.arrive(5)

    visits.clock.advance(4.999)
    await visits.clock.settle()
    assert not visits.service.running
    visits.clock.advance(0.001)
    await visits.clock.settle()

    assert len(visits.service.running) == 2
    await visits.scene.end()


async def test_a_waiting_call_waits_until_the_end_of_a_longer_pause() -> None:
    visits = PacerVisits(limit=1, queue=1)
    visits.pacer.slow_down(CallRate(1.0, until=visits.clock.seconds + 1.0))
    await visits.arrive(1)

    visits.pacer.slow_down(CallRate(1.0, until=visits.clock.seconds + 3.0))
    visits.clock.advance(2.999)
    await visits.clock.settle()
    assert not visits.service.running
    visits.clock.advance(0.001)
    await visits.clock.settle()

    assert len(visits.service.running) == 1
    await visits.scene.end()


async def test_a_turn_is_given_back_when_its_call_raises() -> None:
    pacer = Pacer(limit=1, capacity=1, clock=ManualClock())

    for error in (ValueError, TimeoutError, FullError):
        with pytest.raises(error):
            async with pacer.turn(1.0):
                raise error

    assert pacer.idle


# Paces by caller


class PaceReports:
    """The paces of a service, and the slowdowns that were reported."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.slowdowns: list[Slowdown] = []
        self.paces = Paces(
            SETTINGS, clock=self.clock, chance=lambda: 0.5, on_slow=self.slowdowns.append
        )

    def pause(self, caller: str, wait: float) -> None:
        """Have the service ask one caller for a pause."""
        self.paces.apply_signal(caller, Signal(wait=wait, left=0), began=self.clock.seconds)

    def paused(self) -> int:
        """Count the callers that are paused."""
        callers = [str(number) for number in range(2 * MAX_CALLERS)]
        return [self.paces.state_of(one) for one in callers].count(PaceState.PAUSED)


def test_callers_whose_pause_is_over_are_forgotten_first() -> None:
    reports = PaceReports()
    for number in range(MAX_CALLERS):
        reports.pause(str(number), 1.0 if number % 2 else 60.0)
    reports.clock.advance(1.0)

    reports.pause(str(MAX_CALLERS), 60.0)

    assert reports.paused() == MAX_CALLERS / 2 + 1
    assert reports.paces.pacer_of("1") is None
    assert reports.paces.pacer_of("0") is not None


def test_the_oldest_callers_are_forgotten_when_all_are_paused() -> None:
    reports = PaceReports()
    for number in range(MAX_CALLERS + 10):
        reports.pause(str(number), 60.0)

    states = [reports.paces.state_of(str(number)) for number in range(MAX_CALLERS + 10)]

    assert states == [PaceState.FREE] * 10 + [PaceState.PAUSED] * MAX_CALLERS


async def test_a_caller_with_a_call_is_not_forgotten_for_others() -> None:
    reports = PaceReports()
    for number in range(MAX_CALLERS):
        reports.pause(str(number), 1.0)
    reports.clock.advance(1.0)
    busy = reports.paces.pacer_of("7")
    assert busy is not None

    async with busy.turn(1.0):
        reports.pause("one more", 60.0)

        assert reports.paces.pacer_of("7") is busy
        assert reports.paces.pacer_of("8") is None


async def test_a_caller_is_forgotten_only_when_it_is_free_and_has_no_call() -> None:
    reports = PaceReports()
    reports.pause("a", 1.0)
    for _ in range(20):  # good answers to calls from within the pause raise the limit
        reports.paces.record_success("a", began=reports.clock.seconds + 0.5)
    paused = reports.paces.pacer_of("a")
    assert paused is not None
    assert reports.paces.state_of("a") is PaceState.PAUSED

    reports.clock.advance(1.0)
    async with paused.turn(1.0):
        reports.paces.record_success("a", began=reports.clock.seconds)
        assert reports.paces.pacer_of("a") is paused
    reports.paces.record_success("a", began=reports.clock.seconds)

    assert reports.paces.pacer_of("a") is None


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
def test_each_caller_has_the_pace_of_its_own_signals(
    events: list[tuple[str, Signal | None, float]],
) -> None:
    reports, alone = PaceReports(), {caller: PaceReports() for caller in ("", "a", "b")}

    for caller, signal, passed in events:
        for one in (reports, alone[caller]):
            now = one.clock.seconds
            if signal is None:
                one.paces.record_success(caller, began=now)
            else:
                one.paces.apply_signal(caller, signal, began=now)
        for one in (reports, *alone.values()):
            one.clock.advance(passed)

        for name, one in alone.items():
            here, there = reports.paces.pacer_of(name), one.paces.pacer_of(name)
            assert (here and here.pace) == (there and there.pace)
            assert reports.paces.state_of(name) is one.paces.state_of(name)
        states = {one.paces.state for one in alone.values()}
        ranked = (PaceState.PAUSED, PaceState.SLOWED, PaceState.FREE)
        slowest = next(one for one in ranked if one in states)
        assert reports.paces.state is slowest


@pytest.mark.parametrize("step", [PassTime(0.25), Cancel(0)])
async def test_the_pacer_is_idle_when_all_waiting_callers_have_left(step: Step) -> None:
    visits = PacerVisits(limit=1, queue=1)
    visits.pacer.slow_down(CallRate(1.0, until=visits.clock.seconds + 0.25))

    await visits.scene.play([Arrive(0.125), Arrive(0.375), Turns(4), step], visits.visit)

    assert visits.pacer.idle
