"""Learning curves: validation mean AUC and train loss by round, with each run's best round marked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

from mamdr.evaluation.report.comparison import Comparison
from mamdr.evaluation.report.summary import RoundRecord, RunSummary
from mamdr.evaluation.report.svg import (
    Axis,
    axis,
    colour,
    figure,
    mark,
    percent,
    plot,
    polyline,
    stretched,
    whole_axis,
)
from mamdr.evaluation.report.tables import Column, cell, heading, row, run_title, table
from mamdr.evaluation.report.text import decimal, duration, missing

Value = Callable[[RoundRecord], float | None]
_DOTS_UP_TO = 60  # rounds; beyond, the line alone is clearer


def curves_section(comparison: Comparison) -> str:
    """Both charts and, folded away, their figures as a table."""
    if not any(run.rounds for run in comparison.runs):
        return ""
    validation = _chart(comparison, "Validation mean AUC", lambda r: r.val_mean_auc, "higher is better")
    loss = _chart(comparison, "Train loss", lambda r: r.train_loss, "log loss, lower is better")
    return f"""<section aria-labelledby="curves"><h2 id="curves">Learning curves</h2>
<p>The large marker is the round that validation chose.</p>
{legend(enumerate(comparison.runs))}<div class="charts">{validation}{loss}</div>
{_rounds_table(comparison)}</section>"""


def legend(runs: Iterable[tuple[int, RunSummary]]) -> str:
    """Which marker and colour is which run."""
    items = "".join(f"<li>{run_title(i, run.name)}</li>" for i, run in runs)
    return f'<ul class="legend" aria-label="Runs">{items}</ul>'


def _chart(comparison: Comparison, title: str, value: Value, note: str) -> str:
    runs = comparison.runs
    values = [v for run in runs for r in run.rounds if (v := value(r)) is not None and not missing(v)]
    if not values:
        return figure(title, '<p class="empty">n/a: no round recorded it.</p>')
    x = whole_axis(max(r.round for run in runs for r in run.rounds), "round")
    y = axis(values)
    lines = "".join(_line(i, run, value, x, y) for i, run in enumerate(runs))
    marks = "".join(_marks(i, run, value, x, y) for i, run in enumerate(runs))
    return figure(title, plot(x, y, stretched(lines) + marks, _words(comparison, title, value)), note)


def _line(index: int, run: RunSummary, value: Value, x: Axis, y: Axis) -> str:
    """A run's curve, broken where a round has no value."""
    parts = []
    for absent, group in groupby(run.rounds, key=lambda r: missing(value(r))):
        if not absent:
            points = [(x.share(r.round), 1 - y.share(value(r) or 0.0)) for r in group]
            parts.append(polyline(points, f"curve {colour(index)}"))
    return "".join(parts)


def _marks(index: int, run: RunSummary, value: Value, x: Axis, y: Axis) -> str:
    parts, best = [], ""
    for record in run.rounds:
        v = value(record)
        if v is None or missing(v):
            continue
        chosen = record.round == run.best_round
        tip = f"{run.name}, round {record.round}{' (chosen)' if chosen else ''}: {decimal(v)}"
        size = "l" if chosen else "s"
        drawn = mark(index, x.share(record.round), percent(1 - y.share(v)), tip, size)
        if chosen:
            best = drawn
        elif len(run.rounds) <= _DOTS_UP_TO:
            parts.append(drawn)
    return "".join(parts) + best


def _words(comparison: Comparison, title: str, value: Value) -> str:
    ends = []
    for run in comparison.runs:
        best = next((r for r in run.rounds if r.round == run.best_round), None)
        ends.append(f"{run.name} {decimal(value(best) if best else None)} in its best round {run.best_round}")
    return f"{title} by round: {'; '.join(ends)}"


def _rounds_table(comparison: Comparison) -> str:
    titles = ("Run", "Round", "Validation mean AUC", "Validation log loss", "Train loss", "Time")
    rows = [_round_row(i, run, record) for i, run in enumerate(comparison.runs) for record in run.rounds]
    head = heading([Column(title, title != "Run") for title in titles])
    body = table("Every round of every run", head, rows)
    return f"<details><summary>All rounds as a table</summary>{body}</details>"


def _round_row(index: int, run: RunSummary, record: RoundRecord) -> str:
    cells = (
        cell(f"{record.round}{' (chosen)' if record.round == run.best_round else ''}"),
        cell(decimal(record.val_mean_auc)),
        cell(decimal(record.val_log_loss)),
        cell(decimal(record.train_loss)),
        cell(duration(record.seconds)),
    )
    return row(run_title(index, run.name), cells)
