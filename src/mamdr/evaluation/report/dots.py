"""A dot plot with one row a name: values with their intervals, in a form that wraps and prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mamdr.evaluation.report.svg import Axis, axis, colour, figure, line, mark, percent, plot, x_axis
from mamdr.evaluation.report.text import count, escape, signed

_PITCH = 11  # pixels between the dots of one row
_HISTOGRAM_BINS = 24


@dataclass(frozen=True)
class Dot:
    """One run's value in one row, with its interval where there is one."""

    index: int
    value: float
    low: float | None
    high: float | None
    tip: str


@dataclass(frozen=True)
class Row:
    """A name and its dots; a row without dots shows "n/a"."""

    name: str
    note: str
    dots: tuple[Dot, ...]


def dot_axis(rows: Sequence[Row], label: str, *, relative: bool) -> Axis:
    """The axis that holds every dot and interval; `relative` shows signs and always holds zero."""
    ends = [v for row in rows for dot in row.dots for v in (dot.value, dot.low, dot.high) if v is not None]
    if relative:
        return axis(ends, label, show=signed, include=(0.0,))
    return axis(ends, label)


def dot_plot(rows: Sequence[Row], x: Axis, reference: float | None, description: str, dots_a_row: int) -> str:
    """Rows from top to bottom; `reference` is the value of the vertical line they are read against."""
    height = max(22, _PITCH * dots_a_row + 10)
    zero = "" if reference is None else line(x.share(reference), 0, x.share(reference), 1, "reference")
    back = f'<svg class="back" style="grid-row:1 / span {max(len(rows), 1)}">{x_axis(x)}{zero}</svg>'
    body = "".join(_row(i, row, x, height) for i, row in enumerate(rows, 1))
    css = "dots grouped" if dots_a_row > 1 else "dots"
    return f'<div class="{css}" role="img" aria-label="{escape(description)}">{back}{body}</div>'


def _row(number: int, row: Row, x: Axis, height: int) -> str:
    marks = []
    middle = (height - _PITCH * (len(row.dots) - 1)) / 2
    for k, dot in enumerate(row.dots):
        y = f"{middle + _PITCH * k:g}"
        if dot.low is not None and dot.high is not None:
            a, z = percent(x.share(dot.low)), percent(x.share(dot.high))
            marks.append(f'<line class="whisker {colour(dot.index)}" x1="{a}" x2="{z}" y1="{y}" y2="{y}"/>')
        marks.append(mark(dot.index, x.share(dot.value), y, dot.tip))
    if not marks:
        marks.append('<text class="tick xt" x="50%" y="50%" dy=".32em">n/a</text>')
    place = f"grid-row:{number}"
    return (
        f'<span class="name" style="{place}" title="{escape(row.name)}"><bdi>{escape(row.name)}</bdi></span>'
        f'<svg class="row" style="{place};height:{height}px">{"".join(marks)}</svg>'
        f'<span class="note" style="{place}">{escape(row.note)}</span>'
    )


def histogram(index: int, title: str, values: NDArray[np.float64], x: Axis, note: str) -> str:
    """How a run's values spread over many domains; values beyond the axis are counted in its outer bars."""
    edges = np.linspace(x.low, x.high, _HISTOGRAM_BINS + 1)
    counts = np.histogram(np.clip(values, x.low, x.high), edges)[0]
    y = axis([0.0, float(counts.max(initial=1))], show=lambda v, _: count(round(v)), count=4)
    bars = "".join(_bars(index, counts.tolist(), edges.tolist(), x, y))
    zero = line(x.share(0), 0, x.share(0), 1, "reference")
    middle = signed(float(np.median(values)) if values.size else None)
    words = f"{title}: {int((values > 0).sum())} of {values.size} domains above zero, median {middle}"
    return figure(title, plot(x, y, bars + zero, words), note)


def _bars(index: int, counts: list[int], edges: list[float], x: Axis, y: Axis) -> Iterable[str]:
    for number, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        if number:
            left, share = x.share(low), y.share(number)
            yield (
                f'<rect class="bar mark {colour(index)}" x="{percent(left)}" y="{percent(1 - share)}" '
                f'width="{percent(x.share(high) - left)}" height="{percent(share)}">'
                f"<title>{count(number)} domains from {signed(low)} to {signed(high)}</title></rect>"
            )
