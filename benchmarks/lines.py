"""Pictures of curves."""

import math
from dataclasses import dataclass
from typing import Final

from benchmarks.svg import Picture, dot, line, polyline, text

_WIDTH: Final = 400
_HEIGHT: Final = 250
_LEFT: Final = 52
_RIGHT: Final = 16
_TOP: Final = 34
_BOTTOM: Final = 44
_MARGIN: Final = 16
_HEAD: Final = 64
_COLUMNS: Final = 2


@dataclass(frozen=True, slots=True)
class Series:
    """A curve.

    Attributes:
        name: What it is called.
        points: Where it goes, by rising ``x``; all above zero.
    """

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves that share their axes, both logarithmic: a straight line of slope 1 is proportional.

    Attributes:
        title: What is upwards.
        axis: What is to the right.
        series: The curves.
    """

    title: str
    axis: str
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """Where values are on a logarithmic axis.

    Attributes:
        low: The least value.
        high: The largest.
        start: Where the least is, in pixels.
        end: Where the largest is.
    """

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Tell where a value is."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + (self.end - self.start) * share


def ticks(low: float, high: float) -> list[float]:
    """Choose round values for a logarithmic axis that reach around what is on it.

    Returns:
        Values 1, 2 or 5 times a power of ten, rising, the first at most ``low`` and the last at
        least ``high``.
    """
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    values = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    first = max(index for index, value in enumerate(values) if value <= low * (1 + 1e-9))
    last = min(index for index, value in enumerate(values) if value >= high * (1 - 1e-9))
    return values[first : max(last, first + 1) + 1]


def lines(title: str, panels: tuple[Panel, ...]) -> Picture:
    """Draw panels side by side, two in a row.

    Args:
        title: What they show together.
        panels: The panels, all with the same series.
    """
    rows = math.ceil(len(panels) / _COLUMNS)
    parts = [text(_MARGIN, 26, title, "strong")]
    left = float(_MARGIN)
    for index, series in enumerate(panels[0].series):
        parts += [dot(left + 4, 46, f"s{index}"), text(left + 13, 50, series.name, "small")]
        left += 26 + 6.2 * len(series.name)
    for index, panel in enumerate(panels):
        column, row = index % _COLUMNS, index // _COLUMNS
        parts += _panel(panel, _MARGIN + column * _WIDTH, _HEAD + row * _HEIGHT)
    size = 2 * _MARGIN + _COLUMNS * _WIDTH, _HEAD + rows * _HEIGHT + _MARGIN
    return Picture(*size, title, tuple(parts))


def _panel(panel: Panel, left: float, top: float) -> list[str]:
    """Draw a panel."""
    points = [point for series in panel.series for point in series.points]
    xs = sorted({x for x, _ in points})
    marks = ticks(min(y for _, y in points), max(y for _, y in points))
    across = Scale(xs[0], xs[-1], left + _LEFT, left + _WIDTH - _RIGHT)
    up = Scale(marks[0], marks[-1], top + _HEIGHT - _BOTTOM, top + _TOP)
    parts = [
        text(left + _LEFT, top + 20, panel.title, "strong small"),
        text((across.start + across.end) / 2, top + _HEIGHT - 10, panel.axis, "soft small middle"),
    ]
    for value in marks:
        parts.append(line(across.start, up.at(value), across.end, up.at(value), "grid"))
        parts.append(text(across.start - 6, up.at(value) + 4, f"{value:g}", "soft small end"))
    parts += [text(across.at(x), up.start + 16, f"{x:g}", "soft small middle") for x in xs]
    for index, series in enumerate(panel.series):
        placed = tuple((across.at(x), up.at(y)) for x, y in series.points)
        parts.append(polyline(placed, f"s{index}"))
        parts += [dot(x, y, f"s{index}") for x, y in placed]
    return parts
