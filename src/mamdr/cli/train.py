"""`mamdr train`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mamdr.cli.interrupt import interruptible
from mamdr.cli.watch import Watch
from mamdr.data.domains import Dataset
from mamdr.training import Recipe
from mamdr.training.events import Listener, TensorBoard, tensorboard_installed
from mamdr.training.train import train as train_recipe


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as recipes/mamdr.toml.")],
    data: Annotated[Path, typer.Option("--data", help="A data folder.")],
    out: Annotated[Path, typer.Option("--out", help="The run folder to make.")],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="TABLE.KEY=VALUE", help="Override a value of the recipe; may be repeated."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out after its last round.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Train what a recipe says, and keep the round that validation prefers.

    Example: mamdr train recipes/mamdr.toml --data data/amazon --out runs/mamdr --set train.seed=2
    """
    settings = Recipe.load(recipe, values or [])
    dataset = Dataset.load(data)
    listeners: list[Listener] = [] if quiet else [Watch()]
    if tensorboard_installed():
        listeners.append(TensorBoard(out / "tensorboard"))
    again = ["mamdr", "train", str(recipe), "--data", str(data), "--out", str(out)]
    again += [word for value in values or () for word in ("--set", value)]
    with interruptible(f"go on with: {shlex.join([*again, '--resume'])}"):
        train_recipe(settings, dataset, out, resume=resume, listeners=listeners)
    if not quiet:
        typer.echo(f"Next: mamdr evaluate {out}", err=True)
