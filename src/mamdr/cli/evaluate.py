"""`mamdr evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mamdr.cli.progress import progress_bar
from mamdr.evaluation.report.text import own
from mamdr.files import write_json
from mamdr.training import Run

_SHOWN = 50  # domains in the table; --json has all


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    data: Annotated[Path | None, typer.Option("--data", help="The data folder, if it was moved.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a run's best round, over domains and for each domain.

    Domains with one class have no AUC ("n/a", null in JSON) and count in no mean. Where a domain has a part of its own,
    the share of it that serves is told, and so is a round of its own (else "none", null in JSON).

    Example: mamdr evaluate runs/mamdr --json
    """
    opened = Run.open(run, data=data)
    with progress_bar() as progress:
        result = opened.summary(split, progress)
    write_json(run / f"metrics-{split}.json", result)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    console = Console(highlight=False)
    tuned = "fine-tuned" if result["finetuned"] else "not fine-tuned"
    console.print(
        f"[bold]{result['model']} · {result['strategy']}[/], round {result['round']}, seed {result['seed']}, "
        f"{tuned}, {result['split']} split"
    )
    figures = Table(box=box.SIMPLE)
    for name in ("mean AUC", "weighted AUC", "pooled AUC", "user GAUC", "log loss"):
        figures.add_column(name, justify="right")
    keys = ("mean_auc", "weighted_auc", "pooled_auc", "user_gauc", "log_loss")
    figures.add_row(*(figure(result[key]) for key in keys))
    console.print(figures)
    domains = Table(box=box.SIMPLE)
    told = {
        title: key
        for title, key in (("share λ", "share"), ("own round", "own_round"))
        if any(row.get(key) is not None for row in result["domains"].values())
    }
    for name in ("domain", "AUC", "log loss", "samples", "positives", *told):
        domains.add_column(name, justify="left" if name == "domain" else "right")
    for name, row in _shown(result["domains"]):
        cells = figure(row["auc"]), figure(row["log_loss"]), f"{row['samples']:,}", f"{row['positives']:,}"
        domains.add_row(escape(name), *cells, *(own(row[key]) for key in told.values()))
    console.print(domains)
    if len(result["domains"]) > _SHOWN:
        of = f"of {len(result['domains']):,} domains: --json has all."
        console.print(f"The {_SHOWN // 2} lowest and the {_SHOWN // 2} highest {of}")


def _shown(domains: dict[str, Any]) -> list[tuple[str, Any]]:
    """The rows of the table: all domains, or those of the lowest and of the highest AUC."""
    if len(domains) <= _SHOWN:
        return list(domains.items())
    known = sorted(
        (item for item in domains.items() if item[1]["auc"] is not None), key=lambda d: d[1]["auc"]
    )
    return [*known[: _SHOWN // 2], *known[len(known) - _SHOWN // 2 :]] if len(known) > _SHOWN else known


def figure(value: float | None) -> str:
    """A figure as tables show it."""
    return "n/a" if value is None else f"{value:.4f}"
