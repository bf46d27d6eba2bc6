"""`mamdr store`: make, update and look at a feature store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mamdr.cli.progress import progress_bar
from mamdr.feature_store.describe import describe
from mamdr.feature_store.exchange import export, take_in
from mamdr.feature_store.folder import compact, create, open_updatable, verify

store_app = typer.Typer(
    name="store",
    help="Users' and items' features of all domains, as the service reads them.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(help="The store's folder.")]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        help="Where the updates are, if not in the folder: redis://... or unix://...",
    ),
]


@store_app.command("build")
def build_command(
    data: Annotated[Path, typer.Argument(help="A data folder.")],
    out: Annotated[Path, typer.Option("--out", help="The store's folder, which must not exist yet.")],
) -> None:
    """Make a feature store from a data folder.

    Example:

    mamdr store build market --out features
    """
    with progress_bar() as progress:
        progress(f"reading {data}", 0, 1)
        create(data, out)
    _show(out, None)


@store_app.command("update")
def update_command(
    folder: Folder,
    files: Annotated[
        list[Path],
        typer.Argument(
            help="CSV or Parquet: user_id and features, item_id and features, or domain, item_id, user_id, label."
        ),
    ],
    redis: RedisUrl = None,
) -> None:
    """Take in features of users or items, and interactions; a service that runs sees them at once.

    Example:

    mamdr store update features users.parquet items.csv
    """
    store = open_updatable(folder, redis=redis)
    with progress_bar() as progress:
        rows = take_in(store, files, progress)
    typer.echo(f"{rows} rows are in {folder}")


@store_app.command("compact")
def compact_command(
    folder: Folder,
    redis: RedisUrl = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep-updates",
            help="Keep the updates that the new snapshot holds, until all machines have it.",
        ),
    ] = False,
) -> None:
    """Write the updates into the next snapshot.

    Example:

    mamdr store compact features
    """
    with progress_bar() as progress:
        progress(f"compacting {folder}", 0, 1)
        version = compact(folder, redis=redis, forget=not keep)
    typer.echo(f"{folder} stands on snapshot {version}")


@store_app.command("export")
def export_command(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="A folder, which must not exist yet.")],
    redis: RedisUrl = None,
) -> None:
    """Write users, items, interactions and domains' items as Parquet tables, updates among them.

    Example:

    mamdr store export features --out tables
    """
    with progress_bar() as progress:
        progress(f"writing {out}", 0, 1)
        export(open_updatable(folder, redis=redis).folded(), out)
    typer.echo(f"{out} holds users, items, interactions and domains")


@store_app.command("describe")
def describe_command(
    folder: Folder,
    redis: RedisUrl = None,
    whole: Annotated[bool, typer.Option("--verify", help="Read all bytes and compare checksums.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say what a store holds.

    Example:

    mamdr store describe features --verify
    """
    if whole:
        with progress_bar() as progress:
            verify(folder, progress)
    if as_json:
        typer.echo(json.dumps(describe(folder, redis=redis)))
    else:
        _show(folder, redis)


def _show(folder: Path, redis: str | None) -> None:
    for name, value in describe(folder, redis=redis).items():
        said = ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{name}: {said}")
