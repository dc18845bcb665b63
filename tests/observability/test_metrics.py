"""Metrics and their snapshots, also of several processes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.observability.metrics import (
    Metric,
    MetricInfo,
    MetricKind,
    Metrics,
    Point,
    Snapshot,
    lasting,
    summed,
)
from app.observability.operation_names import LONGEST, OTHER, OperationNames
from app.observability.trace_context import TraceContext

COUNTED = MetricInfo(
    name="a.count", kind=MetricKind.COUNTER, unit="{thing}", description="Things.",
    attributes=("kind",),
)  # fmt: skip
MEASURED = MetricInfo(
    name="a.duration", kind=MetricKind.HISTOGRAM, unit="s", description="Seconds.",
    attributes=("kind",), bounds=(0.1, 1.0),
)  # fmt: skip
SHOWN = MetricInfo(
    name="a.level", kind=MetricKind.GAUGE, unit="1", description="Level.", attributes=("kind",)
)
TRACE = TraceContext(f"00-{'a' * 32}-{'b' * 16}-01", exported=True)

Record = tuple[str, str, int]
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["count", "duration", "level"]),
        st.sampled_from(["x", "y", ""]),
        st.integers(0, 16),
    )
)


def snapshot_of(records: list[Record]) -> Snapshot:
    """Record values. They are eighths, so that sums are exact."""
    metrics = Metrics(now=lambda: 5.0)
    counter, histogram = metrics.counter(COUNTED), metrics.histogram(MEASURED)
    levels: dict[tuple[str, ...], float] = {}
    metrics.observe(SHOWN, levels.items)
    for kind, attribute, value in records:
        if kind == "count":
            counter.add(value / 8, attribute)
        elif kind == "duration":
            histogram.record(value / 8, attribute)
        else:
            levels[attribute,] = levels.get((attribute,), 0) + value / 8
    return metrics.snapshot()


def points_of(snapshot: Snapshot, info: MetricInfo) -> dict[tuple[str, ...], Point]:
    """Return the points of a metric by their attributes."""
    found = [one for one in snapshot.metrics if one.info == info]
    return {point.attributes: point for one in found for point in one.points}


@given(RECORDS, RECORDS, RECORDS)
def test_the_sum_of_snapshots_is_the_snapshot_of_one_process(
    one: list[Record], two: list[Record], three: list[Record]
) -> None:
    together = snapshot_of(one + two + three)

    added = summed([snapshot_of(one), snapshot_of(two), snapshot_of(three)])

    assert added.started == together.started
    for info in (COUNTED, MEASURED, SHOWN):
        assert points_of(added, info) == points_of(together, info)


@given(RECORDS)
def test_a_snapshot_is_unchanged_after_a_round_trip_as_json(records: list[Record]) -> None:
    snapshot = snapshot_of(records)

    assert Snapshot.model_validate_json(snapshot.model_dump_json()) == snapshot


@pytest.mark.parametrize(
    ("value", "buckets"),
    [(0.0, (1, 0, 0)), (0.1, (1, 0, 0)), (0.11, (0, 1, 0)), (1.0, (0, 1, 0)), (1.01, (0, 0, 1))],
)
def test_a_bucket_includes_its_upper_bound(value: float, buckets: tuple[int, ...]) -> None:
    metrics = Metrics()
    metrics.histogram(MEASURED).record(value, "x")

    [point] = points_of(metrics.snapshot(), MEASURED).values()

    assert (point.buckets, point.count, point.value) == (buckets, 1, value)
    assert (point.least, point.most) == (value, value)


def test_the_later_exemplar_of_a_bucket_is_kept() -> None:
    first, second = Metrics(), Metrics()
    for metrics, value in ((first, 0.5), (second, 0.6)):
        metrics.histogram(MEASURED).record(value, "x", trace=TRACE)

    later_first = summed([second.snapshot(), first.snapshot()])

    [point] = points_of(later_first, MEASURED).values()
    assert point.exemplars[1].value == 0.6
    assert point.exemplars[1].trace_id == "a" * 32


def test_counters_and_histograms_are_kept_after_a_process_ends() -> None:
    snapshot = snapshot_of([("count", "x", 8), ("duration", "x", 8), ("level", "x", 8)])

    kept = lasting(snapshot)

    assert [one.info for one in kept.metrics] == [COUNTED, MEASURED]


def test_a_metric_without_a_value_is_left_out() -> None:
    metrics = Metrics()
    metrics.counter(COUNTED)
    metrics.observe(SHOWN, list)

    assert metrics.snapshot().metrics == ()


def test_values_of_several_observers_of_a_metric_are_added() -> None:
    metrics = Metrics()
    metrics.observe(SHOWN, lambda: [(("x",), 1.0)])
    metrics.observe(SHOWN, lambda: [(("x",), 2.0), (("y",), 5.0)])

    [metric] = metrics.snapshot().metrics

    assert metric == Metric(
        info=SHOWN,
        points=(Point(attributes=("x",), value=3.0), Point(attributes=("y",), value=5.0)),
    )


@given(st.lists(st.tuples(st.text(max_size=LONGEST + 5), st.booleans())), st.integers(0, 5))
def test_clients_add_no_more_operation_names_than_allowed(
    names: list[tuple[str, bool]], limit: int
) -> None:
    chosen = OperationNames(limit)

    shown = {(chosen.shown(name, trusted=trusted), trusted) for name, trusted in names}

    of_clients = {name for name, trusted in shown if not trusted} - {OTHER}
    of_operator = {name for name, trusted in names if trusted and len(name) <= LONGEST}
    assert len(of_clients - of_operator) <= limit
    assert {name for name, trusted in shown if trusted} - {OTHER} == of_operator - {OTHER}
    assert chosen.shown(None, trusted=False) == ""


def test_an_observation_ends_with_its_context_and_counts_are_kept() -> None:
    metrics = Metrics()
    counts = {("x",): 3.0}
    with metrics.observing() as observations:
        observations.observe(COUNTED, counts.items)
        observations.observe(SHOWN, lambda: [(("x",), 1.0)])
        during = metrics.snapshot()
    with metrics.observing() as observations:
        observations.observe(COUNTED, lambda: [(("x",), 4.0)])
        again = metrics.snapshot()
    after = metrics.snapshot()

    assert points_of(during, SHOWN)["x",].value == 1
    assert not points_of(after, SHOWN)
    values = [points_of(one, COUNTED)["x",].value for one in (during, again, after)]
    assert values == [3, 7, 7]
