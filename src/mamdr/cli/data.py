"""`mamdr data`: build, import and describe data folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from mamdr.cli.features import features_table
from mamdr.cli.progress import progress_bar
from mamdr.data import storage
from mamdr.data.build import LONGEST, Lengths, Ratio, build
from mamdr.data.catalog import SOURCES, build_source, fetch
from mamdr.data.describe import describe
from mamdr.data.domains import Dataset
from mamdr.data.interactions import Columns
from mamdr.data.market import synthetic_market
from mamdr.data.readers import table
from mamdr.data.sample import sample_users
from mamdr.data.synthetic import MarketConfig
from mamdr.data.vectors import Vectors
from mamdr.errors import ConfigError

data_app = typer.Typer(name="data", help="Make and describe data folders.", no_args_is_help=True)

_SHOWN = 50  # domains in the table; --json has all
_WIDE = 140  # columns of output that goes to a file or a pipe

_MARKET = MarketConfig()

Out = Annotated[Path, typer.Option("--out", help="The data folder to make.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of negatives and split.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it exists.")]
CtrRatio = Annotated[
    list[str] | None,
    typer.Option(
        "--ctr-ratio",
        metavar="R | NAME=R",
        help="Positives per negative: one value for all domains, or NAME=VALUE, again for each. "
        "Default: the paper's, in the order of the domains.",
    ),
]


Users = Annotated[
    float,
    typer.Option("--users", help="Keep this share of the users, drawn by the seed, with all their rows."),
]


@data_app.command("build")
def build_command(
    benchmark: Annotated[str, typer.Argument(help=f"The source's name: {', '.join(SOURCES)}.")],
    raw: Annotated[Path, typer.Option("--raw", help="The folder of raw files.")],
    out: Out,
    categories: Annotated[
        list[str] | None,
        typer.Option(
            "--categories",
            metavar="A,B,...",
            help="Of amazon: which, in this order. Default: all, alphabetically.",
        ),
    ] = None,
    fetching: Annotated[
        bool, typer.Option("--download", help="Fetch what the raw folder lacks; what broke off goes on.")
    ] = False,
    procedure: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="paper | authors",
            help="Duplicates and split as the paper says, or as the authors' code makes them.",
        ),
    ] = "paper",
    name: Annotated[
        str | None, typer.Option("--name", help="The data's name. Default: the source's.")
    ] = None,
    seed: Seed = 1,
    ctr_ratio: CtrRatio = None,
    users: Users = 1.0,
    overwrite: Overwrite = False,
) -> None:
    """Make a data folder from a known source's raw files.

    amazon-6, amazon-13, taobao-10, -20 and -30 are the paper's benchmarks; authors is what the authors' code
    prepared.

    Example:

    mamdr data build amazon --raw reviews --categories Gift_Cards,Software --out amazon
    """
    storage.refuse_existing(out, overwrite=overwrite)
    ratio = _ratio(ctr_ratio) if ctr_ratio else None
    chosen = [name for text in categories or () for name in text.split(",") if name] or None
    if procedure not in ("paper", "authors"):
        raise ConfigError(f"--as {procedure}", "paper or authors", "Choose one of them")
    with progress_bar() as progress:
        if fetching:
            fetch(benchmark, raw, chosen, progress)
        dataset = build_source(
            benchmark,
            raw,
            chosen,
            seed=seed,
            ctr_ratio=ratio,
            users=users,
            authors=procedure == "authors",
            called=name,
            progress=progress,
        )
        dataset.save(out, overwrite=overwrite)
    _show(dataset, out)


@data_app.command("import")
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
    ratio, lengths = _ratio(ctr_ratio or ()), _lengths(max_length or ())
    shared = _pairs("--share", share or (), "user:history=item_id")
    signs: dict[str, str | None] = dict(_pairs("--list", lists or (), "'item:tags=|'"))
    given = {
        name: Vectors.read(path)
        for name, path in _pairs("--vectors", vectors or (), "item_id=items.npz").items()
    }
    with progress_bar() as progress:
        progress(f"reading {', '.join(file.name for file in files[:3])}", 0, 1)
        columns = Columns(user, item, domain, label, timestamp, signs)
        rows = sample_users(table.read(files, columns), users, seed)
        dataset = build(
            rows,
            name=name or files[0].name.split(".")[0],
            seed=seed,
            ctr_ratio=ratio,
            max_length=lengths,
            shared=shared,
            vectors=given,
            normalise=normalise,
            progress=progress,
            options={"source": "table"} | _sampled(users),
        )
        dataset.save(out, overwrite=overwrite)
    _show(dataset, out)


@data_app.command("synthetic")
def synthetic_command(
    out: Out,
    domains: Annotated[int, typer.Option("--domains", help="How many domains.")] = _MARKET.domains,
    users: Annotated[int, typer.Option("--users", help="How many users.")] = _MARKET.users,
    items: Annotated[int, typer.Option("--items", help="How many items.")] = _MARKET.items,
    samples: Annotated[
        int, typer.Option("--samples-per-domain", help="Rows of a domain on average.")
    ] = _MARKET.samples_per_domain,
    tail: Annotated[
        float, typer.Option("--tail", help="How unequal domains are, from 0 to below 1.")
    ] = _MARKET.tail,
    overlap: Annotated[
        float, typer.Option("--overlap", help="Share of users and items that a domain sees.")
    ] = _MARKET.overlap,
    conflict: Annotated[
        float, typer.Option("--conflict", help="How much domains disagree, 0 to 1.")
    ] = _MARKET.conflict,
    noise: Annotated[
        float, typer.Option("--noise", help="How uncertain a click is, above 0.")
    ] = _MARKET.noise,
    features: Annotated[
        bool, typer.Option("--features", help="With features of every kind: categories, lists, numbers.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything.")] = _MARKET.seed,
    overwrite: Overwrite = False,
) -> None:
    """Make a data folder of a synthetic market with domains that conflict.

    Example:

    mamdr data synthetic --domains 30 --conflict 0.8 --out market
    """
    storage.refuse_existing(out, overwrite=overwrite)
    dials: dict[str, Any] = {
        "domains": domains,
        "users": users,
        "items": items,
        "samples_per_domain": samples,
        "tail": tail,
        "overlap": overlap,
        "conflict": conflict,
        "noise": noise,
        "seed": seed,
    }
    with progress_bar() as progress:
        dataset = synthetic_market(features=features, progress=progress, **dials)
        dataset.save(out, overwrite=overwrite)
    _show(dataset, out)


@data_app.command("describe")
def describe_command(
    folder: Annotated[Path, typer.Argument(help="A data folder.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with every domain.")
    ] = False,
) -> None:
    """Show a data folder's figures, after checking every file's checksum.

    Example:

    mamdr data describe amazon --json
    """
    with progress_bar() as progress:
        storage.verify(folder, progress)
    dataset = Dataset.load(folder)
    if as_json:
        typer.echo(json.dumps(describe(dataset)))
    else:
        _show(dataset, folder)


def _sampled(users: float) -> dict[str, float]:
    """What the manifest says of a sample of users."""
    return {} if users == 1 else {"users": users}


def _ratio(given: Sequence[str]) -> Ratio:
    """What --ctr-ratio says: nothing, one number, or a number by domain."""
    try:
        if len(given) == 1 and "=" not in given[0]:
            return float(given[0])
        return {name: float(value) for name, value in (text.rsplit("=", 1) for text in given)} or None
    except ValueError as error:
        raise ConfigError(
            f"--ctr-ratio {' '.join(given)}",
            "one number, or NAME=NUMBER, again for each",
            "Write it like 0.3",
        ) from error


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
    return {name: value for name, _, value in pairs}


def _show(dataset: Dataset, folder: Path) -> None:
    """The figures as the paper's Table I and Tables II to IV have them."""
    figures, console = describe(dataset), Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    columns = ("Samples", "%", "Positives", "CTR ratio", "Users", "Items", "Train", "Val", "Test")
    overview = Table(
        title=f"{figures['name']} (seed {figures['seed']})", title_justify="left", box=box.SIMPLE_HEAD
    )
    overview.add_column("Domain", overflow="fold")
    for column in columns:
        overview.add_column(column, justify="right", overflow="fold")
    for name, row in list(figures["domains"].items())[:_SHOWN]:
        overview.add_row(name, *_cells(row))
    overview.add_section()
    overview.add_row(f"{len(figures['domains']):,} domains", *_cells(figures | {"percentage": 100.0}))
    console.print(overview)
    console.print(features_table(figures["features"]))
    if (hidden := len(figures["domains"]) - _SHOWN) > 0:
        console.print(f"{hidden:,} more domains: `mamdr data describe {folder} --json` has all")
    dropped = sum(dataset.facts.get("duplicates", []))
    if dropped:
        console.print(f"{dropped:,} duplicate rows were dropped")
    console.print(f"{figures['samples_per_domain']:,.0f} samples a domain; data in {folder}")


def _cells(row: dict[str, Any]) -> list[str]:
    ratio = row.get("ctr_ratio")
    counts = [row.get(key) for key in ("users", "items", "train", "val", "test")]
    positives = row.get("positives")
    return [
        f"{row['samples']:,}",
        f"{row['percentage']:.2f}",
        "" if positives is None else f"{positives:,}",
        "n/a" if ratio is None else f"{ratio:.2f}",
        *["" if count is None else f"{count:,}" for count in counts],
    ]
