"""The features of built data, as `mamdr data` shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.table import Table


def features_table(features: Iterable[Mapping[str, Any]]) -> Table:
    """A row for each entry of `describe`'s features."""
    table = Table(title="features", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("Feature", "Owner", "Kind"):
        table.add_column(column, overflow="fold")
    table.add_column("Ids", justify="right")
    table.add_column("Remarks", overflow="fold")
    for row in features:
        ids = f"{row['ids']:,}" if "ids" in row else ""
        table.add_row(row["name"], row["owner"], row["kind"], ids, "; ".join(_remarks(row)))
    return table


def _remarks(row: Mapping[str, Any]) -> list[str]:
    said = []
    if row["kind"] == "list":
        mean = "none in train" if row["mean_length"] is None else f"{row['mean_length']:.1f} on average"
        said.append(f"up to {row['longest']}, {mean}")
    if row.get("shared"):
        said.append(f"ids and embeddings of {row['shared']}")
    if row.get("vectors"):
        said.append(f"vectors of {row['vectors']}")
    if row["kind"] == "number":
        taken = row["mean"] is not None
        said.append(
            f"({row['name']} − {row['mean']:.6g}) / {row['deviation']:.6g}" if taken else "as it came"
        )
    return said
