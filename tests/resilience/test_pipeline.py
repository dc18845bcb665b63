"""Everything that a call to a service goes through, in its order."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Code, SourceFailure
from app.resilience.breaker import BreakerState
from app.resilience.clock import Deadline
from app.resilience.hedge import MIN_SAMPLES
from app.resilience.pace import PaceState, Signal
from app.resilience.pacer import MAX_CALLERS, Slowdown
from app.resilience.pipeline import UNHEALTHY, Attempt, PipelineResult
from app.settings.resilience import BreakerSettings, PacingSettings, RetrySettings
from tests.properties import examples
from tests.resilience.script import (
    Answer,
    Come,
    End,
    GiveUp,
    Pass,
    Step,
    Turns,
    failure,
    scripts,
)
from tests.resilience.stage import LIMIT, RESERVE, Guarded

NEVER_OPENS = BreakerSettings(min_calls=100_000)
NEVER_REPEATS = RetrySettings(max_retries=0)
UNPACED = PacingSettings(enabled=False)
AT_ONCE = BreakerSettings(min_calls=1, failure_rate=0.01, probes=2, open_for=4.0, max_open=60.0)
"""A breaker that opens at the first failure."""

OF_A_SOURCE = [code for code in Code if code.startswith("SOURCE_")]


# What callers may do to it


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
async def test_whatever_callers_and_the_service_do_every_promise_is_kept(
    script: Sequence[Step],
    **changes: Any,  # noqa: ANN401 # any setting
) -> None:
    guarded = Guarded(**changes)
    if changes["hedge"]:
        await guarded.prime(0.5)

    await guarded.scene.play(script, guarded.visit)

    guarded.see_that_all_was_right()
    retry: RetrySettings = changes["retry"]
    first_calls = len(guarded.scene.callers) + (MIN_SAMPLES if changes["hedge"] else 0)
    put_off = sum(
        not isinstance(answer, str) and is_put_off(answer) for answer in guarded.service.ended
    )
    allowed = retry.budget_minimum + retry.budget_share * first_calls + put_off
    assert guarded.service.made - len(guarded.scene.callers) <= allowed
    await see_that_it_recovers_and_has_all_of_its_room(guarded, changes["max_calls"])


def is_put_off(failed: SourceFailure) -> bool:
    """Tell whether a failure says nothing but "later"."""
    told = failed.retry_after is not None
    return failed.retryable and (told or failed.code is Code.SOURCE_OVERLOADED)


async def see_that_it_recovers_and_has_all_of_its_room(guarded: Guarded, limit: int) -> None:
    """Have the service work again: the breaker closes, and as many calls run as may."""
    guarded.clock.advance(120.0)
    for _ in range(3 + limit * limit):
        assert (await guarded.answer("good")).answer == "good"
    assert guarded.state() is BreakerState.CLOSED
    await guarded.come(limit + 1)
    assert len(guarded.service.running) == limit
    await guarded.end()


@settings(deadline=None)
@given(script=scripts(answers=["good", failure(Code.SOURCE_REJECTED)]), hedge=st.booleans())
async def test_no_cancellation_is_ever_counted_by_the_breaker(
    script: Sequence[Step], *, hedge: bool
) -> None:
    breaker = AT_ONCE.model_copy(update={"slow_call": 3600.0})
    guarded = Guarded(max_calls=2, hedge=hedge, breaker=breaker)
    if hedge:
        await guarded.prime(0.25)
    no_timeouts = [step for step in script if not isinstance(step, Pass)]

    await guarded.scene.play(no_timeouts, lambda _: guarded.visit(60.0))

    assert guarded.changes == []


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("which", [0, 1])
async def test_a_cancelled_caller_gives_its_room_back_running_or_waiting(
    turns: int, which: int
) -> None:
    guarded = Guarded(max_calls=1, max_waiting_calls=1)

    await guarded.scene.play(
        [Come(60.0, times=2), Turns(turns), GiveUp(which), Turns(9), Come(60.0)], guarded.visit
    )

    assert guarded.codes == ["good", "good"]
    await see_that_it_recovers_and_has_all_of_its_room(guarded, 1)


@pytest.mark.parametrize("error", [ValueError, TimeoutError])
async def test_what_a_call_raises_is_raised_and_costs_neither_room_nor_health(
    error: type[Exception],
) -> None:
    guarded = Guarded(max_calls=1, max_waiting_calls=0, breaker=AT_ONCE)
    deadline = Deadline(guarded.clock.seconds + 5.0, guarded.clock)

    async def call(_seconds: float) -> Answer:
        raise error

    for _ in range(3):
        with pytest.raises(error):
            await guarded.guard.run(call, limit=LIMIT, deadline=deadline, reserve=RESERVE)

    assert guarded.changes == []
    assert (await guarded.answer("good")).answer == "good"


# The breaker


def test_what_speaks_of_a_services_health() -> None:
    assert set(OF_A_SOURCE) - UNHEALTHY == {Code.SOURCE_REJECTED, Code.SOURCE_CIRCUIT_OPEN}


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (Code.SOURCE_TIMEOUT, BreakerState.OPEN),
        (Code.SOURCE_UNAVAILABLE, BreakerState.OPEN),
        (Code.SOURCE_MALFORMED, BreakerState.OPEN),
        (Code.SOURCE_OVERLOADED, BreakerState.OPEN),  # where its pace is not kept
        (Code.SOURCE_REJECTED, BreakerState.CLOSED),
    ],
)
@pytest.mark.parametrize("retryable", [True, False])
async def test_what_counts_against_a_service(
    code: Code, state: BreakerState, *, retryable: bool
) -> None:
    guarded = Guarded(breaker=AT_ONCE, retry=NEVER_REPEATS, pacing=UNPACED)

    await guarded.answer(failure(code, retryable=retryable))

    assert guarded.state() is state


@pytest.mark.parametrize(
    ("slow_call", "seconds", "state"),
    [
        (1.5, 1.25, BreakerState.CLOSED),
        (1.5, 1.5, BreakerState.OPEN),
        (None, 1.75, BreakerState.CLOSED),
        (None, 1.875, BreakerState.OPEN),  # more than nine tenths of the timeout
    ],
)
async def test_good_answers_that_come_slowly_count_too(
    slow_call: float | None, seconds: float, state: BreakerState
) -> None:
    guarded = Guarded(timeout=LIMIT, breaker=BreakerSettings(min_calls=2, slow_call=slow_call))

    for _ in range(2):
        await guarded.come()
        guarded.clock.advance(seconds)
        guarded.service.end()
        await guarded.clock.settle()

    assert guarded.codes == ["good", "good"]
    assert guarded.state() is state


async def test_the_time_that_is_waited_for_room_does_not_make_a_call_slow() -> None:
    guarded = Guarded(max_calls=1, breaker=BreakerSettings(min_calls=2, slow_rate=0.1))
    await guarded.come(20)

    for _ in range(20):
        guarded.clock.advance(1.0)
        guarded.service.end()
        await guarded.clock.settle()

    assert guarded.codes == ["good"] * 20
    assert guarded.changes == []


async def test_open_it_makes_no_call_and_says_so_at_once() -> None:
    guarded = Guarded(breaker=AT_ONCE, retry=NEVER_REPEATS)
    await guarded.answer(failure())

    outcome = await guarded.answer("good")

    assert isinstance(outcome.answer, SourceFailure)
    assert (outcome.answer.code, outcome.answer.source) == (Code.SOURCE_CIRCUIT_OPEN, "profile")
    assert not outcome.answer.retryable
    assert outcome.attempts == 0
    assert len(guarded.began) == 1
    assert guarded.clock.seconds == guarded.began[0]


async def test_who_waits_for_room_while_it_opens_does_not_call_any_more() -> None:
    guarded = Guarded(max_calls=1, breaker=AT_ONCE, retry=NEVER_REPEATS)
    await guarded.come(3)

    guarded.service.end(failure())
    await guarded.clock.settle()

    assert guarded.state() is BreakerState.OPEN
    assert guarded.service.made == 1
    await guarded.end()
    assert guarded.codes == [Code.SOURCE_UNAVAILABLE] + [Code.SOURCE_CIRCUIT_OPEN] * 2


@pytest.mark.parametrize("probes", [1, 3])
async def test_half_open_it_lets_exactly_the_probes_out(probes: int) -> None:
    breaker = AT_ONCE.model_copy(update={"probes": probes})
    guarded = Guarded(breaker=breaker, retry=NEVER_REPEATS)
    await guarded.answer(failure())
    guarded.clock.advance(60.0)

    await guarded.come(10)

    assert guarded.service.made == probes
    assert guarded.state() is BreakerState.HALF_OPEN
    await guarded.end()
    assert guarded.codes == ["good"] * probes + [Code.SOURCE_CIRCUIT_OPEN] * (10 - probes)
    assert guarded.state() is BreakerState.CLOSED


@pytest.mark.parametrize("turns", [1, 2, 9])
async def test_a_cancelled_probe_gives_its_place_to_another(turns: int) -> None:
    guarded = Guarded(breaker=AT_ONCE.model_copy(update={"probes": 1}), retry=NEVER_REPEATS)
    await guarded.answer(failure())
    guarded.clock.advance(60.0)

    await guarded.scene.play(
        [Come(60.0), Turns(turns), GiveUp(0), Turns(9), Come(60.0), Turns(9), Come(60.0)],
        guarded.visit,
    )

    assert guarded.codes == ["good", Code.SOURCE_CIRCUIT_OPEN]
    assert guarded.state() is BreakerState.CLOSED


async def test_a_probe_that_finds_no_room_gives_its_place_to_another() -> None:
    breaker = AT_ONCE.model_copy(update={"probes": 2, "open_for": 1.0})
    guarded = Guarded(max_calls=2, max_waiting_calls=0, breaker=breaker, retry=NEVER_REPEATS)
    await guarded.come(2)
    guarded.service.end(failure(), which=1)
    await guarded.clock.settle()
    guarded.clock.advance(1.0)

    # The other call still runs, so that there is room for one probe, not for two.
    await guarded.come(4)

    await guarded.end()
    old = ["good", Code.SOURCE_UNAVAILABLE]
    assert guarded.codes == [*old, "good", *[Code.SOURCE_OVERLOADED] * 3]
    assert guarded.state() is BreakerState.HALF_OPEN
    await guarded.answer("good")
    assert guarded.state() is BreakerState.CLOSED


async def test_what_was_never_called_counts_for_nothing() -> None:
    guarded = Guarded(max_calls=1, max_waiting_calls=0, breaker=AT_ONCE)
    await guarded.come(5)
    await guarded.come(5, seconds=RESERVE)

    assert guarded.changes == []
    await guarded.end()
    assert guarded.codes.count(Code.SOURCE_OVERLOADED) == 4
    assert guarded.codes.count(Code.SOURCE_TIMEOUT) == 5
    assert guarded.changes == []


async def test_clients_in_a_hurry_do_not_open_it_for_the_others() -> None:
    guarded = Guarded(breaker=BreakerSettings(min_calls=5))

    # The service answers in 100 ms; these clients allow themselves 10.
    for _ in range(50):
        await guarded.come(seconds=RESERVE + 0.01)
        guarded.clock.advance(0.01)
        await guarded.clock.settle()

    assert guarded.codes == [Code.SOURCE_TIMEOUT] * 50
    assert guarded.state() is BreakerState.CLOSED


async def test_a_service_that_hangs_opens_it() -> None:
    guarded = Guarded(breaker=BreakerSettings(min_calls=5), retry=NEVER_REPEATS)

    await guarded.come(5, seconds=5.0)
    guarded.clock.advance(LIMIT)
    await guarded.clock.settle()

    assert guarded.codes == [Code.SOURCE_TIMEOUT] * 5
    assert guarded.state() is BreakerState.OPEN


# Room


async def test_no_more_calls_run_than_may_and_no_more_wait() -> None:
    guarded = Guarded(max_calls=2, max_waiting_calls=3)

    await guarded.come(10)

    assert len(guarded.service.running) == 2
    assert [caller.done() for caller in guarded.scene.callers] == [False] * 5 + [True] * 5
    await guarded.end()
    assert guarded.codes == ["good"] * 5 + [Code.SOURCE_OVERLOADED] * 5
    assert [outcome.attempts for outcome in guarded.outcomes] == [0] * 5 + [1] * 5


async def test_who_finds_no_room_in_time_is_told_so_before_the_deadline() -> None:
    guarded = Guarded(max_calls=1)
    asked = guarded.clock.seconds
    await guarded.come()
    await guarded.come(seconds=1.0)

    guarded.clock.advance(1.0 - RESERVE)
    await guarded.clock.settle()

    assert guarded.outcomes[0].attempts == 0
    assert isinstance(guarded.outcomes[0].answer, SourceFailure)
    assert guarded.outcomes[0].answer.code is Code.SOURCE_OVERLOADED
    assert guarded.clock.seconds == asked + 1.0 - RESERVE
    await guarded.end()


async def test_what_was_waited_for_room_is_taken_off_the_time_of_the_call() -> None:
    guarded = Guarded(max_calls=1)
    await guarded.come()
    await guarded.come(seconds=2.0 + RESERVE)

    guarded.clock.advance(0.5)
    guarded.service.end()
    await guarded.clock.settle()

    assert guarded.given == [2.0, 1.5]
    await guarded.end()


async def test_a_call_is_not_made_when_its_time_ended_while_it_got_room() -> None:
    guarded = Guarded(max_calls=1)
    await guarded.come()
    await guarded.come(seconds=1.0)

    # It is given room, and before it notices the loop is held up for long.
    guarded.service.end()
    await asyncio.sleep(0)
    guarded.clock.advance(5.0)
    await guarded.end()

    assert guarded.service.made == 1
    assert guarded.outcomes[-1].attempts == 0


# Time


@pytest.mark.parametrize("seconds", [RESERVE, 0.1, 0.0, -1.0])
async def test_with_no_time_left_no_call_is_made(seconds: float) -> None:
    guarded = Guarded()

    outcome = await guarded.answer("good", seconds=seconds)

    assert isinstance(outcome.answer, SourceFailure)
    assert outcome.answer.code is Code.SOURCE_TIMEOUT
    assert outcome.attempts == 0
    assert guarded.began == []


@pytest.mark.parametrize(
    ("seconds", "given_to_it"), [(60.0, LIMIT), (LIMIT + RESERVE, LIMIT), (1.0, 1.0 - RESERVE)]
)
async def test_a_call_may_take_the_least_of_its_own_time_and_what_is_left(
    seconds: float, given_to_it: float
) -> None:
    guarded = Guarded()

    await guarded.answer("good", seconds=seconds)

    assert guarded.given == [given_to_it]


@settings(deadline=None)
@given(
    seconds=st.integers(0, 40).map(lambda tenths: tenths / 10),
    takes=st.integers(0, 10).map(lambda tenths: tenths / 10),
    retry_after=st.none() | st.sampled_from([0.0, 0.3, 1.0, 10.0]),
    luck=st.sampled_from([0.0, 0.5, 0.999]),
)
async def test_nothing_is_begun_or_waited_for_past_the_deadline(
    seconds: float, takes: float, retry_after: float | None, luck: float
) -> None:
    retry = RetrySettings(max_retries=10, base_delay=0.2, budget_minimum=1000)
    guarded = Guarded(luck=luck, retry=retry, breaker=NEVER_OPENS)
    failed = failure(retryable=True, retry_after=retry_after)
    end = guarded.clock.seconds + seconds - RESERVE

    async def call(given_to_it: float) -> Answer:
        assert 0 < given_to_it <= LIMIT
        assert guarded.clock.seconds + given_to_it <= end + 1e-9
        await guarded.clock.sleep(min(takes, given_to_it))
        return failed

    deadline = Deadline(guarded.clock.seconds + seconds, guarded.clock)
    await guarded.clock.run(
        guarded.guard.run(call, limit=LIMIT, deadline=deadline, reserve=RESERVE)
    )

    assert guarded.clock.seconds <= max(end, 1000.0) + 1e-9


# Repetitions


@pytest.mark.parametrize("code", OF_A_SOURCE)
@pytest.mark.parametrize(("retryable", "attempts"), [(True, 3), (False, 1)])
async def test_what_is_made_again(code: Code, attempts: int, *, retryable: bool) -> None:
    retry = RetrySettings(max_retries=2)
    guarded = Guarded(retry=retry, breaker=NEVER_OPENS, pacing=UNPACED)
    failed = failure(code, retryable=retryable)

    outcome = await guarded.answer(failed)

    assert outcome == PipelineResult(failed, attempts)
    assert len(guarded.began) == attempts


async def test_a_repetition_that_succeeds_is_the_answer() -> None:
    guarded = Guarded()

    outcome = await guarded.answer(failure(retryable=True), "good")

    assert outcome == PipelineResult("good", 2)


async def test_a_repetition_that_is_not_made_after_all_leaves_the_failure_as_it_was() -> None:
    opens_soon = BreakerSettings(min_calls=4, open_for=30.0)
    guarded = Guarded(breaker=opens_soon, pacing=UNPACED)
    answers: list[Answer] = [failure(Code.SOURCE_TIMEOUT, retryable=True)]
    made: list[float] = []

    async def fail(_: float) -> Answer:
        made.append(guarded.clock.seconds)
        return answers[0]

    def ask() -> asyncio.Task[PipelineResult[str]]:
        end = Deadline(guarded.clock.seconds + 60.0, guarded.clock)
        return asyncio.create_task(guarded.guard.run(fail, limit=LIMIT, deadline=end, reserve=0))

    repeated = ask()
    await guarded.clock.settle()
    answers[0] = failure(Code.SOURCE_UNAVAILABLE)
    for _ in range(3):
        await ask()
    assert guarded.state() is BreakerState.OPEN
    outcome = await guarded.clock.run(repeated)

    assert outcome == PipelineResult(failure(Code.SOURCE_TIMEOUT, retryable=True), 1)
    assert len(made) == 4


async def test_a_failure_that_no_repetition_helps_ends_it() -> None:
    guarded = Guarded(retry=RetrySettings(max_retries=5))

    outcome = await guarded.answer(failure(retryable=True), failure(Code.SOURCE_REJECTED))

    assert outcome == PipelineResult(failure(Code.SOURCE_REJECTED), 2)


@pytest.mark.parametrize(
    ("luck", "waits"),
    [
        (0.0, [0.0, 0.0, 0.0, 0.0]),
        (0.5, [0.05, 0.1, 0.2, 0.25]),
        (0.999, [0.0999, 0.1998, 0.3996, 0.4995]),
    ],
)
async def test_the_waits_between_grow_and_vary(luck: float, waits: list[float]) -> None:
    retry = RetrySettings(max_retries=4, base_delay=0.1, max_delay=0.5, budget_minimum=10)
    guarded = Guarded(luck=luck, retry=retry)

    await guarded.answer(failure(retryable=True))

    began = guarded.began
    assert [b - a for a, b in pairwise(began)] == pytest.approx(waits)


@pytest.mark.parametrize("paced", [True, False])
@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.1), (0.1, 0.1), (3.0, 3.0)])
async def test_a_service_is_asked_again_when_it_said_but_not_at_once(
    asked: float, waited: float, *, paced: bool
) -> None:
    pacing = PacingSettings(enabled=paced)
    guarded = Guarded(retry=RetrySettings(base_delay=0.1), pacing=pacing, luck=0.0)
    failed = failure(Code.SOURCE_OVERLOADED, retryable=True, retry_after=asked)

    await guarded.answer(failed, "good")

    assert guarded.began == pytest.approx([1000.0, 1000.0 + waited])


@pytest.mark.parametrize("asked", [4.875, 5.0, 1e9, float("inf")])
async def test_a_wait_that_does_not_fit_the_deadline_is_not_begun(asked: float) -> None:
    guarded = Guarded()
    failed = failure(Code.SOURCE_OVERLOADED, retryable=True, retry_after=asked)

    outcome = await guarded.answer(failed, "good", seconds=5.0)

    assert outcome == PipelineResult(failed, 1)
    assert guarded.clock.seconds == 1000.0
    assert guarded.guard.take_repetition()


@pytest.mark.parametrize(
    ("share", "minimum", "repetitions"), [(0.1, 0, 10), (0.1, 3, 13), (0.0, 0, 0), (1.0, 0, 100)]
)
async def test_an_outage_is_multiplied_by_the_share_at_most(
    share: float, minimum: int, repetitions: int
) -> None:
    retry = RetrySettings(budget_share=share, budget_minimum=minimum, budget_window=3600.0)
    guarded = Guarded(luck=0.0, retry=retry, breaker=NEVER_OPENS)

    for _ in range(100):
        await guarded.answer(failure(retryable=True))

    assert len(guarded.began) == 100 + repetitions


async def test_what_a_caller_repeats_itself_comes_out_of_the_same_budget() -> None:
    guarded = Guarded(retry=RetrySettings(budget_share=0.0, budget_minimum=2))

    assert guarded.guard.take_repetition()
    outcome = await guarded.answer(failure(retryable=True))

    assert outcome.attempts == 2
    assert not guarded.guard.take_repetition()


async def test_calls_that_were_never_made_may_not_be_repeated_either() -> None:
    retry = RetrySettings(budget_share=0.1, budget_minimum=0, budget_window=3600.0)
    guarded = Guarded(retry=retry, breaker=AT_ONCE)
    await guarded.answer(failure())

    for _ in range(100):
        assert (await guarded.answer("good")).attempts == 0

    assert not guarded.guard.take_repetition()


async def test_a_caller_who_gives_up_between_two_calls_makes_no_other() -> None:
    guarded = Guarded(retry=RetrySettings(base_delay=1.0))
    await guarded.come()
    guarded.service.end(failure(retryable=True))
    await guarded.clock.settle()

    guarded.scene.give_up(0)
    guarded.clock.advance(60.0)
    await guarded.end()

    assert guarded.service.made == 1


# Its own word on how fast it is asked


NOW = 1000.0
"""When every stage begins."""

REFUSED = failure(Code.SOURCE_OVERLOADED, retryable=True)


def refused(seconds: float) -> SourceFailure:
    """Make a refusal that says when to come again."""
    return failure(Code.SOURCE_OVERLOADED, retryable=True, retry_after=seconds)


@pytest.mark.parametrize("code", [Code.SOURCE_OVERLOADED, Code.SOURCE_UNAVAILABLE])
async def test_who_is_told_when_to_come_comes_then_and_no_budget_is_asked(code: Code) -> None:
    none = RetrySettings(max_retries=0, budget_share=0, budget_minimum=0)
    guarded = Guarded(retry=none, breaker=NEVER_OPENS)
    failed = failure(code, retryable=True, retry_after=3.0)

    outcome = await guarded.answer(failed, failed, failed, "good")

    assert outcome == PipelineResult("good", 4)
    assert guarded.began == pytest.approx([NOW, NOW + 3, NOW + 6, NOW + 9])


async def test_who_is_not_told_when_comes_after_growing_waits_while_there_is_time() -> None:
    guarded = Guarded(retry=RetrySettings(base_delay=0.2, max_delay=0.8, max_retries=0))

    outcome = await guarded.answer(REFUSED, seconds=2.0 + RESERVE)

    waits = [b - a for a, b in pairwise(guarded.began)]
    assert waits == pytest.approx([0.15, 0.3, 0.6, 0.6])
    assert outcome == PipelineResult(REFUSED, 5)
    assert guarded.clock.seconds == guarded.began[-1]  # and does not wait for what is too late


async def test_refusals_do_not_open_the_circuit_and_good_answers_still_count() -> None:
    guarded = Guarded(breaker=AT_ONCE)

    outcome = await guarded.answer(*[REFUSED] * 10, "good")

    assert outcome.answer == "good"
    assert guarded.changes == []


async def test_a_probe_that_is_refused_is_no_failure_and_gives_its_place_to_another() -> None:
    guarded = Guarded(breaker=AT_ONCE, retry=NEVER_REPEATS)
    await guarded.answer(failure())
    guarded.clock.advance(60.0)

    outcomes = [await guarded.answer(refused(1.0), "good"), await guarded.answer("good")]

    assert [outcome.answer for outcome in outcomes] == ["good", "good"]
    assert guarded.state() is BreakerState.CLOSED


async def test_an_outage_that_says_when_to_come_opens_the_circuit_like_any() -> None:
    guarded = Guarded(breaker=AT_ONCE)
    failed = failure(retryable=True, retry_after=1.0)

    assert await guarded.answer(failed) == PipelineResult(failed, 1)
    assert guarded.state() is BreakerState.OPEN
    assert guarded.clock.seconds == NOW


async def test_other_calls_wait_too_instead_of_running_into_the_same_wall() -> None:
    guarded = Guarded()
    await guarded.come()
    guarded.service.end(refused(3.0))
    await guarded.clock.settle()

    await guarded.come(5)
    guarded.clock.advance(2.999)
    await guarded.clock.settle()
    assert guarded.service.made == 1
    assert guarded.guard.pace_state is PaceState.PAUSED

    guarded.clock.advance(0.001)
    await guarded.clock.settle()
    assert guarded.service.made == 7
    await guarded.end()
    assert guarded.codes == ["good"] * 6


async def test_calls_that_wait_for_room_wait_too() -> None:
    guarded = Guarded(max_calls=1)
    await guarded.come(3)
    guarded.service.end(refused(3.0))
    await guarded.clock.settle()

    assert guarded.service.running == []
    guarded.clock.advance(3.0)
    await guarded.clock.settle()
    assert len(guarded.service.running) == 1
    await guarded.end()
    assert guarded.codes == ["good"] * 3


async def test_who_has_less_time_than_the_pause_takes_is_told_so_at_once() -> None:
    guarded = Guarded()
    await guarded.answer(refused(3.0), seconds=2.0)

    outcome = await guarded.answer("good", seconds=3.0 + RESERVE)

    assert isinstance(outcome.answer, SourceFailure)
    assert outcome.answer.code is Code.SOURCE_OVERLOADED
    assert outcome.attempts == 0
    assert guarded.clock.seconds == NOW
    assert (await guarded.answer("good", seconds=3.5 + RESERVE)).answer == "good"
    assert guarded.clock.seconds == NOW + 3.0


async def test_who_waits_is_told_at_once_when_the_pause_has_become_too_long() -> None:
    guarded = Guarded()
    await guarded.come(2)
    guarded.service.end(refused(1.0))
    await guarded.come(seconds=2.0)
    await guarded.come(seconds=60.0)

    guarded.service.end(refused(30.0))  # the other call, which was under way
    await guarded.clock.settle()

    assert [caller.done() for caller in guarded.scene.callers] == [False, False, True, False]
    assert guarded.outcomes[0].attempts == 0
    await guarded.end()
    assert guarded.codes == ["good", "good", Code.SOURCE_OVERLOADED, "good"]


async def test_calls_at_the_same_time_are_halved_and_become_more_with_good_answers() -> None:
    guarded = Guarded(max_calls=8)
    await guarded.come(8)
    for _ in range(8):
        guarded.service.end(refused(1.0))  # together, so that they count once
    await guarded.clock.settle()
    guarded.clock.advance(1.0)
    await guarded.clock.settle()
    running = [len(guarded.service.running)]
    await guarded.come(30)
    for _ in range(40):
        guarded.service.end()
        await guarded.clock.settle()
        running.append(len(guarded.service.running))
        if guarded.guard.pace_state is PaceState.FREE:
            break

    assert running[0] == 4
    assert running == sorted(running)
    assert running[-1] == 8
    await guarded.end()


async def test_it_is_back_at_full_speed_step_by_step() -> None:
    guarded = Guarded(max_calls=4)
    await guarded.answer(refused(1.0), "good")
    answers = 1
    while guarded.guard.pace_state is PaceState.SLOWED:
        await guarded.answer("good")
        answers += 1

    assert answers == 6
    assert guarded.guard.pace_state is PaceState.FREE


async def test_what_it_says_to_one_caller_slows_no_other() -> None:
    guarded = Guarded()
    deadline = Deadline(NOW + 1.0, guarded.clock)
    asked: list[str] = []

    def attempt(caller: str, answer: Answer) -> Attempt[str]:
        async def call(_seconds: float) -> Answer:
            asked.append(caller)
            return answer

        return call

    async def ask(caller: str, answer: Answer) -> PipelineResult[str]:
        return await guarded.guard.run(
            attempt(caller, answer), limit=LIMIT, deadline=deadline, reserve=0.0, caller=caller
        )

    await ask("anna", refused(30.0))
    assert (await ask("ben", "good")).answer == "good"
    assert (await ask("anna", "good")).attempts == 0

    assert asked == ["anna", "ben"]
    assert guarded.guard.pace_state_of("anna") is PaceState.PAUSED
    assert guarded.guard.pace_state_of("ben") is PaceState.FREE
    assert guarded.guard.pace_state is PaceState.PAUSED


async def test_of_very_many_callers_not_all_are_remembered() -> None:
    guarded = Guarded()
    for number in range(MAX_CALLERS + 1):
        guarded.guard.apply_signal(str(number), Signal(wait=30.0), began=NOW)

    assert guarded.guard.pace_state_of("0") is PaceState.FREE
    assert guarded.guard.pace_state_of(str(MAX_CALLERS)) is PaceState.PAUSED
    guarded.clock.advance(30.0)
    guarded.guard.apply_signal("one more", Signal(wait=30.0), began=NOW)
    assert guarded.guard.pace_state_of("1") is PaceState.FREE
    assert guarded.guard.pace_state_of("one more") is PaceState.PAUSED


@pytest.mark.parametrize(
    ("signal", "tempo"),
    [
        (Signal(wait=1.0), PaceState.PAUSED),
        (Signal(wait=0.0), PaceState.FREE),
        (Signal(left=1), PaceState.SLOWED),
        (Signal(left=63), PaceState.SLOWED),
        (Signal(left=64), PaceState.FREE),
    ],
)
@pytest.mark.parametrize("paced", [True, False])
async def test_good_answers_may_ask_for_it_too(
    signal: Signal, tempo: PaceState, *, paced: bool
) -> None:
    guarded = Guarded(pacing=PacingSettings(enabled=paced))

    guarded.guard.apply_signal("", signal, began=NOW)

    assert guarded.guard.pace_state is (tempo if paced else PaceState.FREE)


async def test_a_slowdown_is_told_at_once_and_then_not_too_often() -> None:
    guarded = Guarded()
    for _ in range(100):
        guarded.guard.apply_signal("", Signal(wait=5.0, left=0), began=guarded.clock.seconds)
        guarded.clock.advance(1.0)

    assert guarded.slowdowns[0] == Slowdown(limit=32, pause=5.0, signals=1)
    assert [slowdown.signals for slowdown in guarded.slowdowns] == [1, *[10] * 9]


@pytest.mark.parametrize("turns", range(6))
async def test_a_caller_who_gives_up_in_the_line_leaves_its_turn_to_the_next(turns: int) -> None:
    guarded = Guarded(max_calls=2)  # one of them, once it is slowed down
    script: list[Step] = [
        Come(60.0),
        Turns(9),
        End(0, refused(1.0)),
        Turns(9),
        Come(60.0),
        Come(60.0),
        Turns(9),
    ]

    await guarded.scene.play(
        [*script, Pass(1.0), Turns(turns), GiveUp(0), Turns(9), End(0, "good")], guarded.visit
    )

    assert guarded.codes == ["good", "good"]
    await see_that_it_recovers_and_has_all_of_its_room(guarded, 2)


async def test_no_more_wait_for_their_turn_than_may() -> None:
    guarded = Guarded(max_calls=2, max_waiting_calls=3)
    guarded.guard.apply_signal("", Signal(wait=1.0), began=NOW)

    await guarded.come(7)

    assert [caller.done() for caller in guarded.scene.callers] == [False] * 5 + [True] * 2
    await guarded.end()
    assert guarded.codes == ["good"] * 5 + [Code.SOURCE_OVERLOADED] * 2


async def test_a_call_that_is_put_off_is_not_hedged() -> None:
    guarded = Guarded(hedge=True)
    await guarded.prime(0.5)
    await guarded.come()
    guarded.service.end(refused(3.0))
    await guarded.clock.settle()

    guarded.clock.advance(3.0)
    await guarded.clock.settle()
    guarded.clock.advance(1.0)
    await guarded.clock.settle()

    assert guarded.service.made == 2
    await guarded.end()


# Hedging


async def test_hedging_is_off_by_default() -> None:
    guarded = Guarded()
    await guarded.prime(0.5)

    await guarded.come()
    guarded.clock.advance(1.0)
    await guarded.clock.settle()

    assert guarded.service.made == 1
    await guarded.end()


async def test_no_call_is_hedged_while_little_is_known() -> None:
    guarded = Guarded(hedge=True)

    await guarded.come()
    guarded.clock.advance(1.0)
    await guarded.clock.settle()

    assert guarded.service.made == 1
    await guarded.end()


async def test_failures_say_nothing_of_how_long_a_good_call_takes() -> None:
    guarded = Guarded(hedge=True, breaker=NEVER_OPENS, retry=NEVER_REPEATS)
    await guarded.prime(0.01, failure())

    await guarded.come()
    guarded.clock.advance(1.0)
    await guarded.clock.settle()

    assert guarded.service.made == 1
    await guarded.end()


@pytest.mark.parametrize("winner", [0, 1])
async def test_a_call_slower_than_nearly_all_is_made_twice_and_the_loser_counts_for_nothing(
    winner: int,
) -> None:
    guarded = Guarded(hedge=True, breaker=AT_ONCE)
    await guarded.prime(0.5)
    await guarded.come()

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


async def test_both_calls_of_a_hedge_are_told_of() -> None:
    guarded = Guarded(hedge=True)
    await guarded.prime(0.5)

    await guarded.scene.play(
        [Come(60.0), Turns(9), Pass(0.5), Turns(9), End(1, "good"), Turns(9)], guarded.visit
    )

    assert guarded.service.made == 2
    assert [outcome.attempts for outcome in guarded.outcomes] == [2]


async def test_hedges_and_repetitions_share_a_budget() -> None:
    retry = RetrySettings(budget_share=0.0, budget_minimum=2, budget_window=3600.0)
    guarded = Guarded(hedge=True, retry=retry)
    await guarded.prime(0.5)

    await guarded.come(5)
    guarded.clock.advance(0.5)
    await guarded.clock.settle()

    assert guarded.service.made == 7
    assert not guarded.guard.take_repetition()
    await guarded.end()


async def test_a_hedge_takes_room_like_any_call_and_without_room_the_first_is_waited_for() -> None:
    guarded = Guarded(hedge=True, max_calls=1, max_waiting_calls=0)
    await guarded.prime(0.5)
    await guarded.come()

    guarded.clock.advance(0.5)
    await guarded.clock.settle()

    assert guarded.service.made == 1
    await guarded.end()
    assert guarded.codes == ["good"]
