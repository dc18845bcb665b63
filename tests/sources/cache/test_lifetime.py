"""How long an answer may be kept, as its service says."""

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
    """Write a date that is so many seconds from now."""
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


def lifetime(took: float = 0.0, /, **headers: str) -> Lifetime:
    """Read a lifetime, with ``_`` for ``-`` in names."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_lifetime(named, at=NOW, took=took)


@pytest.mark.parametrize(
    "control", ["", "public", "immutable", "no-transform", ",", "=", '"', "60"]
)
def test_who_says_nothing_of_it_sets_no_bound(control: str) -> None:
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
def test_what_must_not_be_kept_has_no_lifetime(control: str) -> None:
    assert lifetime(cache_control=control) is OVER
    assert OVER.over


@pytest.mark.parametrize("vary", ["*", " * ", "Accept, *", "*,Accept-Encoding"])
def test_what_varies_by_more_than_the_request_has_no_lifetime(vary: str) -> None:
    assert lifetime(vary=vary) is OVER
    assert lifetime(vary=vary, cache_control="max-age=60") is OVER


@pytest.mark.parametrize("vary", ["", "Accept-Encoding", "Accept, Origin", "**", "X-*"])
def test_what_varies_by_the_request_sets_no_bound(vary: str) -> None:
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
        # What cannot be read counts as not fresh.
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
        # What is in quotes is no directive.
        ('ext="no-store, max-age=1", max-age=60', 60.0),
        ('private="a, no-store", max-age=60', 60.0),
    ],
)
def test_how_long_it_is_fresh_is_read_from_cache_control(control: str, seconds: float) -> None:
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
        (after(100), after(40), 60.0),  # a clock that goes ahead
        (after(20), after(-40), 20.0),  # one that goes behind, or an answer that is old
    ],
)
def test_how_long_it_is_fresh_is_read_from_expires_otherwise(
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
def test_what_it_has_spent_on_its_way_is_taken_off(
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
def test_how_long_it_may_be_used_when_it_is_stale(
    control: str, behind: float, if_error: float
) -> None:
    read = lifetime(cache_control=control)

    assert (read.stale_while_revalidate, read.stale_if_error) == (behind, if_error)


@pytest.mark.parametrize(
    ("control", "private"),
    [("private", True), ('private="x-user"', True), ("public", False), ('x="private"', False)],
)
def test_what_is_for_the_caller_alone_is_told(control: str, *, private: bool) -> None:
    assert lifetime(cache_control=control).private is private


@pytest.mark.parametrize(
    ("control", "over"),
    [
        ("max-age=0", False),  # it may help out when the source fails
        ("max-age=0, must-revalidate", True),
        ("max-age=1, must-revalidate", False),
        ("max-age=0, stale-if-error=5, stale-while-revalidate=0", False),
    ],
)
def test_what_can_be_used_for_nothing_is_over(control: str, *, over: bool) -> None:
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
def test_whatever_a_service_writes_is_read_as_some_lifetime(
    control: str, age: str, expires: str, date: str
) -> None:
    read = lifetime(cache_control=control, age=age, expires=expires, date=date)

    assert read.fresh <= LONGEST  # ``Expires`` is written here, so that something is always said
    assert read.stale_while_revalidate >= 0
    assert read.stale_if_error >= 0


def test_a_long_header_is_read_in_time_that_grows_with_its_length_alone() -> None:
    for unit in ('"', '"\\', '="', ",", "a=", "a  ", 'a="\\"'):
        lifetime(cache_control=unit * 8_000, age=unit * 8_000)
