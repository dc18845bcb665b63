"""The round trip of a source: the least time of its last calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.round_trip import WINDOW, RoundTrip

TIMES = st.lists(st.floats(0.001, 10.0), min_size=1, max_size=5 * WINDOW)


def test_the_round_trip_is_zero_before_the_first_call() -> None:
    assert RoundTrip().seconds == 0


@given(times=TIMES)
def test_the_round_trip_is_the_least_time_of_the_last_calls(times: list[float]) -> None:
    trip = RoundTrip()
    for number, time in enumerate(times, 1):
        trip.add(time)
        last = times[:number][-WINDOW:]
        assert min(times[:number][-2 * WINDOW :]) <= trip.seconds <= min(last)
        assert trip.usual == (trip.seconds if number >= WINDOW else 0)


@pytest.mark.parametrize(("first", "then"), [(0.001, 0.02), (0.02, 0.001)])
def test_a_change_of_the_round_trip_is_noticed_after_two_windows(first: float, then: float) -> None:
    trip = RoundTrip()
    for seconds in (first, then):
        for _ in range(2 * WINDOW):
            trip.add(seconds)
        assert trip.seconds == seconds
