"""The rows of metrics in docs/operations/metrics.md. The rest of the page is written by hand."""

import re

from app.observability.metric_list import ALL_METRICS
from app.observability.metrics import MetricInfo, MetricKind
from app.observability.prometheus import prometheus_name

ROW = re.compile(r"^\| `([a-z_.]+)` \| `\w+` \| (?:counter|gauge|histogram),.*\|$", re.MULTILINE)
"""A row of a metric, with its name."""


def row_of(info: MetricInfo) -> str:
    """Write the row of a metric.

    Args:
        info: The metric.

    Returns:
        The row in Markdown.
    """
    name = prometheus_name(info) + ("_total" if info.kind is MetricKind.COUNTER else "")
    attributes = ", ".join(f"`{one}`" for one in info.attributes)
    return (
        f"| `{info.name}` | `{name}` | {info.kind}, `{info.unit}` |"
        f" {f'{attributes} ' if attributes else ''}| {info.description} |"
    )


def metrics_page(page: str) -> str:
    """Write the rows of the page again. The metrics and the order of rows do not change.

    Args:
        page: The page as it is.

    Returns:
        The page with the rows of the code. Rows of metrics that do not exist are left as they are:
        a test finds them, and metrics without a row.
    """
    rows = {info.name: row_of(info) for info in ALL_METRICS}
    return ROW.sub(lambda row: rows.get(row[1], row[0]), page)
