"""`mamdr events`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mamdr.cli.progress import progress_bar
from mamdr.errors import DataError
from mamdr.files import atomic_file


def events(
    folder: Annotated[Path, typer.Argument(help="The folder in which the service keeps its events.")],
    out: Annotated[Path, typer.Option("--out", help="A Parquet file, written whole or not at all.")],
) -> None:
    """Make the next training log of what users were shown and clicked: `mamdr data import` reads it.

    Each time that an item was shown is a row; its label is 1 if it was clicked.

    Example:

    mamdr events kept --out log.parquet && mamdr data import log.parquet --out next
    """
    from mamdr.serving.events import EventLog
    from mamdr.serving.training_log import training_log

    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", "a folder of events", "Check the path")
    with progress_bar() as progress:
        progress(f"reading {folder}", 0, 1)
        log = EventLog(folder)
        log.rotate()
        rows = training_log(log.files())
        with atomic_file(out) as part:
            rows.write_parquet(part)
    typer.echo(f"{out}: {len(rows)} rows, {int(rows['label'].sum())} clicked")
