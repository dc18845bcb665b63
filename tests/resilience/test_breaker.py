"""The breaker stops calls to a source that keeps failing."""

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.errors import Code
from app.resilience.breaker import (
    Breaker,
    BreakerState,
    CallCounts,
    ChangeReason,
    Permit,
    StateChange,
)
from app.resilience.retry import SLOTS
from app.settings.resilience import BreakerSettings
from tests.clock import ManualClock
from tests.properties import examples

LUCK = (0.0, 0.5, 0.999)

DOWN = Code.SOURCE_UNAVAILABLE
"""The code of failed calls, unless a test sets another."""

SLOW = 1.5
"""The setting ``slow_call`` of these tests: a call is slow from so many seconds."""

WHICH = st.integers(0, 7)
"""Which of the last permits, counted from the end; some of them were used before."""


class WatchedBreaker:
    """A breaker with its clock, its random numbers and its changes of state.

    Attributes:
        breaker: The breaker.
        clock: The clock of the breaker.
        luck: The random number that the breaker gets.
        changes: The changes of state of the breaker.
    """

    def __init__(self, **changes: Any) -> None:  # noqa: ANN401 # any setting of a breaker
        self.luck = 0.999
        self.clock = ManualClock()
        self.changes: list[StateChange] = []
        self.breaker = Breaker(
            BreakerSettings(**changes),
            clock=self.clock,
            chance=lambda: self.luck,
            on_change=self.changes.append,
        )

    def state(self) -> BreakerState:
        """Return the state of the breaker."""
        return self.breaker.state

    def admit(self) -> Permit:
        """Get a permit; the breaker has to give one."""
        permit = self.breaker.admit()
        assert permit is not None
        return permit

    def call(self, *, failed: bool = False, seconds: float = 0.0) -> None:
        """Make a call."""
        self.admit().record(failure=DOWN if failed else None, seconds=seconds)

    def open_times(self) -> list[float]:
        """Return how long the breaker stayed open, for each time that it opened."""
        return [one.open_for for one in self.changes if one.open_for is not None]


@dataclass
class Model:
    """A slow and simple breaker: it keeps a list of all calls since its last change."""

    settings: BreakerSettings
    clock: ManualClock
    state: BreakerState = BreakerState.CLOSED
    changes: list[StateChange] = field(default_factory=list[StateChange])
    ended: list[tuple[float, bool, bool]] = field(default_factory=list[tuple[float, bool, bool]])
    out: int = 0
    opened: int = 0
    probe_at: float = 0.0

    def change(
        self,
        state: BreakerState,
        reason: ChangeReason,
        counts: CallCounts | None = None,
        open_for: float | None = None,
    ) -> None:
        """Change the state, and forget all calls."""
        self.changes.append(StateChange(self.state, state, reason, counts, open_for))
        self.state = state
        self.ended, self.out = [], 0

    def open(self, luck: float, reason: ChangeReason, counts: CallCounts | None = None) -> None:
        """Open, for twice as long as the time before."""
        most = min(self.settings.max_open, self.settings.open_for * 2**self.opened)
        open_for = most / 2 + luck * most / 2
        self.opened += 1
        self.probe_at = self.clock.seconds + open_for
        self.change(BreakerState.OPEN, reason, counts, open_for)

    def admit(self) -> int | None:
        """Admit a call or not; a permit is the number of changes before it."""
        if self.state is BreakerState.OPEN and self.clock.seconds >= self.probe_at:
            self.change(BreakerState.HALF_OPEN, ChangeReason.TIME_TO_PROBE)
        good = sum(not failed and not slow for _, failed, slow in self.ended)
        if self.state is BreakerState.OPEN or (
            self.state is BreakerState.HALF_OPEN and self.out + good >= self.settings.probes
        ):
            return None
        self.out += 1
        return len(self.changes)

    def release(self, permit: int) -> None:
        """Take a permit back without a result."""
        if permit == len(self.changes):
            self.out -= 1

    def record(self, permit: int, *, failed: bool, seconds: float, luck: float) -> None:
        """Record the result of a call."""
        if permit != len(self.changes):
            return
        self.out -= 1
        self.ended.append((self.clock.seconds, failed, seconds >= SLOW))
        lately = [
            (failed, slow)
            for at, failed, slow in self.ended
            if self.slot(self.clock.seconds) - self.slot(at) < SLOTS
        ]
        failures = sum(failed for failed, _ in lately)
        slows = sum(slow for _, slow in lately)
        if self.state is BreakerState.HALF_OPEN:
            if any(failed or slow for _, failed, slow in self.ended):
                self.open(luck, ChangeReason.PROBE_FAILED if failed else ChangeReason.PROBE_SLOW)
            elif len(self.ended) == self.settings.probes:
                self.opened = 0
                self.change(BreakerState.CLOSED, ChangeReason.PROBES_SUCCEEDED)
        elif len(lately) >= self.settings.min_calls:
            counts = CallCounts(len(lately), {DOWN: failures} if failures else {}, slows)
            if failures / len(lately) >= self.settings.failure_rate:
                self.open(luck, ChangeReason.FAILURES, counts)
            elif slows / len(lately) >= self.settings.slow_rate:
                self.open(luck, ChangeReason.SLOW_CALLS, counts)

    def slot(self, at: float) -> int:
        """Return the number of the tenth of a window that a time is in."""
        return math.floor(at * SLOTS / self.settings.window)


class BreakerAndModel(RuleBasedStateMachine):
    """A breaker beside its model."""

    @initialize(
        window=st.sampled_from([2.5, 10.0]),
        min_calls=st.integers(1, 6),
        failure_rate=st.sampled_from([0.25, 0.5, 1.0]),
        slow_rate=st.sampled_from([0.5, 1.0]),
        probes=st.integers(1, 3),
        max_open=st.sampled_from([3.0, 20.0]),
    )
    def begin(self, **changes: float) -> None:
        self.watched = WatchedBreaker(**changes, open_for=4.0, slow_call=SLOW)
        self.model = Model(
            BreakerSettings(**changes, open_for=4.0, slow_call=SLOW),  # type: ignore[arg-type] # mixed
            self.watched.clock,
        )
        self.permits: list[tuple[Permit, int]] = []
        self.used: set[int] = set()

    @rule()
    def admit(self) -> None:
        given, expected = self.watched.breaker.admit(), self.model.admit()
        assert (given is None) == (expected is None)
        if given is not None and expected is not None:
            self.permits.append((given, expected))

    @precondition(lambda self: self.permits)
    @rule(which=WHICH, failed=st.booleans(), seconds=st.sampled_from([0.0, 1.499, SLOW, 60.0]))
    def record(self, *, which: int, failed: bool, seconds: float) -> None:
        given, expected = self.permits[-1 - which % len(self.permits)]
        given.record(failure=DOWN if failed else None, seconds=seconds)
        if self.is_first(given):
            self.model.record(expected, failed=failed, seconds=seconds, luck=self.watched.luck)

    @precondition(lambda self: self.permits)
    @rule(which=WHICH)
    def release(self, which: int) -> None:
        given, expected = self.permits[-1 - which % len(self.permits)]
        given.release()
        if self.is_first(given):
            self.model.release(expected)

    def is_first(self, permit: Permit) -> bool:
        """Return whether a permit is used for the first time; only that counts."""
        first = id(permit) not in self.used
        self.used.add(id(permit))
        return first

    @rule(eighths=st.integers(0, 40) | st.just(10_000))
    def pass_time(self, eighths: int) -> None:
        self.watched.clock.advance(eighths / 8)

    @precondition(lambda self: self.model.state is BreakerState.OPEN)
    @rule()
    def wait_until_probes_are_due(self) -> None:
        left = self.model.probe_at - self.watched.clock.seconds
        self.watched.clock.advance(max(0.0, left))

    @rule(luck=st.sampled_from(LUCK))
    def turn_luck(self, luck: float) -> None:
        self.watched.luck = luck

    @invariant()
    def breaker_and_model_agree(self) -> None:
        assert self.watched.state() is self.model.state
        assert [(one.before, one.after) for one in self.watched.changes] == [
            (one.before, one.after) for one in self.model.changes
        ]
        assert self.watched.open_times() == pytest.approx(
            [one.open_for for one in self.model.changes if one.open_for is not None]
        )


def test_the_breaker_agrees_with_a_model_of_it() -> None:
    run_state_machine_as_test(
        BreakerAndModel,
        settings=settings(max_examples=examples(60), stateful_step_count=50, deadline=None),
    )


def test_the_breaker_opens_only_after_the_set_number_of_calls() -> None:
    watched = WatchedBreaker(min_calls=5, failure_rate=0.5)

    for _ in range(4):
        watched.call(failed=True)
    assert watched.state() is BreakerState.CLOSED

    watched.call(failed=True)
    assert watched.state() is BreakerState.OPEN


@pytest.mark.parametrize(
    ("percent", "calls", "failures"),
    [
        (50, 20, 10),
        (100, 20, 20),
        (1, 100, 1),
        (7, 100, 7),  # 0.07 * 100 is a little more than 7
        (55, 100, 55),
        (56, 25, 14),
    ],
)
def test_the_breaker_opens_at_the_set_share_of_failures_and_not_below(
    percent: int, calls: int, failures: int
) -> None:
    watched = WatchedBreaker(min_calls=calls, failure_rate=percent / 100)
    for number in range(calls - 1):
        watched.call(failed=number < failures - 1)
    below = WatchedBreaker(min_calls=calls, failure_rate=percent / 100)
    for number in range(calls):
        below.call(failed=number < failures - 1)

    watched.call(failed=True)

    assert watched.state() is BreakerState.OPEN
    assert below.state() is BreakerState.CLOSED


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(1.499, BreakerState.CLOSED), (1.5, BreakerState.OPEN), (9.0, BreakerState.OPEN)],
)
def test_the_breaker_opens_at_the_set_share_of_slow_calls(
    seconds: float, state: BreakerState
) -> None:
    watched = WatchedBreaker(min_calls=5, slow_rate=0.8, slow_call=SLOW)

    watched.call()
    for _ in range(4):
        watched.call(seconds=seconds)

    assert watched.state() is state


@pytest.mark.parametrize(
    ("setting", "limit", "slow"), [(None, 2.0, 1.8), (1.0, 2.0, 1.0), (3.0, 2.0, 3.0)]
)
def test_a_call_is_slow_from_the_set_time_or_from_nine_tenths_of_its_limit(
    setting: float | None, limit: float, slow: float
) -> None:
    for seconds, state in ((slow - 0.001, BreakerState.CLOSED), (slow, BreakerState.OPEN)):
        breaker = Breaker(
            BreakerSettings(min_calls=1, slow_call=setting),
            clock=ManualClock(),
            chance=lambda: 0.5,
            on_change=lambda _: None,
        )
        permit = breaker.admit()
        assert permit is not None

        permit.record(failure=None, seconds=seconds, limit=limit)

        assert breaker.state is state


def test_calls_from_before_the_window_do_not_count() -> None:
    watched = WatchedBreaker(window=10.0, min_calls=2, failure_rate=1.0)
    watched.call(failed=True)
    watched.clock.advance(10.0)

    watched.call(failed=True)

    assert watched.state() is BreakerState.CLOSED


def test_an_open_breaker_admits_no_call_until_its_open_time_is_over() -> None:
    watched = WatchedBreaker(min_calls=1, open_for=4.0)
    watched.luck = 0.5
    watched.call(failed=True)

    watched.clock.advance(2.999)
    assert watched.breaker.admit() is None
    assert watched.state() is BreakerState.OPEN

    watched.clock.advance(0.001)
    assert watched.breaker.admit() is not None
    assert watched.state() is BreakerState.HALF_OPEN


@pytest.mark.parametrize("probes", [1, 2, 5])
def test_a_half_open_breaker_admits_its_probes_and_closes_when_all_succeed(
    probes: int,
) -> None:
    watched = WatchedBreaker(min_calls=1, probes=probes)
    watched.call(failed=True)
    watched.clock.advance(60.0)

    permits = [watched.breaker.admit() for _ in range(probes + 3)]

    assert [one is not None for one in permits] == [True] * probes + [False] * 3
    for permit in permits[:probes]:
        assert watched.state() is BreakerState.HALF_OPEN
        assert watched.breaker.admit() is None  # a probe that succeeded is not replaced
        assert permit is not None
        permit.record(failure=None, seconds=0.0)
    assert watched.changes[-1] == StateChange(
        BreakerState.HALF_OPEN, BreakerState.CLOSED, ChangeReason.PROBES_SUCCEEDED
    )


@pytest.mark.parametrize(("failed", "seconds"), [(True, 0.0), (False, 1.5)])
def test_a_half_open_breaker_opens_when_a_probe_fails_or_is_slow(
    *, failed: bool, seconds: float
) -> None:
    watched = WatchedBreaker(min_calls=1, probes=3, slow_call=SLOW)
    watched.call(failed=True)
    watched.clock.advance(60.0)
    watched.call()

    watched.call(failed=failed, seconds=seconds)

    assert watched.state() is BreakerState.OPEN
    assert watched.breaker.admit() is None


def test_the_permit_of_a_released_probe_is_given_to_another_call() -> None:
    watched = WatchedBreaker(min_calls=1, probes=1)
    watched.call(failed=True)
    watched.clock.advance(60.0)

    for _ in range(10):
        permit = watched.admit()
        assert watched.breaker.admit() is None
        permit.release()

    watched.call()
    assert watched.state() is BreakerState.CLOSED


def test_a_call_from_before_a_change_of_state_does_not_count() -> None:
    watched = WatchedBreaker(min_calls=1, probes=1)
    old = [watched.admit() for _ in range(3)]
    watched.call(failed=True)
    watched.clock.advance(60.0)
    probe = watched.admit()

    old[0].record(failure=None, seconds=0.0)
    old[1].record(failure=DOWN, seconds=0.0)
    old[2].release()

    assert watched.state() is BreakerState.HALF_OPEN
    assert watched.breaker.admit() is None
    probe.record(failure=None, seconds=0.0)
    assert watched.state() is BreakerState.CLOSED


def test_a_change_of_state_counts_the_failures_by_code() -> None:
    watched = WatchedBreaker(min_calls=5, failure_rate=0.6)
    codes = [DOWN, Code.SOURCE_TIMEOUT, None, None, DOWN]

    for code in codes:
        watched.admit().record(failure=code, seconds=0.0)

    assert watched.changes[0].counts == CallCounts(5, {DOWN: 2, Code.SOURCE_TIMEOUT: 1}, 0)


def test_only_the_first_record_or_release_of_a_permit_counts() -> None:
    watched = WatchedBreaker(min_calls=2, failure_rate=0.1)
    permit = watched.admit()
    permit.record(failure=None, seconds=0.0)

    permit.record(failure=DOWN, seconds=0.0)
    permit.release()

    assert watched.state() is BreakerState.CLOSED
    released = watched.admit()
    released.release()
    released.record(failure=DOWN, seconds=0.0)
    assert watched.state() is BreakerState.CLOSED


def test_released_permits_are_not_counted() -> None:
    watched = WatchedBreaker(min_calls=2, failure_rate=0.5)

    for _ in range(100):
        watched.admit().release()
    watched.call(failed=True)
    assert watched.state() is BreakerState.CLOSED

    watched.call()
    assert watched.state() is BreakerState.OPEN


@pytest.mark.parametrize(("luck", "part"), [(0.0, 0.5), (0.5, 0.75), (0.999, 0.9995)])
def test_the_open_time_doubles_up_to_a_bound_and_varies_by_half(luck: float, part: float) -> None:
    watched = WatchedBreaker(min_calls=1, open_for=5.0, max_open=60.0)
    watched.luck = luck

    for _ in range(6):
        watched.call(failed=True)
        watched.clock.advance(60.0)

    assert watched.open_times() == pytest.approx(
        [seconds * part for seconds in (5.0, 10.0, 20.0, 40.0, 60.0, 60.0)]
    )


def test_the_open_time_is_short_again_after_the_source_recovered() -> None:
    watched = WatchedBreaker(min_calls=1, probes=1, open_for=5.0)
    watched.luck = 0.0
    for failed in (True, True, False, True):
        watched.call(failed=failed)
        watched.clock.advance(60.0)

    assert watched.open_times() == [2.5, 5.0, 2.5]


def test_the_open_time_stays_within_its_bound_in_a_long_outage() -> None:
    watched = WatchedBreaker(min_calls=1, open_for=3600.0, max_open=3600.0)
    watched.luck = 0.0

    for _ in range(2_000):
        watched.call(failed=True)
        watched.clock.advance(3600.0)

    assert set(watched.open_times()) == {1800.0}


def test_failures_from_before_the_breaker_closed_do_not_count() -> None:
    watched = WatchedBreaker(window=3600.0, min_calls=2, failure_rate=0.5, probes=1)
    watched.call(failed=True)
    watched.call(failed=True)
    watched.clock.advance(60.0)
    watched.call()
    assert watched.state() is BreakerState.CLOSED

    watched.call(failed=True)

    assert watched.state() is BreakerState.CLOSED
