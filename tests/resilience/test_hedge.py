"""A hedge is a second call, made when the first one is slower than nearly all calls."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.resilience.hedge import MAX_SAMPLES, MIN_SAMPLES, Latencies, hedged
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

DELAY = 0.5


def is_good(answer: Answer) -> bool:
    """Return whether an answer wins."""
    return isinstance(answer, str)


class Hedging:
    """A hedged call with its callers, service and clock."""

    def __init__(self, *, may_repeat: bool = True) -> None:
        self.clock = ManualClock()
        self.service = ScriptedService()
        self.scene = Scene(self.clock, self.service)
        self.asked = 0
        self._may_repeat = may_repeat

    def may_repeat(self) -> bool:
        """Return whether there may be a second call."""
        self.asked += 1
        return self._may_repeat

    async def visit(self, _seconds: float) -> Answer:
        """Make the call, and check that no call to the service is left after it."""
        began = self.clock.seconds
        try:
            answer = await hedged(
                self.service.call,
                delay=DELAY,
                may_repeat=self.may_repeat,
                is_good=is_good,
                clock=self.clock,
            )
        finally:
            assert self.service.running == []
            assert self.service.made < 2 or self.clock.seconds >= began + DELAY
        return answer

    async def play(self, *script: Step) -> None:
        """Start one caller, and play a script."""
        await self.scene.play([Arrive(60.0), Turns(5), *script], self.visit)

    @property
    def answer(self) -> Answer:
        """The answer to the one caller."""
        (answer,) = self.scene.answers
        return answer


@settings(deadline=None, max_examples=examples(80))
@given(may_repeat=st.booleans(), script=scripts(answers=["good", "fine", failure()]))
async def test_a_good_answer_always_wins_and_no_call_is_left(
    script: Sequence[Step], *, may_repeat: bool
) -> None:
    hedging = Hedging(may_repeat=may_repeat)

    await hedging.play(*(step for step in script if not isinstance(step, Arrive)))

    assert hedging.asked <= 1
    assert hedging.service.made <= 1 + may_repeat
    for answer in hedging.scene.answers:
        assert answer in hedging.service.ended
        assert is_good(answer) or not any(map(is_good, hedging.service.ended))


async def test_a_fast_call_is_not_hedged() -> None:
    hedging = Hedging()

    await hedging.play(PassTime(DELAY - 0.01), Turns(5), End(0, "good"))

    assert hedging.answer == "good"
    assert (hedging.service.made, hedging.asked) == (1, 0)


async def test_a_fast_failure_is_returned_without_a_hedge() -> None:
    hedging = Hedging()

    await hedging.play(End(0, failure()), Turns(9), PassTime(DELAY))

    assert hedging.answer == failure()
    assert (hedging.service.made, hedging.asked) == (1, 0)


@pytest.mark.parametrize("winner", [0, 1])
async def test_the_first_good_answer_wins_and_the_other_call_is_cancelled(
    winner: int,
) -> None:
    hedging = Hedging()

    await hedging.play(PassTime(DELAY), Turns(5), End(winner, "good"), Turns(9))

    assert hedging.answer == "good"
    assert hedging.service.made == 2
    assert hedging.service.ended == ["good"]


@pytest.mark.parametrize("first", [0, 1])
async def test_a_failed_call_of_a_hedge_waits_for_the_other_call(first: int) -> None:
    hedging = Hedging()

    await hedging.play(PassTime(DELAY), Turns(5), End(first, failure()), Turns(9), End(0, "good"))

    assert hedging.answer == "good"


async def test_the_last_failure_is_returned_when_both_calls_fail() -> None:
    hedging = Hedging()
    last = failure(retryable=True)

    await hedging.play(PassTime(DELAY), Turns(5), End(0, failure()), Turns(9), End(0, last))

    assert hedging.answer == last


@pytest.mark.parametrize("answers", [("good", failure()), (failure(), "good")])
async def test_a_good_answer_wins_over_a_failure_at_the_same_moment(
    answers: tuple[Answer, Answer],
) -> None:
    for _ in range(10):  # which of the two is looked at first is up to the interpreter
        hedging = Hedging()
        first, second = answers

        await hedging.play(PassTime(DELAY), Turns(5), End(0, first), End(0, second), Turns(9))

        assert hedging.answer == "good"


async def test_the_first_call_goes_on_when_no_hedge_is_allowed() -> None:
    hedging = Hedging(may_repeat=False)

    await hedging.play(PassTime(DELAY), Turns(5), PassTime(60.0), Turns(5), End(0, "good"))

    assert hedging.answer == "good"
    assert (hedging.service.made, hedging.asked) == (1, 1)


@pytest.mark.parametrize("passed", [0.0, DELAY])
@pytest.mark.parametrize("turns", range(1, 5))
async def test_a_cancelled_caller_leaves_no_call_running(passed: float, turns: int) -> None:
    hedging = Hedging()

    await hedging.play(PassTime(passed), Turns(turns), Cancel(0))

    assert hedging.scene.answers == []
    assert hedging.service.ended == []


@pytest.mark.parametrize("error", [ValueError, TimeoutError])
@pytest.mark.parametrize("raising", [1, 2])
async def test_an_error_of_one_call_is_raised_and_the_other_is_cancelled(
    error: type[Exception], raising: int
) -> None:
    clock, service = ManualClock(), ScriptedService()

    async def call() -> Answer:
        if service.made + 1 == raising:
            service.made += 1
            await clock.sleep(1.0)
            raise error
        return await service.call()

    with pytest.raises(error):
        await clock.run(
            hedged(call, delay=DELAY, may_repeat=lambda: True, is_good=is_good, clock=clock)
        )

    assert service.made == 2
    assert service.running == []


async def test_the_cancelled_call_may_finish_its_cleanup() -> None:
    clock = ManualClock()
    calls: list[int] = []
    cleaned_up: list[int] = []

    async def call() -> str:
        calls.append(1)
        if len(calls) == 2:
            return "good"
        try:
            await asyncio.Event().wait()
        finally:
            await clock.sleep(1.0)
            cleaned_up.append(1)
        return "never"

    answer = await clock.run(
        hedged(call, delay=DELAY, may_repeat=lambda: True, is_good=is_good, clock=clock)
    )

    assert answer == "good"
    assert cleaned_up == [1]


def test_no_percentile_is_known_from_too_few_calls() -> None:
    latencies = Latencies()

    for _ in range(MIN_SAMPLES - 1):
        latencies.add(1.0)
        assert latencies.p95() is None
    latencies.add(1.0)

    assert latencies.p95() == 1.0


@settings(deadline=None)
@given(seconds=st.lists(st.floats(0, 3600), min_size=MIN_SAMPLES, max_size=2 * MAX_SAMPLES))
def test_p95_is_the_95th_percentile_of_the_last_calls(
    seconds: list[float],
) -> None:
    latencies = Latencies()
    for one in seconds:
        latencies.add(one)
    last = seconds[-MAX_SAMPLES:]

    p95 = latencies.p95()

    assert p95 in last
    assert sum(one <= p95 for one in last) >= 0.95 * len(last)
    assert sum(one < p95 for one in last) <= 0.95 * len(last)
