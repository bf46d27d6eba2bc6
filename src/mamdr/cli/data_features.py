"""`mamdr data features`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mamdr.cli.data_figures import show
from mamdr.cli.data_options import Out, Overwrite
from mamdr.cli.progress import progress_bar
from mamdr.config import parse
from mamdr.data import storage
from mamdr.data.domains import Dataset
from mamdr.data.graph_sage import GraphSage, add_vectors

_SETTINGS = GraphSage()


def features_command(
    folder: Annotated[Path, typer.Argument(help="A data folder whose users and items have no vectors.")],
    out: Out,
    width: Annotated[int, typer.Option("--width", help="Of the vectors.")] = _SETTINGS.width,
    passes: Annotated[int, typer.Option("--passes", help="Over train's positives.")] = _SETTINGS.passes,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Positives of a mini-batch.")
    ] = _SETTINGS.batch_size,
    neighbours: Annotated[
        tuple[int, int],
        typer.Option("--neighbours", metavar="N M", help="Drawn of each node, and of each of those."),
    ] = _SETTINGS.neighbours,
    negatives: Annotated[
        int, typer.Option("--negatives", help="Items drawn for each mini-batch.")
    ] = _SETTINGS.negatives,
    lr: Annotated[float, typer.Option("--lr", help="Of Adam.")] = _SETTINGS.lr,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything.")] = 1,
    overwrite: Overwrite = False,
) -> None:
    """Make vectors of users and items by GraphSAGE, for data without, and keep them with the data.

    Train's positives are all that is looked at. Every model uses the vectors, frozen; see [model.features] of a
    recipe.

    Example:

    mamdr data features amazon --out amazon-vectors --width 64
    """
    storage.refuse_existing(out, overwrite=overwrite)
    dials = {
        "width": width,
        "passes": passes,
        "batch_size": batch_size,
        "neighbours": neighbours,
        "negatives": negatives,
        "lr": lr,
    }
    settings = parse(GraphSage, dials, "features")
    with progress_bar() as progress:
        dataset = add_vectors(Dataset.load(folder), settings, seed=seed, progress=progress)
        dataset.save(out, overwrite=overwrite)
    show(dataset, out)
