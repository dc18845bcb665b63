"""How many calls a source takes, by the signals in its responses."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.resilience.pace import MAX_WAIT, CallRate, PaceState, Signal, slowed, sped_up
from app.settings.resilience import PacingSettings, RetrySettings
from app.settings.source import SourceSettings

MOST = 64
SETTINGS = SourceSettings(
    base_url="http://profile",
    retry=RetrySettings(base_delay=0.1, max_delay=1.0),
    pacing=PacingSettings(max_pause=60.0),
)
NOW = 1000.0
FREE = CallRate(float(MOST))
REFUSED = Signal(refused=True)


def after_signal(
    pace: CallRate, signal: Signal, *, began: float = NOW, now: float = NOW, luck: float = 0.5
) -> CallRate:
    """Return the rate of calls after a signal."""
    return slowed(pace, signal, SETTINGS, began=began, now=now, chance=lambda: luck)


def test_a_refusal_halves_the_limit_of_calls_and_makes_a_pause() -> None:
    pace = after_signal(FREE, REFUSED)

    assert pace == CallRate(32.0, until=NOW + 0.075, cut_at=NOW, refusals=1)
    assert pace.state(NOW, MOST) is PaceState.PAUSED
    assert pace.state(NOW + 0.075, MOST) is PaceState.SLOWED
    assert FREE.state(NOW, MOST) is PaceState.FREE


def test_calls_running_at_a_cut_may_lengthen_the_pause_but_do_not_cut_again() -> None:
    pace = after_signal(FREE, REFUSED)

    for began in (NOW - 5.0, NOW):
        again = after_signal(pace, Signal(refused=True, wait=5.0), began=began, now=NOW + 1.0)
        assert again == CallRate(32.0, until=NOW + 6.0, cut_at=NOW, refusals=1)
    assert after_signal(pace, REFUSED, began=NOW - 5.0).until == pace.until


def test_the_limit_of_calls_is_never_below_one() -> None:
    pace = FREE
    for turn in range(50):
        pace = after_signal(pace, REFUSED, began=NOW + turn, now=NOW + turn)

    assert pace.limit == 1.0


@pytest.mark.parametrize(
    ("luck", "waits"),
    [
        (0.0, [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]),
        (0.5, [0.075, 0.15, 0.3, 0.6, 0.75, 0.75]),
    ],
)
def test_pauses_without_a_given_length_grow_and_vary(luck: float, waits: list[float]) -> None:
    pace = FREE
    for turn, wait in enumerate(waits):
        now = NOW + 10 * turn
        pace = after_signal(pace, REFUSED, began=now, now=now, luck=luck)
        assert pace.until - now == pytest.approx(wait)


@pytest.mark.parametrize(
    ("wait", "waited"),
    [(0.0, 0.1), (0.05, 0.1), (3.0, 3.0), (60.0, 60.0), (61.0, 60.0), (MAX_WAIT, 60.0)],
)
def test_a_pause_has_the_length_in_the_signal_within_bounds(wait: float, waited: float) -> None:
    pace = after_signal(FREE, Signal(refused=True, wait=wait), luck=0.0)

    assert pace.until - NOW == pytest.approx(waited)


def test_pauses_grow_when_the_source_names_no_wait_and_refuses_again() -> None:
    pace, waits = FREE, list[float]()
    for turn in range(5):
        now = NOW + 10 * turn
        pace = after_signal(pace, Signal(refused=True, wait=0.0), began=now, now=now)
        waits.append(round(pace.until - now, 6))

    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0]


def test_a_good_response_can_ask_for_a_pause() -> None:
    assert after_signal(FREE, Signal(wait=0.5)) == CallRate(32.0, until=NOW + 0.5, cut_at=NOW)


def test_a_pause_after_a_good_response_has_the_set_length_at_most() -> None:
    assert after_signal(FREE, Signal(wait=10.0)) == CallRate(32.0, until=NOW + 1.0, cut_at=NOW)
    empty = Signal(wait=10.0, left=0)  # each call before that would be refused
    assert after_signal(FREE, empty) == CallRate(32.0, until=NOW + 10.0, cut_at=NOW)


@pytest.mark.parametrize(
    ("signal", "limit"),
    [
        (Signal(left=100), 64.0),
        (Signal(left=17), 17.0),
        (Signal(left=1), 1.0),
        (Signal(left=0), 1.0),
        (Signal(left=0, wait=0.0), 1.0),
        (Signal(left=0, wait=5.0), 32.0),  # the quota is renewed after the pause
    ],
)
def test_the_limit_of_calls_is_at_most_the_rest_of_the_quota(signal: Signal, limit: float) -> None:
    assert after_signal(FREE, signal).limit == limit


def test_each_round_of_good_responses_raises_the_limit_by_one() -> None:
    pace = after_signal(CallRate(8.0), REFUSED)
    limits = [int(pace.limit)]
    for _ in range(4):
        for _ in range(limits[-1] + 1):
            pace = sped_up(pace, began=NOW + 1, most=8)
        limits.append(int(pace.limit))

    assert limits == [4, 5, 6, 7, 8]
    assert pace.refusals == 0


def test_good_responses_to_calls_from_before_the_cut_do_not_count() -> None:
    pace = after_signal(FREE, REFUSED)

    assert sped_up(pace, began=NOW, most=MOST) is pace


SIGNALS = st.builds(
    Signal,
    refused=st.booleans(),
    wait=st.none() | st.floats(0, MAX_WAIT),
    left=st.none() | st.integers(0, 200),
)


@settings(deadline=None)
@given(
    events=st.lists(
        st.tuples(st.floats(0, 10), st.floats(0, 5), st.none() | SIGNALS, st.floats(0, 0.999))
    )
)
def test_the_pace_stays_within_its_bounds_after_any_signals(
    events: list[tuple[float, float, Signal | None, float]],
) -> None:
    pace, now = FREE, NOW
    for passed, took, signal, luck in events:
        now += passed
        before = pace
        if signal is None:
            pace = sped_up(pace, began=now - took, most=MOST)
            assert before.limit <= pace.limit <= before.limit + 1
        else:
            pace = after_signal(pace, signal, began=now - took, now=now, luck=luck)
            least = before.limit if signal.left is None else min(before.limit, signal.left)
            assert pace.limit >= max(1, least / 2)
            assert pace.limit <= before.limit
            assert pace.until >= before.until
            if signal.refused:
                assert pace.until > now
            if signal.wait:
                longest = 60.0 if signal.refused or signal.left == 0 else 1.0
                assert pace.until >= now + min(signal.wait, longest)
        assert 1 <= pace.limit <= MOST
        assert pace.until <= now + 60.0


@settings(deadline=None)
@given(signals=st.lists(SIGNALS, max_size=20))
def test_good_responses_lead_back_to_the_full_limit(signals: list[Signal]) -> None:
    pace, now = FREE, NOW
    for signal in signals:
        pace, now = after_signal(pace, signal, began=now, now=now), now + 1
    responses = 0
    while pace.limit < MOST:
        pace, responses = sped_up(pace, began=math.inf, most=MOST), responses + 1

    assert responses <= MOST * (MOST + 1) / 2
    assert pace.state(now + 61.0, MOST) is PaceState.FREE
