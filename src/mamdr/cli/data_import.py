"""`mamdr data import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mamdr.cli.data_figures import show
from mamdr.cli.data_options import CtrRatio, Memory, Out, Overwrite, Seed, Users, ratio_of, sampled
from mamdr.cli.progress import progress_bar
from mamdr.data import storage
from mamdr.data.building import LONGEST, Lengths, build
from mamdr.data.domains import Dataset
from mamdr.data.interactions import Columns
from mamdr.data.larger import build_larger, rows_in
from mamdr.data.readers import table
from mamdr.data.sample import sample_users
from mamdr.data.vectors import Vectors
from mamdr.errors import ConfigError
from mamdr.memory import bytes_of


def import_command(
    files: Annotated[list[Path], typer.Argument(help="CSV, TSV or Parquet files; several are joined.")],
    out: Out,
    user: Annotated[str, typer.Option("--user", help="Column of the user.")] = "user_id",
    item: Annotated[str, typer.Option("--item", help="Column of the item.")] = "item_id",
    domain: Annotated[str, typer.Option("--domain", help="Column of the domain.")] = "domain",
    label: Annotated[
        str | None,
        typer.Option(
            "--label", help="Column of 0 and 1. Default: label, if there; else every row is a positive."
        ),
    ] = None,
    timestamp: Annotated[
        str | None,
        typer.Option("--timestamp", help="Column of the time, integers. Default: timestamp, if there."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The data's name. Default: the first file's.")
    ] = None,
    lists: Annotated[
        list[str] | None,
        typer.Option(
            "--list",
            metavar="NAME=SIGN",
            help="A feature whose text is a list, and the sign between its values; may be repeated. "
            "Columns of lists in Parquet need not be named.",
        ),
    ] = None,
    max_length: Annotated[
        list[str] | None,
        typer.Option(
            "--max-length",
            metavar="N | NAME=N",
            help=f"Keep the last N values of a list: of all, or NAME=N, again for each. Default: {LONGEST}.",
        ),
    ] = None,
    share: Annotated[
        list[str] | None,
        typer.Option(
            "--share",
            metavar="NAME=OTHER",
            help="A feature that has the values, and the embeddings, of another column; may be repeated.",
        ),
    ] = None,
    vectors: Annotated[
        list[str] | None,
        typer.Option(
            "--vectors",
            metavar="NAME=FILE",
            help="Vectors made elsewhere for a column's values: .parquet with a column of ids and one of lists, or "
            ".npz or .safetensors with ids and vectors; may be repeated.",
        ),
    ] = None,
    normalise: Annotated[
        bool,
        typer.Option(
            "--normalise/--raw-numbers",
            help="Bring numeric features to mean 0 and deviation 1 in train, or leave them as they are.",
        ),
    ] = True,
    seed: Seed = 1,
    ctr_ratio: CtrRatio = None,
    users: Users = 1.0,
    memory: Memory = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a data folder from any CSV or Parquet files.

    A table without labels holds positives; negatives are drawn. Columns named user:..., item:... and
    context:... become features: text and integers are categories, floats are numbers, lists are lists of categories.
    Other columns are left out.

    Example:

    mamdr data import clicks.parquet --user user --item item --domain category --out clicks
    """
    storage.refuse_existing(out, overwrite=overwrite)
    ratio, lengths = ratio_of(ctr_ratio or ()), _lengths(max_length or ())
    shared = _pairs("--share", share or (), "user:history=item_id")
    signs: dict[str, str | None] = dict(_pairs("--list", lists or (), "'item:tags=|'"))
    given = {
        name: Vectors.read(path)
        for name, path in _pairs("--vectors", vectors or (), "item_id=items.npz").items()
    }
    with progress_bar() as progress:
        progress(f"reading {', '.join(file.name for file in files[:3])}", 0, 1)
        columns = Columns(user, item, domain, label, timestamp, signs)
        how: dict[str, Any] = {
            "name": name or files[0].name.split(".")[0],
            "seed": seed,
            "ctr_ratio": ratio,
            "max_length": lengths,
            "shared": shared,
            "vectors": given,
            "normalise": normalise,
            "progress": progress,
            "options": {"source": "table"} | sampled(users),
        }
        if memory is None:
            dataset = build(sample_users(table.read(files, columns), users, seed), **how)
            dataset.save(out, overwrite=overwrite)
        else:
            dataset = _larger(files, columns, users, bytes_of(memory), out, overwrite=overwrite, **how)
    show(dataset, out)


def _larger(files: list[Path], columns: Columns, users: float, memory: int, out: Path, **how: Any) -> Dataset:
    """The same in bounded memory."""
    if users != 1:
        raise ConfigError("--users with --memory", "one of them", "A share of the users needs less memory")
    chunks = table.read_chunks(files, columns, max(1, rows_in(memory, ()) // 4))
    return build_larger(chunks, out, memory=memory, **how)


def _lengths(given: Sequence[str]) -> Lengths:
    """What --max-length says: nothing, one number, or a number by column."""
    try:
        if len(given) == 1 and "=" not in given[0]:
            return int(given[0])
        named = {name: int(value) for name, value in (text.rsplit("=", 1) for text in given)}
        return named or LONGEST
    except ValueError as error:
        raise ConfigError(
            f"--max-length {' '.join(given)}",
            "one number, or NAME=NUMBER, again for each",
            "Write it like 20",
        ) from error


def _pairs(option: str, given: Sequence[str], example: str) -> dict[str, str]:
    """NAME=VALUE, again for each."""
    pairs = [text.partition("=") for text in given]
    for text, (name, _, value) in zip(given, pairs, strict=True):
        if not name or not value:
            raise ConfigError(f"{option} {text}", f"{option} NAME=VALUE", f"Write it like {option} {example}")
    named = {name: value for name, _, value in pairs}
    if len(named) < len(given):
        raise ConfigError(f"{option} {' '.join(given)}", "each name once", "Take one of them out")
    return named
