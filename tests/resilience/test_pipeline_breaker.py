"""The breaker in the pipeline."""

import pytest

from app.errors import Code, SourceFailure
from app.resilience.breaker import BreakerState
from app.resilience.pipeline import UNHEALTHY
from app.settings.resilience import BreakerSettings
from tests.resilience.script import Arrive, Cancel, Turns, failure
from tests.resilience.stage import (
    LIMIT,
    NO_PACING,
    NO_RETRIES,
    OPENS_AT_ONCE,
    RESERVE,
    SOURCE_CODES,
    Guarded,
)


def test_all_codes_of_a_source_but_two_count_as_unhealthy() -> None:
    assert set(SOURCE_CODES) - UNHEALTHY == {Code.SOURCE_REJECTED, Code.SOURCE_CIRCUIT_OPEN}


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (Code.SOURCE_TIMEOUT, BreakerState.OPEN),
        (Code.SOURCE_UNAVAILABLE, BreakerState.OPEN),
        (Code.SOURCE_MALFORMED, BreakerState.OPEN),
        (Code.SOURCE_OVERLOADED, BreakerState.OPEN),  # without pacing
        (Code.SOURCE_REJECTED, BreakerState.CLOSED),
    ],
)
@pytest.mark.parametrize("retryable", [True, False])
async def test_only_unhealthy_failures_open_the_breaker(
    code: Code, state: BreakerState, *, retryable: bool
) -> None:
    guarded = Guarded(breaker=OPENS_AT_ONCE, retry=NO_RETRIES, pacing=NO_PACING)

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
async def test_slow_good_answers_open_the_breaker(
    slow_call: float | None, seconds: float, state: BreakerState
) -> None:
    guarded = Guarded(timeout=LIMIT, breaker=BreakerSettings(min_calls=2, slow_call=slow_call))

    for _ in range(2):
        await guarded.arrive()
        guarded.clock.advance(seconds)
        guarded.service.end()
        await guarded.clock.settle()

    assert guarded.codes == ["good", "good"]
    assert guarded.state() is state


async def test_the_wait_in_the_bulkhead_does_not_make_a_call_slow() -> None:
    guarded = Guarded(max_calls=1, breaker=BreakerSettings(min_calls=2, slow_rate=0.1))
    await guarded.arrive(20)

    for _ in range(20):
        guarded.clock.advance(1.0)
        guarded.service.end()
        await guarded.clock.settle()

    assert guarded.codes == ["good"] * 20
    assert guarded.changes == []


async def test_an_open_breaker_makes_no_call_and_fails_at_once() -> None:
    guarded = Guarded(breaker=OPENS_AT_ONCE, retry=NO_RETRIES)
    await guarded.answer(failure())

    outcome = await guarded.answer("good")

    assert isinstance(outcome.answer, SourceFailure)
    assert (outcome.answer.code, outcome.answer.source) == (Code.SOURCE_CIRCUIT_OPEN, "profile")
    assert not outcome.answer.retryable
    assert outcome.attempts == 0
    assert len(guarded.began) == 1
    assert guarded.clock.seconds == guarded.began[0]


async def test_a_caller_in_the_bulkhead_makes_no_call_after_the_breaker_opens() -> None:
    guarded = Guarded(max_calls=1, breaker=OPENS_AT_ONCE, retry=NO_RETRIES)
    await guarded.arrive(3)

    guarded.service.end(failure())
    await guarded.clock.settle()

    assert guarded.state() is BreakerState.OPEN
    assert guarded.service.made == 1
    await guarded.end()
    assert guarded.codes == [Code.SOURCE_UNAVAILABLE] + [Code.SOURCE_CIRCUIT_OPEN] * 2


@pytest.mark.parametrize("probes", [1, 3])
async def test_a_half_open_breaker_lets_only_its_probes_through(probes: int) -> None:
    breaker = OPENS_AT_ONCE.model_copy(update={"probes": probes})
    guarded = Guarded(breaker=breaker, retry=NO_RETRIES)
    await guarded.answer(failure())
    guarded.clock.advance(60.0)

    await guarded.arrive(10)

    assert guarded.service.made == probes
    assert guarded.state() is BreakerState.HALF_OPEN
    await guarded.end()
    assert guarded.codes == ["good"] * probes + [Code.SOURCE_CIRCUIT_OPEN] * (10 - probes)
    assert guarded.state() is BreakerState.CLOSED


@pytest.mark.parametrize("turns", [1, 2, 9])
async def test_another_call_replaces_a_cancelled_probe(turns: int) -> None:
    guarded = Guarded(breaker=OPENS_AT_ONCE.model_copy(update={"probes": 1}), retry=NO_RETRIES)
    await guarded.answer(failure())
    guarded.clock.advance(60.0)

    await guarded.scene.play(
        [Arrive(60.0), Turns(turns), Cancel(0), Turns(9), Arrive(60.0), Turns(9), Arrive(60.0)],
        guarded.visit,
    )

    assert guarded.codes == ["good", Code.SOURCE_CIRCUIT_OPEN]
    assert guarded.state() is BreakerState.CLOSED


async def test_another_call_replaces_a_probe_without_room_in_the_bulkhead() -> None:
    breaker = OPENS_AT_ONCE.model_copy(update={"probes": 2, "open_for": 1.0})
    guarded = Guarded(max_calls=2, max_waiting_calls=0, breaker=breaker, retry=NO_RETRIES)
    await guarded.arrive(2)
    guarded.service.end(failure(), which=1)
    await guarded.clock.settle()
    guarded.clock.advance(1.0)

    # The other call still runs: the bulkhead has room for one probe, not for two.
    await guarded.arrive(4)

    await guarded.end()
    old = ["good", Code.SOURCE_UNAVAILABLE]
    assert guarded.codes == [*old, "good", *[Code.SOURCE_OVERLOADED] * 3]
    assert guarded.state() is BreakerState.HALF_OPEN
    await guarded.answer("good")
    assert guarded.state() is BreakerState.CLOSED


async def test_calls_that_were_not_made_do_not_count() -> None:
    guarded = Guarded(max_calls=1, max_waiting_calls=0, breaker=OPENS_AT_ONCE)
    await guarded.arrive(5)
    await guarded.arrive(5, seconds=RESERVE)

    assert guarded.changes == []
    await guarded.end()
    assert guarded.codes.count(Code.SOURCE_OVERLOADED) == 4
    assert guarded.codes.count(Code.SOURCE_TIMEOUT) == 5
    assert guarded.changes == []


async def test_clients_with_short_deadlines_do_not_open_the_breaker() -> None:
    guarded = Guarded(breaker=BreakerSettings(min_calls=5))

    # The service needs 100 ms for an answer; the deadline of these clients is 10 ms.
    for _ in range(50):
        await guarded.arrive(seconds=RESERVE + 0.01)
        guarded.clock.advance(0.01)
        await guarded.clock.settle()

    assert guarded.codes == [Code.SOURCE_TIMEOUT] * 50
    assert guarded.state() is BreakerState.CLOSED


async def test_a_service_that_hangs_opens_the_breaker() -> None:
    guarded = Guarded(breaker=BreakerSettings(min_calls=5), retry=NO_RETRIES)

    await guarded.arrive(5, seconds=5.0)
    guarded.clock.advance(LIMIT)
    await guarded.clock.settle()

    assert guarded.codes == [Code.SOURCE_TIMEOUT] * 5
    assert guarded.state() is BreakerState.OPEN
