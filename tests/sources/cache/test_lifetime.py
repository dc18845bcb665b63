"""How long a response may be cached, by its own headers."""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.sources.cache.lifetime import (
    LONGEST,
    OVER,
    UNBOUNDED,
    Lifetime,
    read_arrival,
    read_lifetime,
)

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


def after(seconds: float) -> str:
    """Write the date that is ``seconds`` from now."""
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


def lifetime(took: float = 0.0, /, **headers: str) -> Lifetime:
    """Read a lifetime, with ``_`` for ``-`` in names."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_lifetime(named, at=NOW, took=took)


@pytest.mark.parametrize(
    "control", ["", "public", "immutable", "no-transform", ",", "=", '"', "60"]
)
def test_a_header_without_a_lifetime_sets_no_limit(control: str) -> None:
    assert lifetime(cache_control=control) == UNBOUNDED


@pytest.mark.parametrize(
    "control",
    [
        "no-store",
        "No-Store",
        "max-age=60, no-store",
        "private, no-cache, max-age=60",
        'no-cache="set-cookie"',
        "no-store=1",
        "must-understand,no-store",
    ],
)
def test_a_response_that_must_not_be_cached_has_no_lifetime(control: str) -> None:
    assert lifetime(cache_control=control) is OVER
    assert OVER.over


@pytest.mark.parametrize("vary", ["*", " * ", "Accept, *", "*,Accept-Encoding"])
def test_a_response_with_a_vary_header_of_a_star_has_no_lifetime(vary: str) -> None:
    assert lifetime(vary=vary) is OVER
    assert lifetime(vary=vary, cache_control="max-age=60") is OVER


@pytest.mark.parametrize("vary", ["", "Accept-Encoding", "Accept, Origin", "**", "X-*"])
def test_a_vary_header_of_names_sets_no_limit(vary: str) -> None:
    assert lifetime(vary=vary) == UNBOUNDED


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        ("max-age=60", 60.0),
        ("MAX-AGE=60", 60.0),
        ('max-age="60"', 60.0),
        ("max-age = 60", 60.0),
        (" , max-age=60,", 60.0),
        ("max-age=0", 0.0),
        ("max-age=0060", 60.0),
        ("max-age=60, max-age=60", 60.0),
        # A value that cannot be read counts as not fresh.
        ("max-age=60, max-age=30", 0.0),
        ("max-age", 0.0),
        ("max-age=", 0.0),
        ("max-age=-60", 0.0),
        ("max-age=6e1", 0.0),
        ("max-age=1.5", 0.0),
        ("max-age=٦٠", 0.0),
        ('max-age="60', 60.0),
        ("max-age=" + "9" * 5_000, LONGEST),
        # For a shared cache ``s-maxage`` comes first, shorter or longer.
        ("max-age=60, s-maxage=30", 30.0),
        ("s-maxage=90, max-age=60", 90.0),
        ("s-maxage=soon, max-age=60", 0.0),
        # Text in quotes is not a directive.
        ('ext="no-store, max-age=1", max-age=60', 60.0),
        ('private="a, no-store", max-age=60', 60.0),
    ],
)
def test_the_fresh_time_is_read_from_cache_control(control: str, seconds: float) -> None:
    assert lifetime(cache_control=control).fresh == seconds
    assert lifetime(cache_control=control, expires=after(3600)).fresh == seconds


@pytest.mark.parametrize(
    ("expires", "date", "seconds"),
    [
        (after(60), after(0), 60.0),
        (after(60), None, 60.0),
        (after(60), "no date", 60.0),
        (after(-60), None, -60.0),
        (after(0), None, 0.0),
        ("0", None, 0.0),
        ("-1", None, 0.0),
        ("", None, 0.0),
        ("tomorrow", None, 0.0),
        (f"{after(60)}, {after(90)}", None, 60.0),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None, 0.0),
        (after(100), after(40), 60.0),  # the clock of the service is ahead
        (after(20), after(-40), 20.0),  # it is behind, or the response is old
    ],
)
def test_the_fresh_time_is_read_from_expires_without_cache_control(
    expires: str, date: str | None, seconds: float
) -> None:
    headers = {"expires": expires} if date is None else {"expires": expires, "date": date}

    assert lifetime(**headers).fresh == seconds


@pytest.mark.parametrize(
    ("headers", "took", "seconds"),
    [
        ({"age": "20"}, 0.0, 40.0),
        ({"age": "20"}, 1.5, 38.5),
        ({}, 1.5, 58.5),
        ({"age": "60"}, 0.0, 0.0),
        ({"age": "90"}, 0.0, -30.0),
        ({"age": "9" * 400}, 0.0, 60.0 - LONGEST),
        ({"age": "old"}, 0.0, 60.0),
        ({"age": "-5"}, 0.0, 60.0),
        ({"age": "20, 30"}, 0.0, 40.0),
        ({"date": after(-10)}, 0.0, 50.0),
        ({"date": after(10)}, 0.0, 60.0),
        ({"date": "no date"}, 0.0, 60.0),
        ({"date": after(-10), "age": "20"}, 0.0, 40.0),
        ({"date": after(-30), "age": "20"}, 0.0, 30.0),
    ],
)
def test_the_age_of_a_response_and_the_time_of_its_call_are_subtracted(
    headers: dict[str, str], took: float, seconds: float
) -> None:
    assert lifetime(took, cache_control="max-age=60", **headers).fresh == seconds
    assert lifetime(took, cache_control="public", **headers) == UNBOUNDED


@pytest.mark.parametrize(
    ("control", "behind", "if_error"),
    [
        ("max-age=60", math.inf, math.inf),
        ("max-age=60, stale-while-revalidate=5, stale-if-error=9", 5.0, 9.0),
        ("stale-while-revalidate=soon, stale-if-error", 0.0, 0.0),
        ("max-age=60, must-revalidate", 0.0, 0.0),
        ("must-revalidate, stale-if-error=9", 0.0, 0.0),
        ("proxy-revalidate, stale-while-revalidate=5", 0.0, 0.0),
        ("s-maxage=60", 0.0, 0.0),
        ("s-maxage=60, stale-while-revalidate=5", 5.0, 0.0),
    ],
)
def test_the_stale_times_are_read_from_cache_control(
    control: str, behind: float, if_error: float
) -> None:
    read = lifetime(cache_control=control)

    assert (read.stale_while_revalidate, read.stale_if_error) == (behind, if_error)


@pytest.mark.parametrize(
    ("control", "private"),
    [("private", True), ('private="x-user"', True), ("public", False), ('x="private"', False)],
)
def test_a_private_response_is_marked_as_private(control: str, *, private: bool) -> None:
    assert lifetime(cache_control=control).private is private


@pytest.mark.parametrize(
    ("control", "over"),
    [
        ("max-age=0", False),  # it may be used when the source fails
        ("max-age=0, must-revalidate", True),
        ("max-age=1, must-revalidate", False),
        ("max-age=0, stale-if-error=5, stale-while-revalidate=0", False),
    ],
)
def test_a_lifetime_without_any_use_is_over(control: str, *, over: bool) -> None:
    assert lifetime(cache_control=control).over is over
    assert lifetime(2.0, cache_control="max-age=1, must-revalidate").over


def test_a_response_without_cache_headers_has_no_lifetime() -> None:
    headers = {"content-type": "application/json", "age": "5"}

    assert read_arrival(headers, at=NOW, took=0.0) is None
    arrival = read_arrival({**headers, "cache-control": "max-age=7"}, at=NOW, took=0.0)
    assert arrival is not None
    assert (arrival.at, arrival.lifetime.fresh) == (NOW, 2.0)


WORDS = ["max-age", "s-maxage", "no-store", "private", "stale-if-error", "=", ",", " ", '"', "\\"]
CONTROLS = st.lists(
    st.sampled_from([*WORDS, "0", "60", "9" * 30]) | st.text(max_size=3), max_size=15
).map("".join)


@settings(deadline=None)
@given(control=CONTROLS, age=CONTROLS, expires=CONTROLS, date=CONTROLS)
def test_any_headers_give_a_valid_lifetime(control: str, age: str, expires: str, date: str) -> None:
    read = lifetime(cache_control=control, age=age, expires=expires, date=date)

    assert read.fresh <= LONGEST  # never without a limit, because ``Expires`` is always sent
    assert read.stale_while_revalidate >= 0
    assert read.stale_if_error >= 0


def test_long_headers_of_repeated_signs_are_read_without_an_exception() -> None:
    for unit in ('"', '"\\', '="', ",", "a=", "a  ", 'a="\\"'):
        lifetime(cache_control=unit * 8_000, age=unit * 8_000)
