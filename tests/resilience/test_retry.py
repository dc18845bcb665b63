"""The budget of retries, and the waits before them."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from app.resilience.retry import SLOTS, RetryBudget, backoff
from app.settings.resilience import RetrySettings
from tests.clock import ManualClock
from tests.properties import examples


class BudgetAndModel(RuleBasedStateMachine):
    """A budget, and a model with lists of all calls and retries."""

    @initialize(
        window=st.sampled_from([2.5, 10.0]),
        minimum=st.integers(0, 3),
        share=st.sampled_from([0.0, 0.1, 0.25, 1.0]),
    )
    def begin(self, window: float, minimum: int, share: float) -> None:
        self.settings = RetrySettings(
            budget_window=window, budget_minimum=minimum, budget_share=share
        )
        self.clock = ManualClock()
        self.budget = RetryBudget(self.settings, self.clock)
        self.calls: list[float] = []
        self.retries: list[float] = []

    def lately(self, events: list[float]) -> int:
        """Count the events in this tenth of a window and in the nine before."""
        width = self.settings.budget_window / SLOTS
        now = math.floor(self.clock.seconds / width)
        return sum(now - math.floor(at / width) < SLOTS for at in events)

    @rule(times=st.integers(1, 12))
    def call(self, times: int) -> None:
        for _ in range(times):
            self.budget.count_call()
            self.calls.append(self.clock.seconds)

    @rule(count=st.integers(1, 3))
    def take(self, count: int) -> None:
        left = (
            self.settings.budget_minimum
            + self.settings.budget_share * self.lately(self.calls)
            - self.lately(self.retries)
        )
        taken = self.budget.take(count)
        assert taken == (left >= count)
        if taken:
            self.retries += [self.clock.seconds] * count

    @rule(eighths=st.integers(0, 30) | st.just(10_000))
    def pass_time(self, eighths: int) -> None:
        self.clock.advance(eighths / 8)


def test_the_budget_agrees_with_a_model_of_it() -> None:
    run_state_machine_as_test(
        BudgetAndModel,
        settings=settings(max_examples=examples(60), stateful_step_count=40, deadline=None),
    )


@pytest.mark.parametrize(
    ("calls", "share", "minimum", "allowed"),
    [
        (0, 0.1, 3, 3),
        (0, 0.1, 0, 0),
        (9, 0.1, 0, 0),
        (10, 0.1, 0, 1),
        (100, 0.1, 3, 13),
        (100, 0.0, 0, 0),
        (100, 1.0, 0, 100),
        (100, 0.29, 0, 29),  # 0.29 * 100 is a little less than 29
        (100, 0.57, 3, 60),
    ],
)
def test_the_budget_is_a_share_of_the_calls_and_a_minimum(
    calls: int, share: float, minimum: int, allowed: int
) -> None:
    budget = RetryBudget(RetrySettings(budget_share=share, budget_minimum=minimum), ManualClock())
    for _ in range(calls):
        budget.count_call()

    assert [budget.take() for _ in range(allowed + 3)] == [True] * allowed + [False] * 3


def test_the_budget_is_renewed_when_the_window_has_passed() -> None:
    clock = ManualClock()
    budget = RetryBudget(RetrySettings(budget_minimum=1, budget_window=10.0), clock)
    assert budget.take()
    assert not budget.take()

    clock.advance(10.0)

    assert budget.take()


@pytest.mark.parametrize(
    ("attempt", "luck", "seconds"),
    [
        (1, 0.0, 0.0),
        (1, 0.5, 0.05),
        (1, 0.999, 0.0999),
        (2, 0.5, 0.1),
        (2, 0.999, 0.1998),
        (3, 0.5, 0.2),
        (4, 0.5, 0.4),
        (5, 0.5, 0.5),  # the bound
        (10, 0.0, 0.0),
        (10, 0.999, 0.999),
    ],
)
def test_waits_are_random_below_a_bound_that_doubles(
    attempt: int, luck: float, seconds: float
) -> None:
    waits = RetrySettings(base_delay=0.1, max_delay=1.0)

    assert backoff(attempt, None, waits, lambda: luck) == pytest.approx(seconds)


@settings(deadline=None)
@given(attempt=st.integers(1, 11), luck=st.floats(0, 1, exclude_max=True))
def test_no_wait_is_negative_or_longer_than_the_bound(attempt: int, luck: float) -> None:
    waits = RetrySettings(base_delay=0.3, max_delay=2.0)

    assert 0 <= backoff(attempt, None, waits, lambda: luck) <= min(2.0, 0.3 * 2**attempt)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(0.0, 0.1), (0.05, 0.1), (0.1, 0.1), (7.0, 7.0), (86_400.0, 86_400.0)],
)
def test_a_wait_is_the_retry_after_and_at_least_the_base_delay(
    retry_after: float, seconds: float
) -> None:
    waits = RetrySettings(base_delay=0.1, max_delay=1.0)

    assert backoff(1, retry_after, waits, lambda: math.nan) == seconds
