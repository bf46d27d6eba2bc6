"""`mamdr conflict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from mamdr.cli.progress import progress_bar
from mamdr.errors import ConfigError
from mamdr.evaluation.conflict import LARGEST
from mamdr.evaluation.report.conflict_page import write_conflict
from mamdr.files import write_json
from mamdr.training import Run
from mamdr.training.conflict import FILE, run_conflict


def conflict(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    data: Annotated[Path | None, typer.Option("--data", help="The data folder, if it was moved.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write a picture (.html) or everything (.json) there.")
    ] = None,
    rounds: Annotated[
        bool,
        typer.Option(
            "--rounds", help="Tell of the start, the rounds that training recorded, and the last one too."
        ),
    ] = False,
    domains: Annotated[
        int, typer.Option("--domains", min=2, help="Compare at most so many; of more a sample.")
    ] = LARGEST,
    rows: Annotated[
        int | None, typer.Option("--rows", min=1, help="Rows of a domain at most; default: all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare domains' gradients at a run's best round: cosines, inner products, the share of pairs in conflict.

    It is kept as conflict.json in the run's folder, where mamdr report finds it.

    Example: mamdr conflict runs/mamdr --rounds --out conflict.html
    """
    if out is not None and out.suffix not in (".html", ".json"):
        raise ConfigError(f"--out {out}", "a file that ends in .html or .json", "Rename it")
    opened = Run.open(run, data=data)
    with progress_bar() as progress:
        content = run_conflict(opened, domains=domains, rows=rows, rounds=rounds, progress=progress)
    write_json(run / FILE, content)
    if out is not None and out.suffix == ".json":
        write_json(out, content)
    elif out is not None:
        write_conflict(content, opened.data.schema.domains, out)
    if as_json:
        typer.echo(json.dumps(content))
    else:
        _show(content)


def _show(content: dict[str, Any]) -> None:
    console = Console(highlight=False)
    compared = f"{content['domains_compared']:,} of {content['domains']:,} domains"
    sampled = ", a sample" if content["domains_compared"] < content["domains"] else ""
    console.print(
        f"[bold]{content['model']} · {content['strategy']}[/], seed {content['seed']}, {compared}{sampled}, "
        f"{content['pairs']:,} pairs, at the shared parameters"
    )
    table = Table(box=box.SIMPLE)
    for name in ("round", "mean cosine", "mean inner product", "pairs in conflict"):
        table.add_column(name, justify="right")
    for record in content.get("rounds", [content]):
        best = " (best)" if record["round"] == content["round"] else ""
        table.add_row(
            f"{record['round']}{best}",
            _figure(record, "mean_cosine", ".4f"),
            _figure(record, "mean_product", ".3e"),
            _figure(record, "conflicting_share", ".1%"),
        )
    console.print(table)


def _figure(record: dict[str, Any], key: str, form: str) -> str:
    """A figure, with its standard error where it is of a sample."""
    value, error = record[key], record.get(f"{key}_error")
    if value is None:
        return "n/a"
    return format(value, form) + ("" if error is None else f" ± {error:{form}}")
