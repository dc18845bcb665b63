"""How cost grows."""

import pytest

from benchmarks.curves import (
    BY_CONNECTIONS,
    BY_USERS,
    USERS,
    Curves,
    Point,
    added_latency,
    growth,
)
from benchmarks.summary import Spread
from tests.benchmarks.figures import MACHINE


def point(along: str, *, users: int = 1, connections: int = 32, delay_ms: int = 20) -> Point:
    """Make up what was measured at one place."""
    cost = 0.25 + 0.02 * users
    return Point(
        along=along,
        workers=1,
        delay_ms=delay_ms,
        users=users,
        connections=connections,
        cpu_ms=Spread(cost, cost, cost),
        p50_ms=Spread(delay_ms + 3.0, 0.0, 99.0),
        p99_ms=50.0,
        requests_per_second=100.0,
        calls=3.0,
        errors=0,
        failed=0.0,
    )


FOUND = Curves(
    date="2026-01-31",
    commit="abc1234",
    machine=MACHINE,
    seconds=2,
    rounds=3,
    points=(
        *(point(BY_USERS, users=users) for users in USERS),
        point(BY_CONNECTIONS, connections=1),
        point(BY_CONNECTIONS, connections=32),
        point(BY_CONNECTIONS, connections=32, delay_ms=0),
    ),
)


def test_growth_is_the_line_through_the_curve_of_users() -> None:
    line = growth(FOUND, workers=1, delay_ms=20)

    assert line.constant == pytest.approx(0.25)
    assert line.slope == pytest.approx(0.02)


def test_added_latency_is_what_is_above_the_time_of_the_sources() -> None:
    assert added_latency(FOUND, workers=1, delay_ms=20) == pytest.approx(3.0)
    assert added_latency(FOUND, workers=2, delay_ms=20) is None


def test_curves_are_listed_once_each() -> None:
    assert FOUND.kinds() == [(1, 20), (1, 0)]
