"""`mamdr publish`, `mamdr versions`, `mamdr promote` and `mamdr rollback`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from mamdr.cli.evaluate import figure
from mamdr.registry import HelperSample, Registry
from mamdr.registry import publish as publish_run
from mamdr.registry.listing import listing

Folder = Annotated[Path, typer.Argument(help="The registry's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def publish(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    registry: Annotated[Path, typer.Argument(help="The registry's folder; made if it is not there.")],
    data: Annotated[Path | None, typer.Option("--data", help="The data folder, if it was moved.")] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Let it serve at once.")] = False,
    keep: Annotated[
        int | None,
        typer.Option("--keep", help="Remove versions older than the newest KEEP that nothing needs."),
    ] = None,
    helpers: Annotated[
        int, typer.Option("--helpers", help="Domains whose rows go along, for domains that join later.")
    ] = 32,
    helper_rows: Annotated[int, typer.Option("--helper-rows", help="Training rows of each of them.")] = 4096,
) -> None:
    """Publish a run's best round as a new version, which nothing changes afterwards. Its name is printed.

    Example: mamdr publish runs/mamdr registry --promote
    """
    target = Registry(registry)
    version = publish_run(run, target, data=data, helpers=HelperSample(domains=helpers, rows=helper_rows))
    if promote:
        target.promote(version)
    if keep is not None:
        for gone in target.retain(keep):
            typer.echo(f"removed {gone}", err=True)
    typer.echo(version)


def versions(registry: Folder, as_json: AsJson = False) -> None:
    """List a registry's versions, newest first, and which of them serve.

    Example: mamdr versions registry --json
    """
    opened = Registry.open(registry)
    told = listing(opened, opened.pointer())
    if as_json:
        typer.echo(json.dumps(told))
        return
    table = Table(box=box.SIMPLE)
    for name in ("version", "serves", "of", "created", "run", "strategy", "validation"):
        table.add_column(name)
    for row in told["versions"]:
        serves = "all" if row["serving"] else ", ".join(row["domains"][:3]) or "-"
        value = next((v for v in row["metrics"].values() if isinstance(v, float)), None)
        state = row["fault"] or figure(value)
        of = row["domain"] or "all domains"
        table.add_row(row["version"], serves, of, row["created"], row["run"], row["strategy"], state)
    Console(highlight=False).print(table)


def promote(
    registry: Folder,
    version: Annotated[str, typer.Argument(help="Such as v00002.")],
    domain: Annotated[str | None, typer.Option("--domain", help="For this domain alone.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Begin anew where the pointer is damaged.")] = False,
) -> None:
    """Let a version serve: every domain, or one. Services that watch the registry follow within a second.

    Example: mamdr promote registry v00002 --domain books
    """
    pointer = Registry.open(registry).promote(version, domain, reset=reset)
    typer.echo(f"{version} serves {domain or 'all domains'} (change {pointer.generation})", err=True)


def rollback(
    registry: Folder,
    domain: Annotated[str | None, typer.Option("--domain", help="Of this domain alone.")] = None,
) -> None:
    """Go back to what served before the last promote, or to the version that served a domain before.

    Example: mamdr rollback registry
    """
    pointer = Registry.open(registry).rollback(domain)
    now = pointer.placement.of(domain) if domain else pointer.placement.serving
    typer.echo(f"{now} serves {domain or 'all domains'} again (change {pointer.generation})", err=True)
