"""The verdict on whether memory stays flat."""

import pytest

from benchmarks.soak import Memory, Soak, SoakPlan, slope
from benchmarks.variety import VarietySoak

PLAN = SoakPlan(requests=1_000_000, connections=32, fresh=0.02, bound_mb=16.0)


def soak(*megabytes: float, errors: int = 0) -> Soak:
    """Make up a soak with one measurement of memory every 100,000 requests."""
    memory = tuple(Memory(100_000 * index, mb) for index, mb in enumerate(megabytes))
    return Soak(PLAN, memory, errors=errors, failed=0, seconds=900.0)


def test_memory_that_grows_only_at_the_start_is_flat() -> None:
    assert soak(60, 90, 100, 101, 100, 101, 100, 101, 100, 101, 100).is_flat


def test_memory_that_keeps_growing_is_not_flat() -> None:
    found = soak(*(60 + 5 * number for number in range(11)))

    assert found.growth_mb == pytest.approx(50.0)
    assert not found.is_flat
    assert "+50.00 MB per million requests" in found.verdict()
    assert "NOT flat" in found.verdict()


def test_memory_that_shrinks_is_flat() -> None:
    assert soak(100, 100, 95, 90, 85).is_flat


def test_memory_is_not_flat_when_responses_were_errors() -> None:
    assert not soak(100, 100, 100, errors=200_000).is_flat


def test_one_measurement_of_memory_has_a_slope_of_zero() -> None:
    assert slope([Memory(0, 60.0)]) == 0


@pytest.mark.parametrize(("peak", "word"), [(199.9, ": bounded"), (200.1, "NOT bounded")])
def test_a_variety_soak_is_judged_by_its_peak(peak: float, word: str) -> None:
    found = VarietySoak(10, start_mb=80, peak_mb=peak, end_mb=90, most_mb=200)

    assert found.is_bounded is (peak < found.most_mb)
    assert word in found.verdict()
