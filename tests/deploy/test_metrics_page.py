"""The page of metrics has all metrics, as the code has them."""

import re
from collections.abc import Iterable, Mapping

import pytest

from app.observability.metric_list import ALL_METRICS
from app.observability.metrics import MetricInfo, MetricKind
from app.resilience.breaker import BreakerState, ChangeReason
from app.resilience.pace import PaceState
from app.settings.fastpath import FastpathSettings
from tests.deploy.files import ROOT
from tests.deploy.queries import label_of
from tests.docs.generated.metrics import ROW, row_of

PAGE = (ROOT / "docs" / "operations" / "metrics.md").read_text("utf-8")
BUCKETS = {info.bounds: info for info in ALL_METRICS if info.kind is MetricKind.HISTOGRAM}.values()
"""One histogram for each list of buckets."""

ATTRIBUTE = re.compile(r"^\| `([a-z_.]+)` \| `(\w+)` \| ([^|]*) \|$", re.MULTILINE)


def test_the_page_has_the_metrics_of_the_code() -> None:
    on_page = {found[1]: found[0] for found in ROW.finditer(PAGE)}

    assert on_page == {info.name: row_of(info) for info in ALL_METRICS}


def attributes_of_page() -> Mapping[str, tuple[str, str]]:
    """Read the table of attributes: the label and the values of each."""
    return {found[1]: (found[2], found[3]) for found in ATTRIBUTE.finditer(PAGE)}


def test_the_page_has_the_attributes_of_the_code_and_their_labels() -> None:
    in_code = {one for info in ALL_METRICS for one in info.attributes}

    assert {name: label for name, (label, _) in attributes_of_page().items()} == {
        name: label_of(name) for name in in_code
    }


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("gateway.circuit.state", BreakerState),
        ("gateway.circuit.reason", ChangeReason),
        ("gateway.pace.state", PaceState),
        ("gateway.fastpath", FastpathSettings.model_fields),
    ],
    ids=["circuit-state", "circuit-reason", "pace-state", "fastpath"],
)
def test_the_page_has_the_values_that_an_attribute_can_have(
    attribute: str, values: Iterable[object]
) -> None:
    _, text = attributes_of_page()[attribute]

    assert re.findall(r"`([^`]+)`", text) == [*map(str, values)]


@pytest.mark.parametrize("info", BUCKETS, ids=lambda info: info.name)
def test_the_page_has_the_buckets(info: MetricInfo) -> None:
    assert ", ".join(f"{bound:g}" for bound in info.bounds) in PAGE
