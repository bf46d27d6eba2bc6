"""`mamdr data`: build, import and describe data folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mamdr.cli.data_features import features_command
from mamdr.cli.data_figures import show, show_popularity
from mamdr.cli.data_import import import_command
from mamdr.cli.data_options import CtrRatio, Memory, Out, Overwrite, Seed, Users, ratio_of
from mamdr.cli.progress import progress_bar
from mamdr.data import storage
from mamdr.data.catalog import SOURCES, build_source, fetch
from mamdr.data.describe import describe
from mamdr.data.domains import Dataset
from mamdr.data.market import synthetic_market, write_market
from mamdr.data.synthetic import MarketConfig
from mamdr.errors import ConfigError
from mamdr.evaluation.popularity import popularity
from mamdr.memory import bytes_of

data_app = typer.Typer(name="data", help="Make and describe data folders.", no_args_is_help=True)

_MARKET = MarketConfig()


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
            help="Which domains, in this order. Default: all, alphabetically.",
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
    prepared. Others are public data with labels of their own, and domains as others take them: movielens-1m
    (age groups), kuairand (tabs), ali-ccp (field 301), aliexpress (countries), and ciao (categories, no labels).

    Example:

    mamdr data build amazon --raw reviews --categories Gift_Cards,Software --out amazon
    """
    storage.refuse_existing(out, overwrite=overwrite)
    ratio = ratio_of(ctr_ratio) if ctr_ratio else None
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
    show(dataset, out)


data_app.command("features")(features_command)
data_app.command("import")(import_command)


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
    memory: Memory = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a data folder of a synthetic market with domains that conflict.

    Example:

    mamdr data synthetic --domains 30 --conflict 0.8 --out market
    """
    storage.refuse_existing(out, overwrite=overwrite)
    if features and memory is not None:
        raise ConfigError("--features with --memory", "one of them", "Features are made in memory")
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
        if memory is None:
            dataset = synthetic_market(features=features, progress=progress, **dials)
            dataset.save(out, overwrite=overwrite)
        else:
            dataset = write_market(
                out, memory=bytes_of(memory), overwrite=overwrite, progress=progress, **dials
            )
    show(dataset, out)


@data_app.command("describe")
def describe_command(
    folder: Annotated[Path, typer.Argument(help="A data folder.")],
    floor: Annotated[
        bool,
        typer.Option(
            "--popularity",
            help="Also what click rates alone get on test, by item and by user: the floor for any model.",
        ),
    ] = False,
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
    rates = popularity(dataset) if floor else None
    if as_json:
        typer.echo(json.dumps(describe(dataset) | ({"popularity": rates} if rates else {})))
        return
    show(dataset, folder)
    if rates:
        show_popularity(rates)
