"""Pictures that are legible on light and on dark pages."""

from dataclasses import dataclass
from xml.sax.saxutils import escape

STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f }
  .page { fill: #ffffff; stroke: #d0d7de }
  .soft { fill: #57606a }
  .small { font-size: 11px }
  .over { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round }
  .strong { font-weight: 600 }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .grid { stroke: #d8dee4 }
  .mark { stroke: #57606a; stroke-dasharray: 3 3 }
  .bar { fill: #8c959f }
  .ours { fill: #0969da }
  .s0 { stroke: #0969da; fill: #0969da } .s1 { stroke: #bc4c00; fill: #bc4c00 }
  .s2 { stroke: #1a7f37; fill: #1a7f37 } .s3 { stroke: #8250df; fill: #8250df }
  .line { fill: none; stroke-width: 1.8 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .page { fill: #0d1117; stroke: #30363d }
    .over { stroke: #0d1117 }
    .soft { fill: #9198a1 }
    .grid { stroke: #30363d }
    .mark { stroke: #9198a1 }
    .bar { fill: #6e7681 }
    .ours { fill: #4493f8 }
    .s0 { stroke: #4493f8; fill: #4493f8 } .s1 { stroke: #f0883e; fill: #f0883e }
    .s2 { stroke: #3fb950; fill: #3fb950 } .s3 { stroke: #ab7df8; fill: #ab7df8 }
    .line { fill: none }
  }
"""
"""Colours for both kinds of page. The page itself is drawn too, since a picture cannot know it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture.

    Attributes:
        width: In pixels.
        height: In pixels.
        title: What it shows, for who cannot see it.
        parts: What is drawn, the first below the next.
    """

    width: float
    height: float
    title: str
    parts: tuple[str, ...]

    def svg(self) -> str:
        """Write it as SVG."""
        size = f'width="{self.width:g}" height="{self.height:g}"'
        box = f'viewBox="0 0 {self.width:g} {self.height:g}"'
        page = rectangle(0.5, 0.5, self.width - 1, self.height - 1, "page", corner=8)
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img">'
        title = f"<title>{escape(self.title)}</title>"
        return "\n".join([head, title, f"<style>{STYLE}</style>", page, *self.parts, "</svg>\n"])


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Write words whose baseline is at ``y``."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(words)}</text>'


def rectangle(
    x: float, y: float, width: float, height: float, kind: str, *, corner: float = 0
) -> str:
    """Draw a rectangle."""
    place = f'x="{x:g}" y="{y:g}" width="{max(0.0, width):.1f}" height="{height:g}"'
    return f'<rect {place} rx="{corner:g}" class="{kind}"/>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Draw a straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def polyline(points: tuple[tuple[float, float], ...], kind: str) -> str:
    """Draw a line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" class="line {kind}"/>'


def dot(x: float, y: float, kind: str) -> str:
    """Draw a point."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" class="{kind}"/>'
