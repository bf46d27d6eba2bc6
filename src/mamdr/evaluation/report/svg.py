"""The few drawing primitives of the report: axes, lines and marks as inline SVG that needs no script.

Positions are percentages of the plot's area, so a chart fills whatever width it gets while its text keeps its
size; tick labels lie outside the area, in the margin that the style sheet leaves. Only lines through many
points need a coordinate system of their own, which `stretched` lays over the area.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mamdr.evaluation.report.text import decimal, escape

COLOURS = 8  # number 0 is the baseline's
SHAPES = {
    "m0": '<circle r="4.5"/>',
    "m1": '<rect x="-4.2" y="-4.2" width="8.4" height="8.4"/>',
    "m2": '<path d="M0-5.8 5.8 0 0 5.8-5.8 0Z"/>',
    "m3": '<path d="M0-5.4 5.4 4.2H-5.4Z"/>',
    "m4": '<path d="M0 5.4 5.4-4.2H-5.4Z"/>',
}
SIZES = {"": 1.0, "s": 0.62, "l": 1.45}


def colour(index: int) -> str:
    """The style class of a run's colour; beyond eight runs the colours repeat, with other shapes."""
    return "r0" if index == 0 else f"r{1 + (index - 1) % (COLOURS - 1)}"


def shape(index: int) -> str:
    """The id of a run's marker, so that no reader depends on colour alone."""
    return f"m{index % len(SHAPES)}"


def definitions() -> str:
    """The markers in every size, once a page; every mark refers to one of them."""
    symbols = "".join(
        f'<g id="{name}{size}"><g transform="scale({scale:g})">{body}</g></g>'
        for name, body in SHAPES.items()
        for size, scale in SIZES.items()
    )
    return f'<svg width="0" height="0" class="defs" aria-hidden="true"><defs>{symbols}</defs></svg>'


def percent(share: float) -> str:
    """A share of the plot's width or height, short and the same on every machine.

    >>> percent(0.5), percent(1 / 3)
    ('50%', '33.333%')
    """
    return f"{share * 100:.3f}".rstrip("0").rstrip(".") + "%"


def nice_step(span: float, count: int) -> float:
    """The step 1, 2 or 5 times a power of ten that divides `span` into about `count` parts."""
    raw = max(span, 1e-12) / max(count, 1)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    return magnitude * next(factor for factor in (1, 2, 5, 10) if raw <= factor * magnitude * (1 + 1e-9))


@dataclass(frozen=True)
class Axis:
    """One direction of a plot: the range of values it shows, and where its ticks stand."""

    low: float
    high: float
    ticks: tuple[float, ...] = ()
    label: str = ""
    show: Callable[[float], str] = field(default=decimal)

    def share(self, value: float) -> float:
        """Where a value lies, 0 at `low` and 1 at `high`, kept inside the plot."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def axis(
    values: Iterable[float],
    label: str = "",
    *,
    show: Callable[[float, int], str] = decimal,
    include: Sequence[float] = (),
    count: int = 5,
) -> Axis:
    """An axis whose ends are round numbers around all finite `values` and `include`."""
    finite = [v for v in (*values, *include) if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low < 1e-9:
        low, high = low - 0.005, high + 0.005
    step = nice_step(high - low, count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple(step * i for i in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks, label, lambda value: show(value, digits))


def whole_axis(last: int, label: str, count: int = 8) -> Axis:
    """An axis over the whole numbers 1 to `last`."""
    step = max(1, round(nice_step(max(last - 1, 1), count)))
    ticks = tuple(float(i) for i in range(1, last + 1) if i == 1 or i % step == 0)
    margin = max(0.3, (last - 1) * 0.02)
    return Axis(1 - margin, last + margin, ticks, label, lambda value: f"{value:.0f}")


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """A straight line between two places, in shares of the plot."""
    ends = f'x1="{percent(x1)}" y1="{percent(y1)}" x2="{percent(x2)}" y2="{percent(y2)}"'
    return f'<line class="{css}" {ends}/>'


def mark(index: int, x: float, y: str, tip: str, size: str = "") -> str:
    """A run's marker at a share of the width and a `y` with its unit; a pointer over it reads `tip`."""
    place = f'href="#{shape(index)}{size}" x="{percent(x)}" y="{y}"'
    return f'<use class="mark {colour(index)}" {place}><title>{escape(tip)}</title></use>'


def polyline(points: Sequence[tuple[float, float]], css: str) -> str:
    """A line through `points`, in shares of the plot from its top left corner."""
    if len(points) < 2:
        return ""
    path = " ".join(f"{x * 1000:.1f},{y * 1000:.1f}" for x, y in points)
    return f'<polyline class="{css}" points="{path}"/>'


def stretched(body: str) -> str:
    """Hold polylines, in a coordinate system that is stretched over the whole plot."""
    return (
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%" '
        f'class="lines">{body}</svg>'
    )


def x_axis(x: Axis) -> str:
    """Vertical grid lines with the labels of their ticks below the plot."""
    parts = []
    for tick in x.ticks:
        share = percent(x.share(tick))
        parts.append(f'<line class="grid" x1="{share}" x2="{share}" y1="0" y2="100%"/>')
        parts.append(f'<text class="tick xt" x="{share}" y="100%" dy="18">{escape(x.show(tick))}</text>')
    label = f'<text class="label" x="50%" y="100%" dy="38">{escape(x.label)}</text>' if x.label else ""
    return "".join(parts) + label


def y_axis(y: Axis) -> str:
    """Horizontal grid lines with the labels of their ticks left of the plot."""
    parts = []
    for tick in y.ticks:
        share = percent(1 - y.share(tick))
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{share}" y2="{share}"/>')
        parts.append(f'<text class="tick yt" x="-8" y="{share}" dy=".32em">{escape(y.show(tick))}</text>')
    return "".join(parts)


def plot(x: Axis, y: Axis, body: str, description: str, css: str = "") -> str:
    """A chart: grid, axes and marks; `description` says in words what a reader of a screen reader misses."""
    grid = y_axis(y) + x_axis(x)
    return f'<svg class="plot {css}" role="img" aria-label="{escape(description)}">{grid}{body}</svg>'


def figure(title: str, body: str, note: str = "") -> str:
    """A chart with its title above it and, where there is one, a note."""
    caption = f"<b>{escape(title)}</b>" + (f" <span>{escape(note)}</span>" if note else "")
    return f'<figure class="chart"><figcaption>{caption}</figcaption>{body}</figure>'


def chip(index: int) -> str:
    """A run's marker inside text."""
    drawn = f'<use class="{colour(index)}" href="#{shape(index)}" x="7" y="7"/>'
    return f'<svg class="chip" aria-hidden="true">{drawn}</svg>'
