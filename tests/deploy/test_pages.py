"""The queries of the documentation read metrics that exist."""

import re

import pytest

from tests.deploy.files import ROOT, alerts
from tests.deploy.queries import mistakes_of

PAGES = sorted((ROOT / "docs").rglob("*.md"))
QUERY = re.compile(r"^```promql\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUERIES = [(page.name, query) for page in PAGES for query in QUERY.findall(page.read_text("utf-8"))]


@pytest.mark.parametrize(("page", "query"), QUERIES)
def test_each_query_reads_metrics_and_labels_that_exist(page: str, query: str) -> None:
    assert mistakes_of(query) == [], page


def test_each_alert_has_a_query_for_the_first_look() -> None:
    text = (ROOT / "docs" / "operations" / "alerts.md").read_text("utf-8")

    for alert in {str(rule.alert) for rule in alerts()}:
        section = text.partition(f"## {alert}\n")[2].partition("\n## ")[0]
        assert QUERY.search(section), alert
