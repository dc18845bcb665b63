"""Medians, ranges, and ratios of samples of the same round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.summary import Spread, ratio, spread, summarise
from tests.benchmarks.figures import OURS, REFERENCE, sample


def test_a_spread_is_the_median_and_the_range() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(median=2.0, low=1.0, high=3.0)


@given(st.lists(st.floats(0.001, 1000), min_size=1))
def test_the_median_is_within_the_range(values: list[float]) -> None:
    found = spread(values)

    assert found.low <= found.median <= found.high
    assert {found.low, found.high} <= {*values}


def test_a_spread_of_no_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_ratios_compare_samples_of_the_same_round() -> None:
    ours = [sample(round_number=0, cpu_ms=1.0), sample(round_number=1, cpu_ms=4.0)]
    others = [sample(round_number=1, cpu_ms=2.0), sample(round_number=0, cpu_ms=2.0)]

    assert ratio(ours, others) == Spread(median=1.25, low=0.5, high=2.0)


@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=5), st.floats(0.1, 10.0))
def test_slow_rounds_do_not_change_a_ratio(slowness: list[float], times: float) -> None:
    ours = [sample(round_number=n, cpu_ms=times * slow) for n, slow in enumerate(slowness)]
    base = [sample(round_number=n, cpu_ms=slow) for n, slow in enumerate(slowness)]

    found = ratio(ours, base)

    assert found is not None
    assert found.low == pytest.approx(times)
    assert found.high == pytest.approx(times)


def test_peers_without_a_common_round_have_no_ratio() -> None:
    assert ratio([sample(round_number=0)], [sample(round_number=1)]) is None


def test_a_summary_has_ratios_to_the_reference_and_the_base_workload() -> None:
    samples = [
        sample(workload="W3", cpu_ms=2.0),
        sample(workload="W3-down", cpu_ms=3.0),
        sample(REFERENCE, "W3-down", cpu_ms=1.5),
    ]

    found = summarise(samples, OURS, "W3-down", REFERENCE, beside="W3")

    assert found is not None
    assert found.ratio == Spread(2.0, 2.0, 2.0)
    assert found.beside == Spread(1.5, 1.5, 1.5)
    assert found.calls.total == pytest.approx(0.6)


def test_a_workload_without_samples_has_no_summary() -> None:
    assert summarise([sample()], OURS, "W4", REFERENCE) is None
