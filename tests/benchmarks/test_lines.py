"""Pictures of curves."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.lines import Panel, Scale, Series, lines, ticks


@given(st.floats(0.001, 1e5), st.floats(1.0, 1e4))
def test_the_ticks_of_an_axis_include_all_its_values(low: float, times: float) -> None:
    found = ticks(low, low * times)

    assert found == sorted({*found})
    assert len(found) >= 2
    assert found[0] <= low * (1 + 1e-6)
    assert found[-1] >= low * times * (1 - 1e-6)


def test_ticks_are_round_values() -> None:
    assert ticks(0.3, 8) == pytest.approx([0.2, 0.5, 1, 2, 5, 10])


def test_a_scale_is_logarithmic() -> None:
    scale = Scale(low=1, high=100, start=0, end=200)

    assert [scale.at(value) for value in (1, 10, 100)] == pytest.approx([0, 100, 200])


def test_every_point_of_every_curve_is_drawn() -> None:
    one = Series("one", ((1, 0.3), (10, 3.0), (500, 15.0)))
    two = Series("two", ((1, 0.5), (10, 4.0), (500, 20.0)))

    picture = lines("Title", (Panel("up", "right", (one, two)), Panel("too", "right", (one, two))))

    root = ET.fromstring(picture.svg())  # noqa: S314 # our own
    curves = [one.attrib["points"].split() for one in root.iterfind(".//{*}polyline")]
    assert [len(points) for points in curves] == [3, 3, 3, 3]
    for points in curves:
        for x, y in (map(float, point.split(",")) for point in points):
            assert 0 <= x <= picture.width
            assert 0 <= y <= picture.height
