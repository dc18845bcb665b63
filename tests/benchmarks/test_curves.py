"""The growth of cost with users, connections and workers."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.curves import (
    BY_CONNECTIONS,
    BY_USERS,
    BY_WORKERS,
    USERS,
    Curves,
    Point,
    added_latency,
    growth,
)
from benchmarks.curves_report import scaling_table, write_curves
from benchmarks.summary import Spread
from tests.benchmarks.figures import MACHINE


def point(
    along: str,
    *,
    workload: str = "W2",
    workers: int = 1,
    users: int = 1,
    connections: int = 32,
    delay_ms: int = 20,
) -> Point:
    """Make up the measurement of one point."""
    cost = 0.25 + 0.02 * users
    return Point(
        along=along,
        workload=workload,
        workers=workers,
        delay_ms=delay_ms,
        users=users,
        connections=connections,
        cpu_ms=Spread(cost, cost, cost),
        p50_ms=Spread(delay_ms + 3.0, 0.0, 99.0),
        p99_ms=50.0,
        requests_per_second=100.0 * workers,
        calls=3.0,
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
        point(BY_WORKERS, workload="W9", workers=1, delay_ms=0),
        point(BY_WORKERS, workload="W9", workers=2, delay_ms=0),
    ),
)


def test_growth_is_the_line_through_the_curve_of_users() -> None:
    line = growth(FOUND, workers=1, delay_ms=20)

    assert line.constant == pytest.approx(0.25)
    assert line.slope == pytest.approx(0.02)


def test_added_latency_is_the_latency_minus_the_delay_of_the_sources() -> None:
    assert added_latency(FOUND, workers=1, delay_ms=20) == pytest.approx(3.0)
    assert added_latency(FOUND, workers=2, delay_ms=20) is None


def test_curves_are_listed_once_each() -> None:
    assert FOUND.kinds() == [(1, 20), (1, 0), (2, 0)]


def test_the_table_over_workers_compares_with_one_worker() -> None:
    rows = [row[:4] for row in scaling_table(FOUND).rows]

    assert rows == [
        ("W9: W3, mapped by expressions", "1", "100", "1.00"),
        ("W9: W3, mapped by expressions", "2", "200", "2.00"),
    ]


def test_the_curve_over_workers_has_its_own_picture(tmp_path: Path) -> None:
    points = tuple(
        point(along, workload=workload, workers=workers, users=users, connections=connections)
        for along, workload, users, connections in (
            (BY_USERS, "users", 1, 32),
            (BY_USERS, "users", 2, 32),
            (BY_CONNECTIONS, "W2", 1, 1),
            (BY_CONNECTIONS, "W2", 1, 32),
            (BY_WORKERS, "W3", 50, 32),
            (BY_WORKERS, "W9", 50, 32),
        )
        for workers in (1, 2)
    )

    write_curves(replace(FOUND, points=points), tmp_path / "curves.json")

    assert "answers in a second" in (tmp_path / "curves.workers.svg").read_text("utf-8")
    assert "users in a request" in (tmp_path / "curves.svg").read_text("utf-8")
