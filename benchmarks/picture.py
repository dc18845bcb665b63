"""The picture of a run: a row for each peer, a column for each workload."""

from typing import Final

from benchmarks.run import Part, Run
from benchmarks.summary import Summary
from benchmarks.svg import Picture, line, rectangle, text
from benchmarks.table import figure
from benchmarks.workloads import EVERYDAY, Workload

_LABELS: Final = 226
_COLUMN: Final = 152
_FULL: Final = 96
_ROW: Final = 22
_TOP: Final = 78
_BOTTOM: Final = 40
_MARGIN: Final = 16

_LONGEST: Final = 4.0
"""How many times the reference the longest bar is; what costs more is cut off there."""


def picture(run: Run) -> Picture:
    """Draw the CPU that each peer needs per request under the workloads that all are asked."""
    workloads = [one for one in run.workloads() if one in EVERYDAY] or run.workloads()
    width = 2 * _MARGIN + _LABELS + _COLUMN * len(workloads)
    height = _TOP + _ROW * len(run.parts) + _BOTTOM
    [reference] = [part.title for part in run.parts if part.name == run.reference] or [""]
    parts = [
        text(_MARGIN, 26, "CPU milliseconds per request: less is better", "strong"),
        *(
            text(_MARGIN, _TOP + _ROW * row + 15, part.title, "strong" if row == 0 else "")
            for row, part in enumerate(run.parts)
        ),
    ]
    for index, workload in enumerate(workloads):
        parts += _column(run, workload, _MARGIN + _LABELS + _COLUMN * index)
    how = (
        f"Dashed: {reference}. » costs more than {_LONGEST:g} times that; the bar is cut. "
        f"Medians of {run.rounds} rounds, {run.connections} connections."
    )
    parts.append(text(_MARGIN, height - 14, how, "soft small"))
    return Picture(width, height, "CPU milliseconds per request of each gateway", tuple(parts))


def _column(run: Run, workload: Workload, left: float) -> list[str]:
    """Draw a workload."""
    found = {part.name: run.summary(part, workload) for part in run.parts}
    costs = {name: one.cpu_ms.median for name, one in found.items() if one is not None}
    reference = costs.get(run.reference)
    longest = max(costs.values()) if reference is None else reference * _LONGEST
    bottom = _TOP + _ROW * len(run.parts)
    parts = [
        text(left, _TOP - 28, workload.name, "strong"),
        text(left, _TOP - 12, workload.title, "soft small"),
        line(left, _TOP - 4, left, bottom, "grid"),
    ]
    if reference is not None:
        x = left + _FULL * reference / longest
        parts.append(line(x, _TOP - 4, x, bottom, "mark"))
    for row, part in enumerate(run.parts):
        parts += _bar(found[part.name], part, longest, left, _TOP + _ROW * row, is_ours=row == 0)
    return parts


def _bar(
    summary: Summary | None,
    part: Part,
    longest: float,
    left: float,
    top: float,
    *,
    is_ours: bool,
) -> list[str]:
    """Draw a peer's cost."""
    if summary is None:
        return [text(left + 4, top + 15, "–", "soft small over")]
    cost = summary.cpu_ms.median
    width = _FULL * min(1.0, cost / longest)
    cut = "» " if cost > longest else ""
    kind = "small over strong" if is_ours else "small over"
    return [
        f"<g><title>{part.name}: {cost:.3f} ms</title>"
        + rectangle(left, top + 4, width, _ROW - 8, "ours" if is_ours else "bar", corner=1.5)
        + "</g>",
        text(left + width + 4, top + 15, cut + figure(cost), kind),
    ]
