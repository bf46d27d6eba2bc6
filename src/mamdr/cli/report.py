"""`mamdr report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mamdr.cli.evaluate import figure
from mamdr.cli.progress import progress_bar
from mamdr.evaluation.report import RunSummary, report_runs
from mamdr.evaluation.report.comparison import Comparison, RunLift
from mamdr.evaluation.report.text import clean, plural

_NAMED, _WIDTH = 5, 40  # domains that lose, of each run; characters of a name


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="One run folder or several.")],
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            help="Name of the run to compare with; default: the first Alternate, else the first.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page; default: RUN/report.html, or ./report.html for several."),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    data: Annotated[Path | None, typer.Option("--data", help="The data folder, if it was moved.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the intervals' bootstrap.")] = 0,
) -> None:
    """Write one self-contained HTML page: curves, each domain's lift between runs with intervals, what serves it.

    A domain loses where its lift's 95 % interval lies below 0: how many do, and the worst, are told here too.

    Example: mamdr report runs/alternate runs/dn runs/mamdr --baseline alternate --out report.html
    """
    with progress_bar() as progress:
        page, comparison = report_runs(
            runs, baseline, out=out, split=split, data=data, seed=seed, progress=progress
        )
    _show(comparison)
    typer.echo(f"Wrote {page}")


def _show(comparison: Comparison) -> None:
    """The page's summary as a table."""
    table = Table(box=box.SIMPLE, title=f"{comparison.baseline.split} split, {len(comparison.runs)} runs")
    for name in (
        "run",
        "mean AUC",
        f"lift over {comparison.baseline.name} (95 %)",
        "weighted AUC",
        "log loss",
        "RANK",
    ):
        table.add_column(name, justify="left" if name == "run" else "right")
    for run in comparison.runs:
        known = comparison.lifts.get(run.name)
        mean = known.mean if known else None
        lift = _interval(mean.estimate, mean.low, mean.high) if mean else ""
        rank = f"{comparison.ranks[run.name]:.2f}" if comparison.ranks else ""
        figures = run.metrics
        cells = [
            figure(figures.mean_auc),
            lift,
            figure(figures.weighted_auc),
            figure(figures.log_loss),
            rank,
        ]
        table.add_row(escape(run.name), *(escape(cell) for cell in cells))
    console = Console(highlight=False)
    console.print(table)
    for _, run, against in comparison.challengers:
        console.print(escape(_losses(run, against)), soft_wrap=True)


def _losses(run: RunSummary, lift: RunLift) -> str:
    """How many domains lose in a run, and the worst of them, in a line."""
    worst = [f"{_short(run.domains[d])} {_interval(*lift.of(d))}" for d in lift.losers(_NAMED)]
    more = f" and {lift.lose - len(worst):,} more" if lift.lose > len(worst) else ""
    named = f" (interval below 0): {', '.join(worst)}{more}" if worst else ""
    verb = "loses" if lift.lose == 1 else "lose"
    return f"{_short(run.name)}: {lift.lose:,} of {plural(lift.known, 'domain')} {verb}{named}"


def _interval(estimate: float, low: float, high: float) -> str:
    return f"{estimate:+.4f} [{low:+.4f}, {high:+.4f}]"


def _short(name: str) -> str:
    shown = clean(name)
    return shown if len(shown) <= _WIDTH else f"{shown[: _WIDTH - 1]}…"
