"""What queries say of metrics, held against the list of metrics."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import get_args

import promql_parser
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    Matcher,
    MatchOp,
    VectorSelector,
)

from app.observability.metric_list import ALL_METRICS
from app.observability.metrics import MetricInfo, MetricKind
from app.observability.prometheus import prometheus_name
from app.resilience.breaker import BreakerState
from app.resilience.pace import PaceState
from app.server.reload import ReloadOutcome
from tests.deploy.files import rules

TARGET = frozenset({"job", "instance"})
"""The labels that Prometheus adds to each series of a target."""


def label_of(attribute: str) -> str:
    """Return the label in Prometheus of an attribute."""
    return attribute.replace(".", "_")


def series_of(info: MetricInfo) -> Iterator[str]:
    """List the names in Prometheus under which a metric has series."""
    suffixes = {
        MetricKind.COUNTER: ("_total",),
        MetricKind.GAUGE: ("",),
        MetricKind.HISTOGRAM: ("_bucket", "_count", "_sum"),
    }
    return (prometheus_name(info) + suffix for suffix in suffixes[info.kind])


STATES: Mapping[str, Collection[str]] = {
    "gateway_circuit_state": [*BreakerState],
    "gateway_pace_state": [*PaceState],
    "gateway_reload_outcome": get_args(ReloadOutcome.model_fields["outcome"].annotation),
}
"""The values of labels that name a state or an outcome."""

METRICS: Mapping[str, MetricInfo] = {name: info for info in ALL_METRICS for name in series_of(info)}
"""The metric of each name in Prometheus."""


@cache
def known_labels() -> Mapping[str, frozenset[str]]:
    """Return the labels of each name: of metrics, of recorded rules, and of Prometheus itself."""
    known = {"up": TARGET}
    for name, info in METRICS.items():
        known[name] = TARGET | {*map(label_of, info.attributes)}
        if name.endswith("_bucket"):
            known[name] |= {"le"}
    for rule in rules():
        if rule.record is not None:
            known[rule.record] = labels_of(promql_parser.parse(rule.expr), known)
    return known


def metrics_of(query: str) -> set[str]:
    """Return the names of the metrics in OpenTelemetry that a query reads."""
    names = {one.name or "" for one in _selectors(promql_parser.parse(query))}
    return {METRICS[name].name for name in names & METRICS.keys()}


def mistakes_of(query: str) -> list[str]:
    """Return what a query says of metrics, labels and buckets that do not exist."""
    known, found = known_labels(), list[str]()

    def check(expr: Expr) -> bool:
        match expr:
            case VectorSelector(name=str(name)) if name in known:
                found.extend(_wrong_matchers(name, expr.matchers.matchers))
            case VectorSelector():
                found.append(f"no metric {expr.name}")
            case AggregateExpr() if expr.modifier is not None:
                below = labels_of(expr.expr, known)
                found.extend(f"no label {one}" for one in expr.modifier.labels if one not in below)
            case BinaryExpr() if expr.modifier is not None and expr.modifier.matching is not None:
                both = labels_of(expr.lhs, known) & labels_of(expr.rhs, known)
                found.extend(
                    f"no label {one}" for one in expr.modifier.matching.labels if one not in both
                )
            case _:
                pass
        return True

    promql_parser.walk(promql_parser.parse(query), check)
    return found


def _wrong_matchers(name: str, matchers: list[Matcher]) -> Iterator[str]:
    """Find conditions on labels, states or buckets that a metric does not have."""
    for matcher in matchers:
        if matcher.name not in known_labels()[name]:
            yield f"no label {matcher.name} of {name}"
        is_exact = matcher.op in (MatchOp.Equal, MatchOp.NotEqual)
        if is_exact and matcher.value not in STATES.get(matcher.name, [matcher.value]):
            yield f"no value {matcher.value} of {matcher.name}"
        is_bound = matcher.name == "le" and matcher.op == MatchOp.Equal
        if is_bound and matcher.value not in map(str, METRICS[name].bounds):
            yield f"no bucket {matcher.value} of {name}"


def labels_of(expr: Expr, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the labels that the result of an expression may have.

    Args:
        expr: The expression.
        known: The labels of each metric.

    Returns:
        The names of the labels.
    """
    match expr:
        case AggregateExpr():
            return frozenset(expr.modifier.labels if expr.modifier is not None else ())
        case VectorSelector():
            return known.get(expr.name or "", frozenset())
        case _:
            return frozenset[str]().union(*(labels_of(one, known) for one in _parts(expr)))


def _selectors(expr: Expr) -> list[VectorSelector]:
    """List where an expression reads a metric."""
    found: list[VectorSelector] = []

    def note(one: Expr) -> bool:
        if isinstance(one, VectorSelector):
            found.append(one)
        return True

    promql_parser.walk(expr, note)
    return found


def _parts(expr: Expr) -> Iterator[Expr]:
    """List the expressions that an expression is directly made of."""
    match expr:
        case Call():
            yield from (one for one in expr.args if isinstance(one, Expr))
        case BinaryExpr():
            yield from (expr.lhs, expr.rhs)
        case promql_parser.ParenExpr() | promql_parser.SubqueryExpr() | promql_parser.UnaryExpr():
            yield expr.expr
        case promql_parser.MatrixSelector():
            yield expr.vector_selector
        case _:
            pass
