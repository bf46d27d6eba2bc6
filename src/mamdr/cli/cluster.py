"""`mamdr cluster`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from mamdr.cli.interrupt import interruptible
from mamdr.cli.watch import Watch
from mamdr.data.domains import Dataset
from mamdr.training import Recipe
from mamdr.training.events import Event

cluster_app = typer.Typer(name="cluster", help="Train on many machines.", no_args_is_help=True)


@cluster_app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as recipes/industry.toml.")],
    data: Annotated[Path, typer.Option("--data", help="A data folder that every machine sees.")],
    out: Annotated[Path, typer.Option("--out", help="The run folder to make, which every machine sees.")],
    address: Annotated[
        str | None,
        typer.Option(
            "--address", help="HOST:PORT of a Ray cluster, or auto; by default one is started here."
        ),
    ] = None,
    units: Annotated[
        int | None, typer.Option("--units", help="Units that share out a round; says what is trained.")
    ] = None,
    shards: Annotated[int | None, typer.Option("--shards", help="Processes that hold table rows.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes that walk.")] = None,
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
    """Train what a recipe says on a Ray cluster; needs mamdr's extra `ray`.

    Example: mamdr cluster train recipes/industry.toml --data data/amazon --out runs/big --units 4 --workers 4
    """
    from mamdr.engine.ray.train import train as train_recipe

    sizes = {"units": units, "shards": shards, "workers": workers}
    given = [f"cluster.{name}={value}" for name, value in sizes.items() if value is not None]
    settings = Recipe.load(recipe, [*(values or []), *given])
    dataset = Dataset.load(data)
    listeners = [] if quiet else [ClusterWatch()]
    again = ["mamdr", "cluster", "train", str(recipe), "--data", str(data), "--out", str(out)]
    again += ["--address", address] if address else []
    again += [word for value in [*(values or ()), *given] for word in ("--set", value)]
    with interruptible(f"go on with: {shlex.join([*again, '--resume'])}"):
        train_recipe(settings, dataset, out, address=address, resume=resume, listeners=listeners)
    if not quiet:
        typer.echo(f"Next: mamdr evaluate {out}", err=True)


class ClusterWatch(Watch):
    """What a person sees of training, and what moved in each round."""

    def hear(self, event: Event) -> None:
        super().hear(event)
        if event["event"] == "round":
            self.console.print(_moved(event["cluster"]))


def _moved(told: dict[str, Any]) -> str:
    """One line of what an event tells of the cluster."""
    traffic = told["traffic"]
    hits = "" if traffic["hit_rate"] is None else f", {traffic['hit_rate']:.0%} of rows in the cache"
    spent = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in told["seconds"].items())
    deaths = f"; {told['deaths']} processes died and were made good" if told["deaths"] else ""
    return (
        f"           pulled {traffic['bytes_pulled'] / 1e6:,.1f} MB ({traffic['rows_pulled']:,} rows{hits}), "
        f"pushed {traffic['bytes_pushed'] / 1e6:,.1f} MB; {spent}{deaths}"
    )
