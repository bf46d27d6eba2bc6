"""`mamdr models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from mamdr.data.domains import Dataset
from mamdr.models.sizes import REFERENCE, sizes

_WIDE = 150  # columns where the output is no terminal


def models(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Count for this data folder; default: 10 domains, 10,000 users, 5,000 items."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the models that a recipe can name, with their parameters and settings.

    Example: mamdr models --data data/amazon
    """
    schema = Dataset.load(data).schema if data else REFERENCE
    found = sizes(schema)
    if as_json:
        typer.echo(json.dumps(found))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDE)
    table = Table(box=box.SIMPLE)
    table.add_column("model")
    for name in ("parameters", "embeddings", "network", "a domain"):
        table.add_column(name, justify="right")
    table.add_column("settings", overflow="fold")
    for name, row in found.items():
        counts = (row[key] for key in ("parameters", "embeddings", "network", "per_domain"))
        table.add_row(name, *(f"{count:,}" for count in counts), _settings(row["settings"]), end_section=True)
    console.print(table)
    columns = ", ".join(f"{count:,} of {column}" for column, count in schema.ids.items())
    console.print(
        f"{len(schema.domains):,} domains, ids: {columns}. Settings go under \\[model] of a recipe."
    )


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {_toml(value)}" for key, value in settings.items())


def _toml(value: object) -> str:
    """As a recipe writes it; brackets are markup to the table."""
    if isinstance(value, dict):
        return f"{{{_settings(value)}}}"
    return json.dumps(value).replace("[", "\\[")
