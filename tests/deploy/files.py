"""The files for operators, read as Prometheus and Grafana read them."""

import re
from collections.abc import Iterator, Sequence
from functools import cache

import yaml
from pydantic import BaseModel, ConfigDict, Field

from tests.conftest import APP

ROOT = APP.parent
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
RULES_TEST = DEPLOY / "prometheus" / "alerts_test.yml"
PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"


class Rule(BaseModel):
    """A rule of Prometheus."""

    model_config = ConfigDict(extra="forbid")

    record: str | None = Field(default=None, description="The metric that it records.")
    alert: str | None = Field(default=None, description="The alert that it raises.")
    expr: str = Field(description="Its expression.")
    for_: str | None = Field(default=None, alias="for", description="How long it has to hold.")
    labels: dict[str, str] = Field(default_factory=dict[str, str], description="Its labels.")
    annotations: dict[str, str] = Field(default_factory=dict[str, str], description="Its texts.")


class RuleGroup(BaseModel):
    """Rules that are evaluated one after the other."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="Its name.")
    rules: Sequence[Rule] = Field(description="Its rules.")


class RuleFile(BaseModel):
    """A file of rules."""

    model_config = ConfigDict(extra="forbid")

    groups: Sequence[RuleGroup] = Field(description="Its groups.")


class RulesTest(BaseModel):
    """What we read of the file of tests of rules."""

    group_eval_order: Sequence[str] = Field(description="Groups in the order of evaluation.")
    tests: Sequence["RuleTest"] = Field(description="The tests.")


class RuleTest(BaseModel):
    """What we read of a test of rules."""

    alert_rule_test: Sequence["AlertTest"] = Field(description="What is expected of alerts.")


class AlertTest(BaseModel):
    """What we read of an expectation."""

    alertname: str = Field(description="The alert.")
    exp_alerts: Sequence[object] = Field(default=(), description="How it fires; empty for not.")


class Target(BaseModel):
    """A query of a panel."""

    expr: str = Field(description="The query.")
    legend_format: str = Field(alias="legendFormat", description="Names its lines.")


class Defaults(BaseModel):
    """How values are shown."""

    unit: str = Field(description="Their unit.")


class FieldConfig(BaseModel):
    """How the values of a panel are shown."""

    defaults: Defaults = Field(description="How all values are shown.")


class GridPos(BaseModel):
    """The place of a panel."""

    h: int
    w: int
    x: int
    y: int


class Panel(BaseModel):
    """A panel, or the title of a row."""

    id: int
    type: str
    title: str
    grid_pos: GridPos = Field(alias="gridPos")
    description: str = Field(default="", description="What it shows.")
    targets: Sequence[Target] = Field(default=(), description="Its queries.")
    field_config: FieldConfig | None = Field(default=None, alias="fieldConfig")


class Dashboard(BaseModel):
    """What we read of the dashboard."""

    panels: Sequence[Panel] = Field(description="Its panels.")

    @property
    def charts(self) -> Sequence[Panel]:
        """The panels, without the titles of rows."""
        return [one for one in self.panels if one.type != "row"]


@cache
def rule_file() -> RuleFile:
    """Read the alerts, and the rules that they need."""
    return RuleFile.model_validate(yaml.safe_load(RULES.read_text("utf-8")))


def rules() -> Iterator[Rule]:
    """List all rules."""
    return (rule for group in rule_file().groups for rule in group.rules)


def alerts() -> Sequence[Rule]:
    """List the alerts."""
    return [rule for rule in rules() if rule.alert is not None]


@cache
def dashboard() -> Dashboard:
    """Read the dashboard."""
    return Dashboard.model_validate_json(DASHBOARD.read_bytes())


def filled_in(expr: str, interval: str = "5m") -> str:
    """Fill in the variables of a query of the dashboard, as if all was chosen.

    Args:
        expr: The query.
        interval: The period over which rates are computed.

    Returns:
        The query as it is sent to Prometheus.
    """
    for name in ("job", "instance", "source"):
        expr = re.sub(rf"\${name}\b", ".*", expr)
    expr = expr.replace("$__rate_interval", interval)
    assert "$" not in expr, f"an unknown variable in {expr}"
    return expr
