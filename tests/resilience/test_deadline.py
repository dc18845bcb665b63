"""Durations in headers, and the time that is left of a request."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.resilience.clock import Deadline, read_duration, write_duration
from tests.clock import ManualClock


def test_the_remaining_time_decreases_and_goes_below_zero() -> None:
    clock = ManualClock()
    deadline = Deadline(clock.monotonic() + 5.0, clock)

    assert deadline.remaining == 5.0
    clock.advance(4.0)
    assert deadline.remaining == 1.0
    clock.advance(1.0)
    assert deadline.remaining == 0.0
    clock.advance(0.5)
    assert deadline.remaining == -0.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("800ms", 0.8),
        ("1s", 1.0),
        ("1.5s", 1.5),
        ("1.250s", 1.25),
        ("0.5ms", 0.0005),
        (" 2s\t", 2.0),
        ("007s", 7.0),
        ("999999999s", 999_999_999.0),
    ],
)
def test_a_duration_is_read_in_seconds_or_milliseconds(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "ms",
        "5",
        "-1s",
        "+1s",
        "1 s",
        "1m",
        "1h",
        "1us",
        "1S",
        "1MS",
        "1s1s",
        "1s, 2s",
        ".5s",
        "1.s",
        "1.2345s",
        "1e3s",
        "1_000s",
        "0x1s",
        "infs",
        "nans",
        "1234567890s",
        "9" * 10_000 + "s",
        "٣s",
        "\uff11s",
        "²s",
        "1\x00s",
        "1s\nX-Evil: 1",
    ],
)
def test_other_text_is_not_a_duration(text: str) -> None:
    assert read_duration(text) is None


@pytest.mark.parametrize("text", ["0s", "0ms", "0.000s", "000000000ms"])
def test_zero_is_not_a_duration(text: str) -> None:
    assert read_duration(text) is None


@settings(deadline=None)
@given(text=st.text() | st.text("0123456789.eE+-_ ms", max_size=9))
def test_any_text_is_read_as_a_finite_time_above_zero_or_as_none(text: str) -> None:
    seconds = read_duration(text)

    assert seconds is None or 0 < seconds < math.inf


@settings(deadline=None)
@given(milliseconds=st.integers(1, 999_999_999))
@example(1001)  # 1.001 * 1000 is a little less than 1001
def test_a_written_duration_is_read_as_the_same_milliseconds(milliseconds: int) -> None:
    seconds = read_duration(f"{milliseconds}ms")
    assert seconds is not None

    again = read_duration(write_duration(seconds)) or 0.0

    assert seconds - 0.001_001 <= again <= seconds


@settings(deadline=None)
@given(seconds=st.floats(0.001, 3600))
def test_a_duration_is_rounded_down_when_it_is_written(seconds: float) -> None:
    written = write_duration(seconds)

    assert written.removesuffix("ms").isdigit()
    assert int(written.removesuffix("ms")) <= seconds * 1000 < int(written[:-2]) + 1
