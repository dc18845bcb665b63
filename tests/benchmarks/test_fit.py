"""A straight line is fitted to points."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fit import fit

USERS = (1, 2, 5, 10, 20, 50, 100, 500)


@given(st.floats(0.01, 10), st.floats(0.0001, 1))
def test_points_on_a_line_give_that_line(constant: float, slope: float) -> None:
    found = fit([(x, constant + slope * x) for x in USERS])

    assert found.constant == pytest.approx(constant, rel=1e-6)
    assert found.slope == pytest.approx(slope, rel=1e-6)
    assert found.worst == pytest.approx(0, abs=1e-6)


def test_the_point_with_the_largest_relative_error_is_reported() -> None:
    points = [(float(x), 1.0 + x) for x in range(1, 20)]
    points[9] = (10.0, 22.0)

    found = fit(points)

    assert found.worst_at == 10.0
    assert found.worst == pytest.approx(abs(found.at(10.0) - 22.0) / 22.0)


def test_one_high_outlier_hardly_changes_the_constant() -> None:
    points = [(x, 0.25 + 0.02 * x) for x in USERS]
    points[-1] = (500, 1.2 * (0.25 + 0.02 * 500))

    assert fit(points).constant == pytest.approx(0.25, rel=0.1)


@pytest.mark.parametrize("points", [[(1.0, 1.0)], [(1.0, 1.0), (1.0, 2.0)], []])
def test_fewer_than_two_different_points_have_no_line(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="two different points"):
        fit(points)


def test_a_cost_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        fit([(1, 0.0), (2, 1.0)])
