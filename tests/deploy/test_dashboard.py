"""The dashboard for Grafana shows all metrics, each panel with its unit and a description."""

import subprocess
import sys
from itertools import combinations, pairwise

import pytest

from app.observability.metric_list import ALL_METRICS
from tests.deploy.files import DASHBOARD, DEPLOY, Panel, dashboard, filled_in
from tests.deploy.queries import metrics_of, mistakes_of

QUERIES = [query.expr for panel in dashboard().charts for query in panel.targets]


@pytest.mark.parametrize("panel", dashboard().charts, ids=lambda panel: panel.title)
def test_metrics_and_labels_of_queries_exist(panel: Panel) -> None:
    for query in panel.targets:
        assert mistakes_of(filled_in(query.expr)) == []


def test_each_metric_is_on_the_dashboard() -> None:
    shown = {name for query in QUERIES for name in metrics_of(filled_in(query))}

    assert shown == {info.name for info in ALL_METRICS}


def test_each_panel_says_what_it_shows_and_in_which_unit() -> None:
    for panel in dashboard().charts:
        assert panel.field_config is not None, panel.title
        assert panel.field_config.defaults.unit, panel.title
        assert panel.description.endswith("."), panel.title
        assert all(query.legend_format for query in panel.targets), panel.title
    titles = [panel.title for panel in dashboard().charts]
    assert len({*titles}) == len(titles)


def test_panels_have_places_and_numbers_of_their_own() -> None:
    panels = dashboard().panels

    assert [panel.id for panel in panels] == [*range(1, len(panels) + 1)]
    assert all(one.grid_pos.y <= other.grid_pos.y for one, other in pairwise(panels))
    for one, other in combinations((panel.grid_pos for panel in panels), 2):
        beside = one.x + one.w <= other.x or other.x + other.w <= one.x
        below = one.y + one.h <= other.y or other.y + other.h <= one.y
        assert beside or below


def test_the_dashboard_is_the_one_that_the_list_of_panels_makes() -> None:
    command = (sys.executable, DEPLOY / "grafana" / "dashboard.py")

    made = subprocess.run(command, capture_output=True, check=True).stdout  # noqa: S603 # our own

    assert DASHBOARD.read_bytes() == made, "run `make dashboard`"
