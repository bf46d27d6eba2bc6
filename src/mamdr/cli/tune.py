"""`mamdr tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mamdr.cli.interrupt import interruptible
from mamdr.data.domains import Dataset
from mamdr.experiments.tune import Trial, best_of
from mamdr.experiments.tune import tune as search
from mamdr.training import Recipe


def tune(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe with a [search] table, such as recipes/mamdr.toml.")
    ],
    data: Annotated[Path, typer.Option("--data", help="A data folder; its test rows are not read.")],
    out: Annotated[Path, typer.Option("--out", help="Where the search lies; goes on with what is there.")],
    trials: Annotated[int, typer.Option("--trials", min=1, help="Trainings in all.")] = 20,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="TABLE.KEY=VALUE", help="Override a value of the recipe; may be repeated."
        ),
    ] = None,
) -> None:
    """Search for settings by validation alone, and write the best as OUT/best.toml. Needs the extra [tune].

    Example: mamdr tune recipes/mamdr.toml --data data/amazon --out tuned --trials 20 --set train.rounds=15
    """

    def heard(trial: Trial) -> None:
        value = "" if trial.value is None else f"validation {trial.value:.4f}"
        typer.echo(f"[{trial.number + 1}/{trials}] {trial.state} {value}", err=True)

    settings = Recipe.load(recipe, values or [])
    with interruptible("the same command goes on"):
        made = search(settings, Dataset.load(data), out, trials=trials, heard=heard)
    best = best_of(made)
    typer.echo(f"Best of {len(made)}: validation {best.value:.4f} in trial {best.number + 1}")
    typer.echo(f"Next: mamdr train {out / 'best.toml'} --data {data} --out RUN")
