"""When to ask again, how long to wait before, and how often at all."""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from app.resilience.retry import RetryBudget, backoff, read_retry_after
from app.resilience.window import SLOTS
from app.settings import RetrySettings
from tests.clock import ManualClock

MOMENT = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
"""The moment that RFC 9110, section 5.6.7, writes in three forms."""


class BudgetAndModel(RuleBasedStateMachine):
    """A budget beside lists of all calls and repetitions."""

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
        self.repetitions: list[float] = []

    def lately(self, events: list[float]) -> int:
        """Count what lies in this tenth of a window's length and the nine before."""
        width = self.settings.budget_window / SLOTS
        now = math.floor(self.clock.seconds / width)
        return sum(now - math.floor(at / width) < SLOTS for at in events)

    @rule(times=st.integers(1, 12))
    def call(self, times: int) -> None:
        for _ in range(times):
            self.budget.count_call()
            self.calls.append(self.clock.seconds)

    @rule()
    def take(self) -> None:
        room = (
            self.settings.budget_minimum
            + self.settings.budget_share * self.lately(self.calls)
            - self.lately(self.repetitions)
        )
        taken = self.budget.take()
        assert taken == (room >= 1)
        if taken:
            self.repetitions.append(self.clock.seconds)

    @rule(eighths=st.integers(0, 30) | st.just(10_000))
    def pass_time(self, eighths: int) -> None:
        self.clock.advance(eighths / 8)


def test_the_budget_allows_what_lists_of_all_calls_and_repetitions_allow() -> None:
    run_state_machine_as_test(
        BudgetAndModel, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
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
def test_a_share_of_the_calls_and_a_few_more_may_be_repeated(
    calls: int, share: float, minimum: int, allowed: int
) -> None:
    budget = RetryBudget(RetrySettings(budget_share=share, budget_minimum=minimum), ManualClock())
    for _ in range(calls):
        budget.count_call()

    assert [budget.take() for _ in range(allowed + 3)] == [True] * allowed + [False] * 3


def test_what_was_taken_comes_back_when_the_window_has_passed() -> None:
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
def test_waits_double_up_to_a_bound_and_are_anything_below(
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
    ("asked", "seconds"), [(0.0, 0.1), (0.05, 0.1), (0.1, 0.1), (7.0, 7.0), (86_400.0, 86_400.0)]
)
def test_a_service_that_says_when_is_asked_then_but_never_at_once(
    asked: float, seconds: float
) -> None:
    waits = RetrySettings(base_delay=0.1, max_delay=1.0)

    assert backoff(1, asked, waits, lambda: math.nan) == seconds


def at(moment: datetime) -> ManualClock:
    """Make a clock that stands at a moment."""
    clock = ManualClock()
    clock.seconds = moment.timestamp()
    return clock


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("0005", 5.0),
        ("00000000000005", 5.0),
    ],
)
def test_retry_after_is_read_in_seconds(text: str, seconds: float) -> None:
    assert read_retry_after(text, ManualClock()) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
    ids=["IMF-fixdate", "RFC 850", "asctime"],
)
def test_retry_after_is_read_as_a_date_in_each_form_of_rfc_9110(text: str) -> None:
    assert read_retry_after(text, at(MOMENT - timedelta(seconds=90))) == 90.0
    assert read_retry_after(text, at(MOMENT)) == 0.0
    assert read_retry_after(text, at(MOMENT + timedelta(days=1))) == 0.0


@settings(deadline=None)
@given(seconds=st.integers(0, 10**9))
def test_a_date_is_read_as_the_time_until_then(seconds: int) -> None:
    header = format_datetime(MOMENT + timedelta(seconds=seconds), usegmt=True)

    assert read_retry_after(header, at(MOMENT)) == seconds


def test_no_header_says_nothing() -> None:
    assert read_retry_after(None, ManualClock()) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "5s",
        "5 seconds",
        "1, 2",
        "soon",
        "٣",
        "²",
        "\uff11",
        "inf",
        "nan",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 28:49:37 GMT",
        "Sun, 06 Nov 1994",
        "01 Jan 2024 00:00:00 +99999",
        "01 Jan 99999999999999999999 00:00:00 GMT",
        "01 Jan 2024 99999999999999999999:00:00 GMT",
        "01 Jan 2024 00:00:00 +99999999999999999999",
    ],
)
def test_a_header_that_is_neither_seconds_nor_a_date_says_nothing(text: str) -> None:
    assert read_retry_after(text, ManualClock()) is None


@pytest.mark.parametrize("text", ["999999999", "1" + "0" * 30, "9" * 400, "9" * 5_000])
def test_a_huge_number_of_seconds_is_far_off(text: str) -> None:
    seconds = read_retry_after(text, ManualClock())

    assert seconds is not None
    assert seconds >= 1e8


DATE_LIKE = st.lists(
    st.sampled_from(["Sun,", "Sunday,", "06", "Nov", "1994", "06-Nov-94", "08:49:37", "GMT"])
    | st.sampled_from(["-2359", "+99999999", "0", "-1", ":", ",", "9" * 25, "am", "08.49.37"])
    | st.text(max_size=5),
    max_size=7,
).map(" ".join)


@settings(deadline=None, max_examples=300)
@given(text=st.text() | DATE_LIKE)
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
def test_no_header_is_read_as_anything_but_time_to_come_or_nothing(text: str) -> None:
    seconds = read_retry_after(text, ManualClock())

    assert seconds is None or seconds >= 0
