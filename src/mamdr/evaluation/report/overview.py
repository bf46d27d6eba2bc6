"""The top of the page: what came out in one sentence, the summary of all runs, and how each was trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mamdr.evaluation.bootstrap import Interval
from mamdr.evaluation.report.comparison import Comparison, RunLift
from mamdr.evaluation.report.summary import RunSummary
from mamdr.evaluation.report.svg import Axis, axis, colour, line, mark
from mamdr.evaluation.report.tables import Column, cell, heading, row, run_title, table
from mamdr.evaluation.report.text import (
    NOT_AVAILABLE,
    count,
    decimal,
    duration,
    escape,
    interval,
    plural,
    signed,
)

Best = Callable[[Iterable[float]], float]


def headline(comparison: Comparison) -> str:
    """What came out, as one sentence that claims no more than the intervals do."""
    base = comparison.baseline
    scored = plural(sum(domain.auc is not None for domain in base.metrics.domains), "domain")
    if not comparison.lifts:
        return f"Mean AUC <b>{decimal(base.metrics.mean_auc)}</b> over {scored}."
    _, run, lift = comparison.leader
    if lift.mean is None:
        return "No domain has both classes, so there is no AUC to compare."
    if lift.mean.estimate <= 0:
        best = decimal(base.metrics.mean_auc)
        return f"No run has a higher mean AUC than the baseline {_name(base)}: <b>{best}</b> over {scored}."
    doubt = "" if lift.mean.sure else " The interval includes zero: the order of the two may be chance."
    return (
        f"{_name(run)} has the highest mean AUC, <b>{decimal(run.metrics.mean_auc)}</b>: "
        f"<b>{signed(lift.mean.estimate)}</b> {interval(lift.mean.low, lift.mean.high)} against "
        f"{_name(base)}. Of {scored}, {_gain_and_lose(lift)}.{doubt}"
    )


def _gain_and_lose(lift: RunLift) -> str:
    gain, lose = ("gains" if lift.gain == 1 else "gain"), ("loses" if lift.lose == 1 else "lose")
    return f"{count(lift.gain)} {gain} and {count(lift.lose)} {lose}"


def _name(run: RunSummary) -> str:
    return f"<b><bdi>{escape(run.name)}</bdi></b>"


def summary_section(comparison: Comparison) -> str:
    """All runs, one line each; the best figure of a column is bold."""
    titles = ["Run", "Mean AUC", "Weighted AUC", "Pooled AUC", "User GAUC", "Log loss"]
    note = ""
    if comparison.lifts:
        titles[2:2] = ["Lift in mean AUC, 95 % interval", "RANK"]
        titles.append("Domains that gain / lose")
        names = ", ".join(_name(run) for run in comparison.runs)
        note = f"<p>RANK is among these {len(comparison.runs)} runs: {names}.</p>"
    ends = [v for lift in comparison.lifts.values() if lift.mean for v in (lift.mean.low, lift.mean.high)]
    x = axis(ends, include=(0.0,))
    rows = [_summary_row(comparison, i, run, x) for i, run in enumerate(comparison.runs)]
    head = heading([Column(title, title != "Run") for title in titles], sortable=True)
    body = table(f"Figures of the {comparison.baseline.split} split", head, rows, css="sortable")
    return f'<section aria-labelledby="summary"><h2 id="summary">Summary</h2>{body}{note}</section>'


def _summary_row(comparison: Comparison, index: int, run: RunSummary, x: Axis) -> str:
    metrics, every = run.metrics, [r.metrics for r in comparison.runs]
    cells = [
        _figure(metrics.mean_auc, [m.mean_auc for m in every], max),
        _figure(metrics.weighted_auc, [m.weighted_auc for m in every], max),
        _figure(metrics.pooled_auc, [m.pooled_auc for m in every], max),
        _figure(metrics.user_gauc, [m.user_gauc for m in every], max),
        _figure(metrics.log_loss, [m.log_loss for m in every], min),
    ]
    if comparison.lifts:
        ranks = comparison.ranks or {}
        rank = _figure(ranks.get(run.name), list(ranks.values()), min, digits=2)
        lift = comparison.lifts.get(run.name)
        cells[1:1] = [_lift(index, run, lift.mean if lift else None, x), rank]
        verdicts = f"{count(lift.gain)} / {count(lift.lose)}" if lift else "–"
        cells.append(_value(verdicts, lift.gain if lift else None))
    return row(run_title(index, run.name), cells)


def _figure(value: float | None, every: Sequence[float | None], best: Best, digits: int = 4) -> str:
    shown = decimal(value, digits)
    known = [v for v in every if v is not None]
    return _value(f"<b>{shown}</b>" if len(known) > 1 and value == best(known) else shown, value)


def _value(shown: str, value: float | None) -> str:
    """A cell that sorts by `value`; without one it sorts last."""
    if value is None:
        return f'<td class="n quiet">{shown}</td>'
    return f'<td class="n" data-value="{value!r}">{shown}</td>'


def _lift(index: int, run: RunSummary, mean: Interval | None, x: Axis) -> str:
    """The lift in figures and, beside them, drawn on a scale shared by all rows."""
    if mean is None:
        return _value(NOT_AVAILABLE if index else "baseline", None)
    low, high, zero = (x.share(v) for v in (mean.low, mean.high, 0.0))
    tip = f"{run.name}: {signed(mean.estimate)} {interval(mean.low, mean.high)}"
    drawn = (
        line(zero, 0, zero, 1, "reference")
        + line(low, 0.5, high, 0.5, f"whisker {colour(index)}")
        + mark(index, x.share(mean.estimate), "50%", tip)
    )
    figures = f'{signed(mean.estimate)} <span class="ci">{interval(mean.low, mean.high)}</span>'
    return _value(f'<svg class="spark" aria-hidden="true">{drawn}</svg>{figures}', mean.estimate)


def runs_section(comparison: Comparison) -> str:
    """How each run was trained, and what chose the round that is evaluated."""
    words = ("Run", "Strategy", "Model", "Stopped by", "Fine-tuned", "mamdr")
    titles = [*words[:3], "Seed", "Rounds", "Best round", words[3], "Time", *words[4:]]
    head = heading([Column(title, title not in words) for title in titles])
    rows = [_run_row(i, run) for i, run in enumerate(comparison.runs)]
    body = f"{table('How each run was trained', head, rows)}<p>{_choice(comparison)}</p>"
    return f'<section aria-labelledby="runs"><h2 id="runs">Runs</h2>{body}</section>'


def _choice(comparison: Comparison) -> str:
    """What chose the best rounds, and whether the figures above had a part in it."""
    by = sorted({run.chosen_by for run in comparison.runs})
    split = comparison.baseline.split
    apart = {
        "test": "The test split took no part in training or in any choice.",
        "val": "The figures above are of that same validation split, so they flatter: see the test split.",
    }
    return f"The best round was chosen by {escape(' or '.join(by))}. " + apart.get(
        split, f"The figures above are of the {escape(split)} split, not of the test split."
    )


def _run_row(index: int, run: RunSummary) -> str:
    cells = (
        cell(run.strategy, number=False),
        cell(run.model, number=False),
        cell(str(run.seed)),
        cell(count(len(run.rounds))),
        cell(NOT_AVAILABLE if run.best_round is None else str(run.best_round)),
        cell(run.stopped_by, number=False),
        cell(duration(run.seconds)),
        cell("yes" if run.finetuned else "no", number=False),
        cell(run.version or NOT_AVAILABLE, number=False),
    )
    return row(run_title(index, run.name), cells)
