"""From exposures and clicks to the rows that training reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from mamdr.errors import DataError

_SHOWN = ["domain", "user_id", "item_id"]


def training_log(files: Sequence[Path]) -> pl.DataFrame:
    """One row for each time that an item was shown: label 1 if it was clicked before it was shown again.

    A click on what was never shown is a row of its own. The columns are those of a canonical table: user_id, item_id,
    domain, label, timestamp (that of the exposure); `version` says whose choice it was. Rows lie in the order in which
    the items were shown.

    Args:
        files: of `EventLog`, in order, all that there are: a click may lie in a later file than its exposure.

    Raises: DataError for no files, or one that is damaged.
    """
    if not files:
        raise DataError("no events are in files yet", "events-00000001.parquet and so on", "Post some first")
    events = pl.concat([_read(path) for path in files]).with_row_index("place")
    shown = (pl.col("type") == "exposure").cum_sum().over(_SHOWN)
    times = events.with_columns(shown.alias("time")).group_by([*_SHOWN, "time"], maintain_order=True)
    rows = times.agg(pl.col("label").max(), pl.col("timestamp", "version", "place").first())
    return rows.sort("place").select("user_id", "item_id", "domain", "label", "timestamp", "version")


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).split("\n", 1)[0].rstrip(".")
        raise DataError(f"{path} cannot be read ({reason})", "a file of events", "Take it out") from error
