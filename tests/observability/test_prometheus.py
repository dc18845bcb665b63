"""Metrics in the text formats of Prometheus."""

from collections.abc import Callable, Iterable
from typing import cast

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import parser
from prometheus_client.parser import text_string_to_metric_families as plain

from app.observability.metric_list import ALL_METRICS, GRAPHQL_DURATION, OPERATIONS, RETRY_BUDGET
from app.observability.metrics import MetricKind, Metrics, Snapshot
from app.observability.prometheus import exposition, prometheus_name
from app.observability.trace_context import TraceContext

TRACE = TraceContext(f"00-{'a' * 32}-{'b' * 16}-01", exported=True)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def openmetrics(text: str) -> Iterable[Family]:
    """Parse OpenMetrics; the library's function has no types."""
    parse = cast(
        "Callable[[str], Iterable[Family]]",
        parser.text_string_to_metric_families,  # pyright: ignore[reportUnknownMemberType]
    )
    return parse(text)


def snapshot() -> Snapshot:
    """Record some values."""
    metrics = Metrics()
    metrics.counter(OPERATIONS).add(3, "compiled")
    duration = metrics.histogram(GRAPHQL_DURATION)
    duration.record(0.003, "query", "A", "")
    duration.record(0.3, "query", "A", "", trace=TRACE)
    metrics.observe(RETRY_BUDGET, lambda: [(("billing",), 7.0)])
    return metrics.snapshot()


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", OPENMETRICS])
def test_values_can_be_read_back(accept: str) -> None:
    made = exposition(snapshot(), accept, {"service.name": "user-gateway"})

    parse = openmetrics if "openmetrics" in made.media_type else plain
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(made.body.decode())
        for sample in family.samples
    }
    operation = (
        ("error_type", ""),
        ("graphql_operation_name", "A"),
        ("graphql_operation_type", "query"),
    )
    duration = "graphql_server_request_duration_seconds"
    assert samples["gateway_operations_total", ("gateway_renderer", "compiled")] == 3
    assert samples["gateway_retry_budget_remaining", ("gateway_source", "billing")] == 7
    assert samples["target_info", ("service_name", "user-gateway")] == 1
    assert samples[f"{duration}_count", *operation] == 2
    assert samples[f"{duration}_sum", *operation] == 0.303
    bucket = f"{duration}_bucket"
    assert samples[bucket, *operation, ("le", "0.005")] == 1
    assert samples[bucket, *operation, ("le", "0.25")] == 1
    assert samples[bucket, *operation, ("le", "+Inf")] == 2


def test_only_openmetrics_has_exemplars() -> None:
    texts = [exposition(snapshot(), accept, {}).body.decode() for accept in ("", OPENMETRICS)]

    assert ["trace_id" in text for text in texts] == [False, True]
    exemplars = [
        sample.exemplar
        for family in openmetrics(texts[1])
        for sample in family.samples
        if sample.exemplar
    ]
    assert [one.labels for one in exemplars] == [{"trace_id": "a" * 32, "span_id": "b" * 16}]


def test_names_have_the_unit_as_suffix_and_are_unique() -> None:
    names = {info.name: prometheus_name(info) for info in ALL_METRICS}

    assert names["http.server.request.duration"] == "http_server_request_duration_seconds"
    assert names["process.memory.usage"] == "process_memory_usage_bytes"
    assert names["gateway.source.calls"] == "gateway_source_calls"
    assert len({*names.values()}) == len(ALL_METRICS)
    assert all(info.bounds for info in ALL_METRICS if info.kind is MetricKind.HISTOGRAM)
