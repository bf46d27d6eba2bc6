"""Calibration: whether a predicted probability of 0.3 is right three times in ten.

Rows are sorted by their prediction and cut into bins of equal size. Of each bin the page shows

    predicted = mean probability        observed = positives / rows        with Wilson's 95 % interval

and over the bins the expected calibration error, sum over bins of (rows / N) |predicted - observed|.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mamdr.evaluation.report.comparison import Comparison
from mamdr.evaluation.report.summary import Array, RunSummary
from mamdr.evaluation.report.svg import (
    Axis,
    axis,
    colour,
    figure,
    line,
    mark,
    percent,
    plot,
    polyline,
    stretched,
)
from mamdr.evaluation.report.tables import Column, cell, heading, row, run_title, table
from mamdr.evaluation.report.text import count, decimal

BINS = 10
_Z = 1.959964  # of a 95 % interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins [K] of equal size, K at most ten, by rising prediction."""

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    rows: NDArray[np.int64]

    @property
    def error(self) -> float | None:
        """The expected calibration error, in [0, 1]; None without rows."""
        total = int(self.rows.sum())
        return float(self.rows @ np.abs(self.predicted - self.observed) / total) if total else None


def reliability(labels: Array, probabilities: Array) -> Reliability:
    """Cut rows into bins by their prediction and compare each bin's predictions with its labels.

    >>> bins = reliability(np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.8, 0.9]))
    >>> bins.predicted.tolist(), bins.observed.tolist(), round(bins.error, 3)
    ([0.1, 0.3, 0.8, 0.9], [0.0, 1.0, 1.0, 1.0], 0.275)
    """
    order = np.argsort(probabilities, kind="stable")
    edges = np.linspace(0, len(order), min(BINS, len(order)) + 1).astype(np.int64)
    rows = np.diff(edges) if len(order) else np.zeros(0, np.int64)
    predicted = _sums(np.asarray(probabilities, np.float64)[order], edges) / np.maximum(rows, 1)
    observed = _sums(np.asarray(labels, np.float64)[order], edges) / np.maximum(rows, 1)
    low, high = wilson(observed, rows)
    return Reliability(predicted, observed, low, high, rows)


def _sums(values: Floats, edges: NDArray[np.int64]) -> Floats:
    return np.add.reduceat(values, edges[:-1]) if len(values) else np.zeros(0)


def wilson(share: Floats, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Wilson's 95 % interval of a share observed in `rows` rows.

    >>> low, high = wilson(np.array([0.5]), np.array([100]))
    >>> round(float(low[0]), 4), round(float(high[0]), 4)
    (0.4038, 0.5962)
    """
    n = np.maximum(rows, 1)
    centre = share + _Z**2 / (2 * n)
    spread = _Z * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    low, high = (centre - spread) / (1 + _Z**2 / n), (centre + spread) / (1 + _Z**2 / n)
    return np.minimum(low, share), np.maximum(high, share)  # equal at 0 and 1, but for rounding


def calibration_section(comparison: Comparison) -> str:
    """One reliability diagram a run, all at one scale, and the figures behind them."""
    bins = [reliability(run.labels, run.probabilities) for run in comparison.runs]
    ends = [float(v) for b in bins for v in (*b.predicted, *b.high)]
    x = axis(ends, "predicted", include=(0.0,), count=4)
    y = Axis(x.low, x.high, x.ticks, "observed", x.show)
    diagrams = "".join(_diagram(i, run, bins[i], x, y) for i, run in enumerate(comparison.runs))
    return f"""<section aria-labelledby="calibration"><h2 id="calibration">Calibration</h2>
<p>Rows sorted by prediction in {BINS} bins of equal size: the share of positives that a run predicts (across)
and the share observed (up), with 95 % intervals. A calibrated run follows the diagonal.</p>
<div class="charts small">{diagrams}</div>{_table(comparison, bins)}</section>"""


def _diagram(index: int, run: RunSummary, bins: Reliability, x: Axis, y: Axis) -> str:
    body = stretched(polyline([(0.0, 1.0), (1.0, 0.0)], "diagonal"))
    columns = (bins.predicted, bins.observed, bins.low, bins.high, bins.rows)
    for p, o, low, high, rows in zip(*columns, strict=True):
        at = x.share(p)
        body += line(at, 1 - y.share(low), at, 1 - y.share(high), f"whisker {colour(index)}")
        tip = f"{run.name}: predicted {decimal(p)}, observed {decimal(o)} in {count(rows)} rows"
        body += mark(index, at, percent(1 - y.share(o)), tip)
    words = f"Reliability of {run.name}: expected calibration error {decimal(bins.error)}"
    return figure(run.name, plot(x, y, body, words, "square"))


def _table(comparison: Comparison, bins: list[Reliability]) -> str:
    titles = ("Run", "Mean prediction", "Share of positives", "Predicted / observed", "Calibration error")
    rows = [_row(i, run, bins[i]) for i, run in enumerate(comparison.runs)]
    head = heading([Column(title, title != "Run") for title in titles])
    return table("All domains together", head, rows)


def _row(index: int, run: RunSummary, bins: Reliability) -> str:
    rows = len(run.labels)
    predicted = float(np.mean(run.probabilities, dtype=np.float64)) if rows else None
    observed = float(np.mean(run.labels, dtype=np.float64)) if rows else None
    values = (predicted, observed, run.metrics.calibration, bins.error)
    return row(run_title(index, run.name), [cell(decimal(value)) for value in values])
