"""`mamdr experiment`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mamdr.cli.interrupt import interruptible
from mamdr.cli.progress import progress_bar
from mamdr.config import lookup
from mamdr.data.domains import Dataset
from mamdr.errors import ConfigError
from mamdr.evaluation.report.text import duration
from mamdr.experiments import EXPERIMENTS, Cell, cells, run
from mamdr.experiments.estimate import estimate
from mamdr.experiments.forms import cells_of
from mamdr.experiments.results import Result
from mamdr.experiments.tables import Summary
from mamdr.experiments.write import write

_LIST = "; ".join(f"{name}: {made.title}" for name, made in EXPERIMENTS.items())


def experiment(
    name: Annotated[str, typer.Argument(help=f"Which. {_LIST}.")],
    data: Annotated[Path, typer.Option("--data", help="A data folder.")],
    out: Annotated[
        Path, typer.Option("--out", help="Where results and tables lie; goes on with what is there.")
    ],
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds",
            metavar="N|A-B",
            help="Seeds 1 to N of every cell, or A to B: machines may share them out, and one that is given all of "
            "their OUT/results makes the table.",
        ),
    ] = "3",
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Cells trained at once.")] = 1,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="[NAME:]TABLE.KEY=VALUE",
            help="Override a value in every cell (but not what its own row or column says), or in those whose model, "
            "strategy, row or column is NAME (that too); may be repeated.",
        ),
    ] = None,
    settings: Annotated[
        list[Path] | None,
        typer.Option(
            "--settings",
            help="A file of such overrides, one a line; # begins a remark. May be repeated: a later one counts over an "
            "earlier one, and --set over all.",
        ),
    ] = None,
    rows: Annotated[
        str,
        typer.Option(
            "--rows", metavar="A,B,...", help="Only these rows; all keeps those beyond the paper's."
        ),
    ] = "",
    columns: Annotated[
        str, typer.Option("--columns", metavar="A,B,...", help="Only these columns, or all.")
    ] = "",
    keep_runs: Annotated[bool, typer.Option("--keep-runs", help="Keep each cell's checkpoints.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and a guess at the time.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make one of the paper's tables or figures: every cell trained with every seed, chosen on validation.

    Test is read once, after training. What is done stays done: the same command goes on where it was stopped.
    OUT gets NAME.md, .csv, .json and .html, and each cell's test predictions.

    Example: mamdr experiment table-10 --data data/amazon --out tables --seeds 3 --jobs 2 --rows mlp
    """
    chosen = lookup(EXPERIMENTS, name, "experiment")
    dataset = Dataset.load(data)
    todo = cells(
        chosen, _seeds(seeds), [*_lines(settings or ()), *(values or ())], _names(rows), _names(columns)
    )
    if dry_run:
        _show_cells(todo, dataset, jobs)
        return
    with progress_bar() as progress:
        progress(f"{name}: {len(todo)} cells", 0, len(todo))

        def heard(cell: Cell, result: Result, done: int, total: int) -> None:
            progress(f"{name}: {cell.key}", done, total)
            if not as_json:
                typer.echo(f"[{done}/{total}] {cell.key}: {_told(result)}", err=True)

        with interruptible("the same command goes on"):
            results = run(todo, dataset, out, jobs=jobs, keep_runs=keep_runs, heard=heard)
    summary = write(chosen, todo, results, dataset.name, out)
    if as_json:
        typer.echo(json.dumps(json.loads((out / f"{name}.json").read_text(encoding="utf-8"))))
    else:
        _show(summary)
        typer.echo(f"Wrote {out / name}.md, .csv, .json and .html")


def _lines(settings: Sequence[Path]) -> list[str]:
    """The overrides of settings files."""
    lines: list[str] = []
    for path in settings:
        try:
            lines += path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot read {path}", "a text file of overrides", "Check --settings"
            ) from error
    return [text for line in lines if (text := line.partition("#")[0].strip())]


def _seeds(text: str) -> range:
    """The seeds that were asked for."""
    first, dash, last = text.partition("-")
    numbers = (first, last) if dash else ("1", text)
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        raise ConfigError(f"--seeds {text}", "a number, or two as in 4-5", "For example --seeds 5")
    begin, end = map(int, numbers)
    if not 1 <= begin <= end:
        raise ConfigError(f"--seeds {text} has no seed", "1 or more", "For example --seeds 5 or --seeds 4-5")
    return range(begin, end + 1)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _told(result: Result) -> str:
    if "error" in result:
        return f"diverged ({result['error']})"
    auc = result["test"]["mean_auc"]
    return f"test mean AUC {auc:.4f}, round {result['round']} of {result['rounds']}, {duration(result['seconds'])}"


def _show(summary: Summary) -> None:
    heads, lines = cells_of(summary)
    table = Table(box=box.SIMPLE, title=f"{summary.experiment.name}: {summary.experiment.title}")
    for number, head in enumerate(heads):
        table.add_column(escape(head), justify="left" if number == 0 else "right")
    for line in lines:
        table.add_row(*(escape(text) for text in line))
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=200)
    console.print(table)


def _show_cells(todo: list[Cell], dataset: Dataset, jobs: int) -> None:
    guesses = estimate(todo, dataset)
    table = Table(box=box.SIMPLE, title=f"{len(todo)} cells")
    for head in ("cell", "rows a round", "time, about"):
        table.add_column(head, justify="left" if head == "cell" else "right")
    for cell in todo:
        guess = guesses[cell.key]
        table.add_row(cell.key, f"{guess.samples:,}", duration(guess.seconds))
    Console(highlight=False).print(table)
    total = sum(guess.seconds for guess in guesses.values())
    typer.echo(f"{len(guesses)} trainings, about {duration(total / jobs)} with {jobs} at once")
