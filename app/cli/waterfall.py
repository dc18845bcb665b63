"""The report of a request as a waterfall of plain characters for a terminal. Pure.

All times are milliseconds from the start of the operation.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from app.execution.source_report import CallReport, RequestReport, SourceReport

LEAST_WIDTH = 60
"""The narrowest waterfall, in characters."""

_LONGEST_LABEL = 20
_CODE_WIDTH = len("SOURCE_CIRCUIT_OPEN")
_CALLED = "="
_WAITED = "."
_WAITS = frozenset({"queued", "backoff", "pacing", "bulkhead"})
_WHOLE = 1000
"""From here on, milliseconds are written without decimals."""
_NEAR = 2.0
"""The deadline is on the axis if it is at most this many times as far as the last row."""


class WaterfallRow(Struct, frozen=True):
    """One row of a waterfall.

    Attributes:
        label: What it was.
        start: When it began.
        ms: How long it took.
        code: The code of its failure.
        is_wait: Whether nothing was called in that time.
    """

    label: str
    start: float
    ms: float
    code: str | None = None
    is_wait: bool = False

    @property
    def end(self) -> float:
        """When it ended."""
        return self.start + self.ms


class _Axis(Struct, frozen=True):
    """The time axis: the moments of its ends, and its width in characters."""

    start: float
    end: float
    width: int

    def column(self, moment: float) -> int:
        """Return the column of a moment."""
        share = (moment - self.start) / (self.end - self.start)
        return min(max(int(share * self.width), 0), self.width - 1)


def waterfall_text(
    request: RequestReport, sources: Mapping[str, SourceReport], *, width: int
) -> str:
    """Write the report of a request as a waterfall.

    Args:
        request: The times of the operation.
        sources: The reports of the sources, by name.
        width: How many characters a line may have. Below `LEAST_WIDTH` that many are used.

    Returns:
        Lines: the times of the operation, and for each source what became of it and a row for
        each wait and attempt, all on one time axis. `=` is a call to the service, `.` is a wait,
        `|` is the deadline.
    """
    width = max(width, LEAST_WIDTH)
    rows = {name: rows_of(source) for name, source in sources.items()}
    every = [row for some in rows.values() for row in some]
    labels = min(max((len(row.label) for row in every), default=0), _LONGEST_LABEL)
    times = max((len(_duration(row.ms)) for row in every), default=0)
    # Two before the label, and one between two columns.
    bars = width - (2 + labels + 1 + 1 + times + 1 + _CODE_WIDTH)
    last = max([request.ms, *(row.end for row in every)])
    deadline = request.deadline_ms
    on_axis = deadline is not None and deadline <= last * _NEAR
    end = max(last, deadline) if deadline is not None and on_axis else last
    start = min([0.0, *(row.start for row in every)])
    axis = _Axis(start, max(end, start + 0.01), bars)
    mark = axis.column(deadline) if deadline is not None and on_axis else None
    lines = [_headline(request)]
    if every:
        lines += ["", *_scale(axis, request, labels, mark)]
    for name, source in sources.items():
        heading = f"{name}: {_facts(source)}"
        lines += ["", *textwrap.wrap(heading, width, subsequent_indent="  ")]
        for row in rows[name]:
            label = _cut(row.label, labels)
            bar = _bar(row, axis, mark)
            line = f"  {label:{labels}} {bar} {_duration(row.ms):>{times}} {row.code or ''}"
            lines.append(line.rstrip())
    if every:
        marked = "" if mark is None else ", | is the deadline"
        lines += ["", f"{_CALLED} is a call to the service, {_WAITED} is a wait{marked}."]
    return "\n".join(lines)


def rows_of(source: SourceReport) -> Sequence[WaterfallRow]:
    """List the rows of a source: the wait for a batch, its calls, and the steps of each.

    A call whose one row would say no more than its steps has no row.

    Args:
        source: The report of the source.

    Returns:
        The rows, in the order of the report.
    """
    calls = source.timeline or []
    rows: list[WaterfallRow] = []
    first = min((call.start_ms for call in calls), default=None)
    if first is not None and source.start_ms is not None and first > source.start_ms:
        queued = round(first - source.start_ms, 2)
        rows.append(WaterfallRow("queued", source.start_ms, queued, is_wait=True))
    if first is None and source.start_ms is not None and source.ms is not None:
        # The operation went on before a call ended, such as at its deadline.
        rows.append(WaterfallRow("waiting", source.start_ms, source.ms, source.code, is_wait=True))
    for number, call in enumerate(calls, start=1):
        steps = list(_steps(call))
        if len(calls) > 1 or not steps or call.code not in (None, steps[-1].code):
            label = f"call {number}, {_counted(call.keys, 'key')}"
            rows.append(WaterfallRow(label, call.start_ms, call.ms, call.code))
            steps = [replace(step, label=f"  {step.label}") for step in steps]
        rows += steps
    return rows


def _steps(call: CallReport) -> Iterator[WaterfallRow]:
    """List the steps of a call. Several attempts are counted."""
    attempts = sum(step.kind == "attempt" for step in call.steps)
    number = 0
    for step in call.steps:
        label = step.kind
        if step.kind == "attempt":
            number += 1
            label = f"attempt {number}" if attempts > 1 else label
        yield WaterfallRow(label, step.start_ms, step.ms, step.code, step.kind in _WAITS)


def _facts(source: SourceReport) -> str:
    """Write what became of a source, without its times."""
    status = source.status if source.code is None else f"{source.status} ({source.code})"
    facts = [status]
    if source.keys is not None:
        facts.append(_counted(source.keys, "key"))
    if source.cached:
        facts.append(f"{source.cached:,} cached")
    if source.coalesced:
        facts.append(f"{source.coalesced:,} in calls of other requests")
    if source.calls is not None:
        facts.append(_counted(source.calls, "call"))
    if source.attempts is not None:
        facts.append(_counted(source.attempts, "attempt"))
    if source.age_ms is not None:
        facts.append(f"records up to {_duration(source.age_ms)} old")
    if source.circuit not in (None, "closed"):
        facts.append(f"circuit {source.circuit}")
    if source.pace is not None:
        facts.append(f"pace {source.pace}")
    if source.ms is not None:
        facts.append(_duration(source.ms))
    return ", ".join(facts)


def _headline(request: RequestReport) -> str:
    """Write the times of the operation."""
    if request.deadline_ms is None:
        return f"Answered in {_duration(request.ms)}, without a deadline."
    return f"Answered in {_duration(request.ms)}. Deadline at {_duration(request.deadline_ms)}."


def _scale(axis: _Axis, request: RequestReport, labels: int, mark: int | None) -> Iterator[str]:
    """Write the ends of the axis, and below them where the deadline is."""
    left = 2 + labels + 1
    width = left + axis.width
    start, end = f"{' ' * left}{_duration(axis.start)}", _duration(axis.end)
    # Where both do not fit, the end of the axis says more than its start.
    yield (
        f"{start}{end:>{width - len(start)}}"
        if len(start) + len(end) < width
        else f"{end:>{width}}"
    )
    if mark is not None:
        yield f"{'deadline':>{left + mark}}" if left + mark >= len("deadline") else "deadline"
    elif request.deadline_ms is not None:
        yield f"{'deadline later >':>{width}}"


def _bar(row: WaterfallRow, axis: _Axis, mark: int | None) -> str:
    """Draw a row on the axis."""
    first, last = axis.column(row.start), axis.column(row.end)
    cells = [" "] * axis.width
    if mark is not None:
        cells[mark] = "|"
    for column in range(first, last + 1):
        cells[column] = _WAITED if row.is_wait else _CALLED
    return "".join(cells)


def _cut(text: str, width: int) -> str:
    """Cut a text that is too long for its column."""
    return text if len(text) <= width else f"{text[: width - 2]}.."


def _duration(ms: float) -> str:
    """Write a duration."""
    return f"{ms:,.0f} ms" if abs(ms) >= _WHOLE else f"{ms:,.4g} ms"


def _counted(number: int, noun: str) -> str:
    """Write a number with a noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
