"""`mamdr report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mamdr.cli.progress import progress_bar
from mamdr.evaluation.report import report_runs


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
    """Write one self-contained HTML page: curves, and each domain's lift between runs with intervals.

    Example: mamdr report runs/alternate runs/dn runs/mamdr --baseline alternate --out report.html
    """
    with progress_bar() as progress:
        page = report_runs(runs, baseline, out=out, split=split, data=data, seed=seed, progress=progress)
    typer.echo(f"Wrote {page}")
