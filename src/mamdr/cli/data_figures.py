"""Built data's figures, as `mamdr data` shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from mamdr.data.describe import describe
from mamdr.data.domains import Dataset

_SHOWN = 50  # domains in the table; --json has all
_WIDE = 140  # columns of output that goes to a file or a pipe


def show(dataset: Dataset, folder: Path) -> None:
    """The figures as the paper's Table I and Tables II to IV have them."""
    figures, console = describe(dataset), Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    columns = ("Samples", "%", "Positives", "CTR ratio", "Users", "Items", "Train", "Val", "Test")
    overview = _right(f"{figures['name']} (seed {figures['seed']})", "Domain", *columns)
    for name, row in list(figures["domains"].items())[:_SHOWN]:
        overview.add_row(name, *_cells(row))
    overview.add_section()
    overview.add_row(f"{len(figures['domains']):,} domains", *_cells(figures | {"percentage": 100.0}))
    console.print(overview)
    if paper := figures["published"]:
        console.print(*_beside_the_paper(figures, paper), sep="\n")
    console.print(_features(figures["features"]))
    if (hidden := len(figures["domains"]) - _SHOWN) > 0:
        console.print(f"{hidden:,} more domains: `mamdr data describe {folder} --json` has all")
    dropped = sum(dataset.facts.get("duplicates", []))
    if dropped:
        console.print(f"{dropped:,} duplicate rows were dropped")
    console.print(f"{figures['samples_per_domain']:,.0f} samples a domain; data in {folder}")


def show_popularity(rates: Mapping[str, Mapping[str, Any]]) -> None:
    """What click rates alone get on test, domain by domain."""
    table = _right("Test AUC of train's click rates", "Domain", *(f"by {column}" for column in rates))
    for name in list(next(iter(rates.values()))["aucs"])[:_SHOWN]:
        table.add_row(name, *(_auc(found["aucs"][name]) for found in rates.values()))
    table.add_section()
    table.add_row("mean", *(_auc(found["mean_auc"]) for found in rates.values()))
    Console().print(table)


def _auc(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"


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


def _beside_the_paper(figures: dict[str, Any], paper: dict[str, Any]) -> list[Table | str]:
    """Ours and the paper's figures as its Table I and Tables II to IV have them, and what is wrong with its own."""
    keys = {"users": "Users", "items": "Items", "train": "Train", "val": "Val", "test": "Test"}
    keys |= {"samples": "Samples", "samples_per_domain": "Samples / Domain"}
    totals = _right("beside the paper's", "", *keys.values())
    for who, row in (("ours", figures), ("paper", paper)):
        totals.add_row(who, *(f"{row[key]:,.0f}" for key in keys))
    domains = _right("", "Domain", "Samples", "paper", "%", "paper", "CTR ratio", "paper")
    for name, row in list(figures["domains"].items())[:_SHOWN]:
        samples, share, _, ratio, *_ = _cells(row)
        said = paper["domains"].get(name)
        printed = ("", "", "") if said is None else _printed(said)
        domains.add_row(name, samples, printed[0], share, printed[1], ratio, printed[2])
    return [totals, domains, *paper["remarks"]]


def _printed(said: dict[str, Any]) -> tuple[str, str, str]:
    share = "" if said["percentage"] is None else f"{said['percentage']:.2f}"
    return f"{said['samples']:,}", share, f"{said['ctr_ratio']:.2f}"


def _right(title: str, first: str, *heads: str) -> Table:
    """A table whose columns but the first are numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first, overflow="fold")
    for head in heads:
        table.add_column(head, justify="right", overflow="fold")
    return table


def _features(features: Iterable[Mapping[str, Any]]) -> Table:
    """A row for each entry of `describe`'s features."""
    table = Table(title="Features", title_justify="left", box=box.SIMPLE_HEAD)
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
