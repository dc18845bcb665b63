"""The alerts for Prometheus say what is so of metrics, and are documented and tested."""

import re
import subprocess

import pytest
import yaml

from tests.deploy.files import (
    PROMETHEUS,
    ROOT,
    RULES,
    RULES_TEST,
    Rule,
    RulesTest,
    alerts,
    rule_file,
    rules,
)
from tests.deploy.promtool import prometheus_program
from tests.deploy.queries import mistakes_of

PAGE = ROOT / "docs" / "operations" / "alerts.md"
HEADING = re.compile(r"^## (Gateway\w+)$", re.MULTILINE)


@pytest.mark.parametrize("rule", [*rules()], ids=lambda rule: rule.record or rule.alert)
def test_metrics_labels_and_buckets_of_rules_exist(rule: Rule) -> None:
    assert mistakes_of(rule.expr) == []


@pytest.mark.parametrize(
    ("expr", "mistakes"),
    [
        ("rate(gateway_operations[5m])", ["no metric gateway_operations"]),
        (
            'sum(rate(gateway_operations_total{gateway_source="billing"}[5m]))',
            ["no label gateway_source of gateway_operations_total"],
        ),
        (
            "sum by (gateway_source) (rate(gateway_operations_total[5m]))",
            ["no label gateway_source"],
        ),
        ("gateway_workers / on (le) gateway_workers", ["no label le"]),
        (
            'gateway_circuit_state{gateway_circuit_state!="half_open"}',
            ["no value half_open of gateway_circuit_state"],
        ),
        (
            'rate(http_client_request_duration_seconds_bucket{le="0.6"}[5m])',
            ["no bucket 0.6 of http_client_request_duration_seconds_bucket"],
        ),
    ],
)
def test_a_mistake_in_a_query_is_found(expr: str, mistakes: list[str]) -> None:
    assert mistakes_of(expr) == mistakes


def test_each_alert_has_a_severity_texts_and_a_section_of_the_page() -> None:
    sections = HEADING.findall(PAGE.read_text("utf-8"))

    assert sections == [*dict.fromkeys(str(rule.alert) for rule in alerts())]
    for rule in alerts():
        assert rule.labels["severity"] in {"page", "ticket"}
        assert {*rule.annotations} == {"summary", "description", "runbook"}
        assert rule.annotations["summary"].endswith(".")
        link = f"docs/operations/alerts.md#{str(rule.alert).lower()}"
        assert rule.annotations["runbook"] == link


def test_the_page_has_the_numbers_that_can_be_changed() -> None:
    [thresholds] = [one for one in rule_file().groups if one.name == "gateway-thresholds"]
    in_rules = {
        str(rule.record): rule.expr.removeprefix("vector(").removesuffix(")")
        for rule in thresholds.rules
    }

    row = re.compile(r"^\| `(gateway:threshold:\w+)` \| ([\d.]+) \|", re.MULTILINE)
    assert dict(row.findall(PAGE.read_text("utf-8"))) == in_rules


def test_each_alert_is_tested_to_fire_and_not_to_fire() -> None:
    tested = RulesTest.model_validate(yaml.safe_load(RULES_TEST.read_text("utf-8")))
    expected = [one for test in tested.tests for one in test.alert_rule_test]
    names = {str(rule.alert) for rule in alerts()}

    assert {one.alertname for one in expected if one.exp_alerts} == names
    assert {one.alertname for one in expected if not one.exp_alerts} == names
    # Otherwise `promtool` evaluates groups in any order, and rates may be a minute old.
    assert [*tested.group_eval_order] == [group.name for group in rule_file().groups]


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", RULES),
        ("check", "config", PROMETHEUS),
        ("test", "rules", RULES_TEST),
    ],
    ids=["check-rules", "check-config", "test-rules"],
)
def test_promtool_accepts_the_files(arguments: tuple[str, ...]) -> None:
    command = (prometheus_program("promtool"), *map(str, arguments))

    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 # by its path

    assert done.returncode == 0, done.stdout + done.stderr
