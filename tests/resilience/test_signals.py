"""Signals about the pace of a source, in the headers of its responses."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.resilience.pace import MAX_WAIT, SIGNALS, Signal, read_retry_after, read_signal
from tests.clock import ManualClock
from tests.properties import examples

MOMENT = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
"""The moment that RFC 9110, section 5.6.7, writes in three forms."""


def at(moment: datetime) -> ManualClock:
    """Make a clock that shows a moment."""
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


def test_a_missing_retry_after_gives_no_time() -> None:
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
def test_a_retry_after_that_is_neither_seconds_nor_a_date_is_ignored(text: str) -> None:
    assert read_retry_after(text, ManualClock()) is None


@pytest.mark.parametrize("text", ["999999999", "1" + "0" * 30, "9" * 400, "9" * 5_000])
def test_a_huge_number_of_seconds_is_read_as_a_long_time(text: str) -> None:
    seconds = read_retry_after(text, ManualClock())

    assert seconds is not None
    assert seconds >= 1e8


DATE_LIKE = st.lists(
    st.sampled_from(["Sun,", "Sunday,", "06", "Nov", "1994", "06-Nov-94", "08:49:37", "GMT"])
    | st.sampled_from(["-2359", "+99999999", "0", "-1", ":", ",", "9" * 25, "am", "08.49.37"])
    | st.text(max_size=5),
    max_size=7,
).map(" ".join)


@settings(deadline=None, max_examples=examples(150))
@given(text=st.text() | DATE_LIKE)
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
def test_any_retry_after_is_read_as_zero_or_more_seconds_or_as_none(text: str) -> None:
    seconds = read_retry_after(text, ManualClock())

    assert seconds is None or seconds >= 0


# Signals by the status and all headers

NOW = ManualClock().seconds
"""The time of day on these clocks, in Unix seconds: long before any reset of a quota."""

TODAY = 1_800_000_000.0
"""A time of day that is near the resets of quotas."""


def signal_of(status: int = 200, /, **headers: str) -> Signal | None:
    """Read the signal of a response; ``_`` is ``-`` in names, ``today`` is the time of day."""
    clock = ManualClock()
    clock.seconds = float(headers.pop("today", NOW))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_signal(status, named, clock)


@pytest.mark.parametrize("status", [200, 204, 400, 403, 404, 500, 503])
def test_most_responses_carry_no_signal(status: int) -> None:
    assert (
        signal_of(status, content_type="application/json", ratelimit_policy='"a";q=10;w=60') is None
    )


def test_a_429_is_a_refusal_without_any_header() -> None:
    assert signal_of(429) == Signal(refused=True)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"backoff": "7"}, 7.0),
        ({"backoff": " 7.5 "}, 7.5),
        ({"backoff": "7", "retry_after": "3"}, 7.0),
        ({"backoff": "soon", "retry_after": "3"}, 3.0),
        ({"backoff": "9" * 400}, MAX_WAIT),
        ({"retry_after": "0"}, 0.0),
    ],
)
@pytest.mark.parametrize("status", [200, 404, 503])
def test_backoff_and_retry_after_are_read_with_any_status(
    status: int, headers: dict[str, str], wait: float
) -> None:
    assert signal_of(status, **headers) == Signal(wait=wait)


@pytest.mark.parametrize("text", ["", "soon", "-1", "+1", "1e3", "0x10", "٣", "1,5", "5s", "nan"])
def test_a_header_that_is_not_a_number_is_ignored(text: str) -> None:
    assert signal_of(backoff=text) is None
    assert signal_of(x_ratelimit_remaining=text if text != "1,5" else "x") is None
    assert signal_of(ratelimit=f'"a";r={text if text != "1,5" else "x"}') is None
    assert signal_of(429, retry_after=text, x_ratelimit_reset="x") == Signal(refused=True)


@pytest.mark.parametrize("prefix", ["ratelimit", "x_ratelimit", "x_rate_limit"])
@pytest.mark.parametrize(
    ("remaining", "reset", "signal"),
    [
        ("17", "30", Signal(left=17)),
        ("0", "30", Signal(wait=30.0, left=0)),
        ("0", "0", Signal(wait=0.0, left=0)),
        ("0", "", Signal(left=0)),
        ("0", "tomorrow", Signal(left=0)),
        ("12, 0, 5", "10, 30", Signal(wait=30.0, left=0)),  # several of one name
        ("0.4", "30", Signal(left=0)),
    ],
)
def test_a_quota_is_read_from_two_headers_with_numbers(
    prefix: str, remaining: str, reset: str, signal: Signal
) -> None:
    headers = {f"{prefix}_remaining": remaining, f"{prefix}_reset": reset}

    assert signal_of(200, **headers) == signal


@pytest.mark.parametrize(
    ("reset", "wait"),
    [
        (f"{TODAY + 90:.0f}", 90.0),  # GitHub's: Unix seconds
        (f"{TODAY + 90:.3f}", 90.0),
        (f"{(TODAY + 90) * 1000:.0f}", 90.0),
        (f"{TODAY - 90:.0f}", 0.0),
        ("90", 90.0),
        ("999999999", 999_999_999.0),
        ("9" * 400, MAX_WAIT),
    ],
)
def test_a_reset_is_a_number_of_seconds_or_a_time_of_day(reset: str, wait: float) -> None:
    signal = signal_of(today=str(TODAY), x_ratelimit_remaining="0", x_ratelimit_reset=reset)

    assert signal is not None
    assert signal.wait == pytest.approx(wait)


@pytest.mark.parametrize(
    ("ratelimit", "policy", "signal"),
    [
        ('"default";r=50;t=30', "", Signal(left=50)),
        ('"default";r=0;t=30', "", Signal(wait=30.0, left=0)),
        ("default;r=0;t=30", "", Signal(wait=30.0, left=0)),
        ('"a";r=9;t=5, "b";r=0;t=30', "", Signal(wait=30.0, left=0)),
        ('"a";r=0;t=5,"b";r=0;t=30;pk=:aGV5:', "", Signal(wait=30.0, left=0)),
        ('"a";t=30;r=0', "", Signal(wait=30.0, left=0)),
        ('"b";r=0', '"a";q=5;w=10, "b";q=100;w=60', Signal(wait=60.0, left=0)),
        ('"b";r=0', '"a";q=5;w=10', Signal(left=0)),
        ('"a;r=0, \\"b";r=3;t=1', "", Signal(left=3)),  # text in quotes is ignored
        ("limit=100, remaining=0, reset=30", "100;w=60", Signal(wait=30.0, left=0)),  # draft 07
        ("limit=100, remaining=17, reset=30", "", Signal(left=17)),
        ('"default"', "", None),
        ('"default', "", None),
        (";;,,=;r=", "", None),
        ('"a";r=-1;t=30', "", None),
    ],
)
def test_a_quota_is_read_in_the_forms_of_the_drafts(
    ratelimit: str, policy: str, signal: Signal | None
) -> None:
    assert signal_of(ratelimit=ratelimit, ratelimit_policy=policy) == signal


@pytest.mark.parametrize(
    ("headers", "signal"),
    [
        (
            {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "30"},
            Signal(refused=True, wait=30.0, left=0),
        ),
        # Retry-After comes first, and a quota that is not used up asks for no wait.
        ({"retry_after": "3", "ratelimit": '"a";r=0;t=30'}, Signal(refused=True, wait=3.0, left=0)),
        ({"ratelimit": '"a";r=5;t=30'}, Signal(refused=True, left=5)),
        ({"x_ratelimit_reset": "30"}, Signal(refused=True, wait=30.0)),
    ],
)
def test_a_refusal_waits_for_the_reset_of_a_used_up_quota(
    headers: dict[str, str], signal: Signal
) -> None:
    assert signal_of(429, **headers) == signal


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"x_ratelimit_remaining": "0"}, True),
        ({"retry_after": "60"}, True),
        ({"x_ratelimit_remaining": "17"}, False),
    ],
)
def test_a_403_is_a_refusal_when_its_headers_limit_the_rate(
    headers: dict[str, str], *, refused: bool
) -> None:
    signal = signal_of(403, **headers)

    assert (signal is not None and signal.refused) is refused


HEADER_LIKE = st.lists(
    st.sampled_from(['"', "a", ";", "r", "t", "=", "0", "9" * 30, ",", "\\", " ", ":", "remaining"])
    | st.text(max_size=3),
    max_size=12,
).map("".join)


@settings(deadline=None)
@given(
    status=st.sampled_from([200, 403, 429, 503]),
    headers=st.dictionaries(st.sampled_from([*sorted(SIGNALS), "x-ratelimit-reset"]), HEADER_LIKE),
)
def test_any_headers_are_read_as_a_valid_signal_or_as_none(
    status: int, headers: dict[str, str]
) -> None:
    signal = read_signal(status, headers, ManualClock())

    assert signal is not None or status != 429
    if signal is not None:
        assert signal.wait is None or signal.wait >= 0
        assert signal.left is None or signal.left >= 0


def test_a_long_header_is_read_in_linear_time() -> None:
    for unit in ('"', '"\\', ';r="', ",", "a=", '"a";r=0,'):
        signal_of(429, ratelimit=unit * 8_000, ratelimit_policy=unit * 8_000)
