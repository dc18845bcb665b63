"""The sliding window counts recent events."""

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
    """A window, and a model with a list of all events."""

    @initialize(seconds=st.sampled_from([1.25, 2.5, 10.0, 40.0]))
    def begin(self, seconds: float) -> None:
        self.clock = ManualClock()
        self.window = SlidingWindow(kinds=KINDS, seconds=seconds, clock=self.clock)
        self.seconds = seconds
        self.events: list[tuple[float, int]] = []

    def slot(self, at: float) -> int:
        """Return the number of the tenth of a window that a time is in."""
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
    def window_and_model_agree(self) -> None:
        now = self.slot(self.clock.seconds)
        lately = [kind for at, kind in self.events if now - self.slot(at) < SLOTS]
        assert list(self.window.totals()) == [lately.count(kind) for kind in range(KINDS)]


def test_the_window_agrees_with_a_list_of_all_events() -> None:
    run_state_machine_as_test(
        WindowAndModel,
        settings=settings(max_examples=examples(60), stateful_step_count=40, deadline=None),
    )


@pytest.mark.parametrize("seconds", [0.3, 1.0, 10.0, 3600.0])
def test_an_event_counts_for_nine_tenths_of_a_window_and_not_after_it(
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
