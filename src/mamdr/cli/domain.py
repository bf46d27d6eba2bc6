"""`mamdr domain add`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mamdr.cli.evaluate import figure
from mamdr.cli.progress import progress_bar
from mamdr.config import parse
from mamdr.data.interactions import Columns
from mamdr.registry.add import add_domain, read_interactions
from mamdr.training.joining import JoinOptions

domain_app = typer.Typer(name="domain", help="Add domains to a trained model.", no_args_is_help=True)


@domain_app.callback()
def _domain() -> None:
    """Add domains to a trained model."""


@domain_app.command("add")
def add(
    place: Annotated[Path, typer.Argument(metavar="RUN|REGISTRY", help="A run's or a registry's folder.")],
    interactions: Annotated[
        list[Path], typer.Option("--interactions", help="CSV, TSV or Parquet; may repeat.")
    ],
    name: Annotated[str, typer.Option("--name", help="The new domain's id.")],
    features: Annotated[
        Path | None,
        typer.Option("--features", help="The feature storage, or the data folder. Default: the run's data."),
    ] = None,
    user: Annotated[str, typer.Option("--user", help="Column of the user.")] = "user_id",
    item: Annotated[str, typer.Option("--item", help="Column of the item.")] = "item_id",
    label: Annotated[
        str | None, typer.Option("--label", help="Column of 0 and 1. Default: label, if there.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", help="At most.")] = 20,
    ctr_ratio: Annotated[float, typer.Option("--ctr-ratio", help="Positives per drawn negative.")] = 0.25,
    minimum: Annotated[int, typer.Option("--minimum", help="Positives that it takes.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Of split, negatives and walks.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Let a domain join a trained model: its own part is learned, everything else keeps its bits.

    It serves if its validation AUC is not below that of the shared parameters. Of a run, the versions are kept in
    RUN/registry.

    Example: mamdr domain add registry --features features --interactions garden.csv --name garden
    """
    wanted = {"rounds": rounds, "ctr_ratio": ctr_ratio, "minimum": minimum, "seed": seed}
    options = parse(JoinOptions, wanted, "domain")
    rows = read_interactions(interactions, name, Columns(user, item, label=label))
    with progress_bar() as progress:
        joined = add_domain(
            place, name, rows, options, features=features,
            told=lambda done: progress(f"training {name}", done, rounds),
        )  # fmt: skip
    if as_json:
        said = {"domain": name, "version": joined.version, "reason": joined.result.reason, **joined.figures}
        typer.echo(json.dumps(said))
        return
    for split in ("val", "test"):
        found = joined.result.figures[split]
        typer.echo(f"{split} AUC: shared {figure(found['shared'])}, own {figure(found['own'])}")
    typer.echo(
        f"{name} is served by {joined.version}" if joined.version
        else f"{name} is served by shared parameters alone: {joined.result.reason}"
    )  # fmt: skip
