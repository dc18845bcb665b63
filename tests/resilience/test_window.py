"""Counting what happened lately."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from app.resilience.retry import SLOTS, SlidingWindow
from tests.clock import ManualClock
from tests.properties import examples

KINDS = 3


class WindowAndModel(RuleBasedStateMachine):
    """A window beside a list of all that happened."""

    @initialize(seconds=st.sampled_from([1.25, 2.5, 10.0, 40.0]))
    def begin(self, seconds: float) -> None:
        self.clock = ManualClock()
        self.window = SlidingWindow(kinds=KINDS, seconds=seconds, clock=self.clock)
        self.seconds = seconds
        self.events: list[tuple[float, int]] = []

    def slot(self, at: float) -> int:
        """Tell in which tenth of a window's length a moment lies."""
        return math.floor(at * SLOTS / self.seconds)

    @rule(kinds=st.sets(st.integers(0, KINDS - 1)))
    def add(self, kinds: set[int]) -> None:
        self.window.add(*kinds)
        self.events.extend((self.clock.seconds, kind) for kind in kinds)

    @rule(eighths=st.integers(0, 100) | st.just(10_000))
    def pass_time(self, eighths: int) -> None:
        self.clock.advance(eighths / 8)

    @rule()
    def clear(self) -> None:
        self.window.clear()
        self.events.clear()

    @invariant()
    def both_count_the_same(self) -> None:
        now = self.slot(self.clock.seconds)
        lately = [kind for at, kind in self.events if now - self.slot(at) < SLOTS]
        assert list(self.window.totals()) == [lately.count(kind) for kind in range(KINDS)]


def test_the_window_counts_what_a_list_of_all_events_counts() -> None:
    run_state_machine_as_test(
        WindowAndModel,
        settings=settings(max_examples=examples(60), stateful_step_count=40, deadline=None),
    )


@pytest.mark.parametrize("seconds", [0.3, 1.0, 10.0, 3600.0])
def test_an_event_stays_for_nine_tenths_at_least_and_is_gone_after_the_whole(
    seconds: float,
) -> None:
    clock = ManualClock()
    window = SlidingWindow(kinds=1, seconds=seconds, clock=clock)
    window.add(0)

    clock.advance(seconds * 0.89)
    assert window.totals() == (1,)

    clock.advance(seconds * 0.12)
    assert window.totals() == (0,)


def test_an_event_of_several_kinds_counts_once_in_each() -> None:
    window = SlidingWindow(kinds=KINDS, seconds=10.0, clock=ManualClock())

    window.add(0, 2)

    assert window.totals() == (1, 0, 1)
