"""Pacing in the pipeline."""

from itertools import pairwise

import pytest

from app.errors import Code, SourceFailure
from app.resilience.breaker import BreakerState
from app.resilience.clock import Deadline
from app.resilience.pace import PaceState, Signal
from app.resilience.pacer import MAX_CALLERS, Slowdown
from app.resilience.pipeline import Attempt, PipelineResult
from app.settings.resilience import PacingSettings, RetrySettings
from tests.resilience.script import (
    Answer,
    Arrive,
    Cancel,
    End,
    PassTime,
    Step,
    Turns,
    failure,
)
from tests.resilience.stage import (
    LIMIT,
    NEVER_OPENS,
    NO_RETRIES,
    NOW,
    OPENS_AT_ONCE,
    REFUSED,
    RESERVE,
    Guarded,
    check_recovery,
    refused,
)


@pytest.mark.parametrize("code", [Code.SOURCE_OVERLOADED, Code.SOURCE_UNAVAILABLE])
async def test_a_call_with_retry_after_waits_so_long_and_needs_no_budget(code: Code) -> None:
    none = RetrySettings(max_retries=0, budget_share=0, budget_minimum=0)
    guarded = Guarded(retry=none, breaker=NEVER_OPENS)
    failed = failure(code, retryable=True, retry_after=3.0)

    outcome = await guarded.answer(failed, failed, failed, "good")

    assert outcome == PipelineResult("good", 4)
    assert guarded.began == pytest.approx([NOW, NOW + 3, NOW + 6, NOW + 9])


async def test_refused_calls_without_retry_after_wait_longer_each_time() -> None:
    guarded = Guarded(retry=RetrySettings(base_delay=0.2, max_delay=0.8, max_retries=0))

    outcome = await guarded.answer(REFUSED, seconds=2.0 + RESERVE)

    waits = [b - a for a, b in pairwise(guarded.began)]
    assert waits == pytest.approx([0.15, 0.3, 0.6, 0.6])
    assert outcome == PipelineResult(REFUSED, 5)
    assert guarded.clock.seconds == guarded.began[-1]  # there is no wait that would end too late


async def test_refusals_do_not_open_the_breaker() -> None:
    guarded = Guarded(breaker=OPENS_AT_ONCE)

    outcome = await guarded.answer(*[REFUSED] * 10, "good")

    assert outcome.answer == "good"
    assert guarded.changes == []


async def test_a_refused_probe_does_not_count_as_a_failure() -> None:
    guarded = Guarded(breaker=OPENS_AT_ONCE, retry=NO_RETRIES)
    await guarded.answer(failure())
    guarded.clock.advance(60.0)

    outcomes = [await guarded.answer(refused(1.0), "good"), await guarded.answer("good")]

    assert [outcome.answer for outcome in outcomes] == ["good", "good"]
    assert guarded.state() is BreakerState.CLOSED


async def test_an_outage_with_retry_after_opens_the_breaker() -> None:
    guarded = Guarded(breaker=OPENS_AT_ONCE)
    failed = failure(retryable=True, retry_after=1.0)

    assert await guarded.answer(failed) == PipelineResult(failed, 1)
    assert guarded.state() is BreakerState.OPEN
    assert guarded.clock.seconds == NOW


async def test_other_calls_wait_for_the_end_of_the_pause() -> None:
    guarded = Guarded()
    await guarded.arrive()
    guarded.service.end(refused(3.0))
    await guarded.clock.settle()

    await guarded.arrive(5)
    guarded.clock.advance(2.999)
    await guarded.clock.settle()
    assert guarded.service.made == 1
    assert guarded.pipeline.pace_state is PaceState.PAUSED

    guarded.clock.advance(0.001)
    await guarded.clock.settle()
    assert guarded.service.made == 7
    await guarded.end()
    assert guarded.codes == ["good"] * 6


async def test_calls_in_the_bulkhead_wait_for_the_end_of_the_pause() -> None:
    guarded = Guarded(max_calls=1)
    await guarded.arrive(3)
    guarded.service.end(refused(3.0))
    await guarded.clock.settle()

    assert guarded.service.running == []
    guarded.clock.advance(3.0)
    await guarded.clock.settle()
    assert len(guarded.service.running) == 1
    await guarded.end()
    assert guarded.codes == ["good"] * 3


async def test_a_call_fails_at_once_when_the_pause_is_longer_than_its_time() -> None:
    guarded = Guarded()
    await guarded.answer(refused(3.0), seconds=2.0)

    outcome = await guarded.answer("good", seconds=3.0 + RESERVE)

    assert isinstance(outcome.answer, SourceFailure)
    assert outcome.answer.code is Code.SOURCE_OVERLOADED
    assert outcome.attempts == 0
    assert guarded.clock.seconds == NOW
    assert (await guarded.answer("good", seconds=3.5 + RESERVE)).answer == "good"
    assert guarded.clock.seconds == NOW + 3.0


async def test_a_waiting_call_fails_at_once_when_the_pause_becomes_too_long() -> None:
    guarded = Guarded()
    await guarded.arrive(2)
    guarded.service.end(refused(1.0))
    await guarded.arrive(seconds=2.0)
    await guarded.arrive(seconds=60.0)

    guarded.service.end(refused(30.0))  # the other call, which still ran
    await guarded.clock.settle()

    assert [caller.done() for caller in guarded.scene.callers] == [False, False, True, False]
    assert guarded.outcomes[0].attempts == 0
    await guarded.end()
    assert guarded.codes == ["good", "good", Code.SOURCE_OVERLOADED, "good"]


async def test_a_refusal_halves_the_running_calls_and_good_answers_add_more() -> None:
    guarded = Guarded(max_calls=8)
    await guarded.arrive(8)
    for _ in range(8):
        guarded.service.end(refused(1.0))  # together, so that they count once
    await guarded.clock.settle()
    guarded.clock.advance(1.0)
    await guarded.clock.settle()
    running = [len(guarded.service.running)]
    await guarded.arrive(30)
    for _ in range(40):
        guarded.service.end()
        await guarded.clock.settle()
        running.append(len(guarded.service.running))
        if guarded.pipeline.pace_state is PaceState.FREE:
            break

    assert running[0] == 4
    assert running == sorted(running)
    assert running[-1] == 8
    await guarded.end()


async def test_the_pace_becomes_free_again_step_by_step() -> None:
    guarded = Guarded(max_calls=4)
    await guarded.answer(refused(1.0), "good")
    answers = 1
    while guarded.pipeline.pace_state is PaceState.SLOWED:
        await guarded.answer("good")
        answers += 1

    assert answers == 6
    assert guarded.pipeline.pace_state is PaceState.FREE


async def test_a_refusal_of_one_caller_does_not_slow_another() -> None:
    guarded = Guarded()
    deadline = Deadline(NOW + 1.0, guarded.clock)
    asked: list[str] = []

    def attempt(caller: str, answer: Answer) -> Attempt[str]:
        async def call(_seconds: float) -> Answer:
            asked.append(caller)
            return answer

        return call

    async def ask(caller: str, answer: Answer) -> PipelineResult[str]:
        return await guarded.pipeline.run(
            attempt(caller, answer), limit=LIMIT, deadline=deadline, reserve=0.0, caller=caller
        )

    await ask("anna", refused(30.0))
    assert (await ask("ben", "good")).answer == "good"
    assert (await ask("anna", "good")).attempts == 0

    assert asked == ["anna", "ben"]
    assert guarded.pipeline.pace_state_of("anna") is PaceState.PAUSED
    assert guarded.pipeline.pace_state_of("ben") is PaceState.FREE
    assert guarded.pipeline.pace_state is PaceState.PAUSED


async def test_the_number_of_callers_whose_pace_is_kept_is_limited() -> None:
    guarded = Guarded()
    for number in range(MAX_CALLERS + 1):
        guarded.pipeline.apply_signal(str(number), Signal(wait=30.0), began=NOW)

    assert guarded.pipeline.pace_state_of("0") is PaceState.FREE
    assert guarded.pipeline.pace_state_of(str(MAX_CALLERS)) is PaceState.PAUSED
    guarded.clock.advance(30.0)
    guarded.pipeline.apply_signal("one more", Signal(wait=30.0), began=NOW)
    assert guarded.pipeline.pace_state_of("1") is PaceState.FREE
    assert guarded.pipeline.pace_state_of("one more") is PaceState.PAUSED


@pytest.mark.parametrize(
    ("signal", "state"),
    [
        (Signal(wait=1.0), PaceState.PAUSED),
        (Signal(wait=0.0), PaceState.FREE),
        (Signal(left=1), PaceState.SLOWED),
        (Signal(left=63), PaceState.SLOWED),
        (Signal(left=64), PaceState.FREE),
    ],
)
@pytest.mark.parametrize("paced", [True, False])
async def test_the_signal_of_a_good_answer_changes_the_pace(
    signal: Signal, state: PaceState, *, paced: bool
) -> None:
    guarded = Guarded(pacing=PacingSettings(enabled=paced))

    guarded.pipeline.apply_signal("", signal, began=NOW)

    assert guarded.pipeline.pace_state is (state if paced else PaceState.FREE)


async def test_a_slowdown_is_reported_at_once_and_then_every_ten_seconds() -> None:
    guarded = Guarded()
    for _ in range(100):
        guarded.pipeline.apply_signal("", Signal(wait=5.0, left=0), began=guarded.clock.seconds)
        guarded.clock.advance(1.0)

    assert guarded.slowdowns[0] == Slowdown(limit=32, pause=5.0, signals=1)
    assert [slowdown.signals for slowdown in guarded.slowdowns] == [1, *[10] * 9]


@pytest.mark.parametrize("turns", range(6))
async def test_a_caller_cancelled_in_the_queue_leaves_its_turn_to_the_next(turns: int) -> None:
    guarded = Guarded(max_calls=2)  # one, when the pace is slowed
    script: list[Step] = [
        Arrive(60.0),
        Turns(9),
        End(0, refused(1.0)),
        Turns(9),
        Arrive(60.0),
        Arrive(60.0),
        Turns(9),
    ]

    await guarded.scene.play(
        [*script, PassTime(1.0), Turns(turns), Cancel(0), Turns(9), End(0, "good")], guarded.visit
    )

    assert guarded.codes == ["good", "good"]
    await check_recovery(guarded, 2)


async def test_the_number_of_calls_that_wait_in_a_pause_is_limited() -> None:
    guarded = Guarded(max_calls=2, max_waiting_calls=3)
    guarded.pipeline.apply_signal("", Signal(wait=1.0), began=NOW)

    await guarded.arrive(7)

    assert [caller.done() for caller in guarded.scene.callers] == [False] * 5 + [True] * 2
    await guarded.end()
    assert guarded.codes == ["good"] * 5 + [Code.SOURCE_OVERLOADED] * 2


async def test_a_postponed_call_is_not_hedged() -> None:
    guarded = Guarded(hedge=True)
    await guarded.measure_calls(0.5)
    await guarded.arrive()
    guarded.service.end(refused(3.0))
    await guarded.clock.settle()

    guarded.clock.advance(3.0)
    await guarded.clock.settle()
    guarded.clock.advance(1.0)
    await guarded.clock.settle()

    assert guarded.service.made == 2
    await guarded.end()
