"""A straight line through points."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fit:
    """The line ``y = constant + slope · x`` with the least squares of distances.

    Attributes:
        constant: What it costs without any.
        slope: What each one more costs.
        worst: The largest distance of a point from the line, as a share of the point's ``y``.
        worst_at: The ``x`` of that point.
    """

    constant: float
    slope: float
    worst: float
    worst_at: float

    def at(self, x: float) -> float:
        """Tell where the line is."""
        return self.constant + self.slope * x


def fit(points: Sequence[tuple[float, float]]) -> Fit:
    """Lay a line through points.

    Distances are weighed by ``1 / y``: ten percent too much counts the same for a small and for a
    large cost, where plain least squares would look at the largest points only.

    Args:
        points: At least two, with different ``x`` and with ``y`` above zero.

    Raises:
        ValueError: There is no such line.
    """
    if any(y <= 0 for _, y in points):
        raise ValueError("a cost is above zero")
    total = x_sum = y_sum = xx_sum = xy_sum = 0.0
    for x, y in points:
        weight = 1 / (y * y)
        total += weight
        x_sum += weight * x
        y_sum += weight * y
        xx_sum += weight * x * x
        xy_sum += weight * x * y
    spread = total * xx_sum - x_sum * x_sum
    if len({x for x, _ in points}) < 2:  # noqa: PLR2004 # a line needs two points
        raise ValueError("a line needs two different points")
    slope = (total * xy_sum - x_sum * y_sum) / spread
    constant = (y_sum - slope * x_sum) / total
    distances = [(abs(constant + slope * x - y) / y, x) for x, y in points]
    worst, worst_at = max(distances)
    return Fit(constant, slope, worst, worst_at)
