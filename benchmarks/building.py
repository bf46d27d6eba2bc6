"""From a table of positives to a built data folder: read, negatives drawn, split, coded, hashed and written.

    python -m benchmarks.building [--json] [--repeats 3] [--data FILE] [--only amazon | market]

Two tables. `amazon`: the 757,714 interactions of six Amazon categories, FILE or interactions_6of13.parquet in the
folder that MAMDR_TEST_DATA names. `market`: 10 million positives of a synthetic market of 1,000 domains, a million
users and 300,000 items (needs 6 GB). Keys, by table: wall_s and cpu_s (medians), peak_mb (after the first run), rows
(built) and positives.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import harness
from mamdr.data.building import build
from mamdr.data.interactions import Columns
from mamdr.data.readers import table
from mamdr.data.synthetic import MarketConfig, iter_market

AMAZON = ("user", "item", "category")
MARKET = ("user_id", "item_id", "domain")
POSITIVES = 10_000_000
SHAPE = MarketConfig(domains=1_000, users=1_000_000, items=300_000, samples_per_domain=42_000, overlap=0.1)
TINY = MarketConfig(domains=4, users=300, items=100, samples_per_domain=400)


def prepare(file: str, columns: list[str], folder: str) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: build a file's data from the beginning."""

    def whole() -> dict[str, Any]:
        rows = table.read([file], Columns(*columns))
        data = build(rows, name="built")
        data.save(folder, overwrite=True)
        return {
            "rows": sum(len(data.split(part)) for part in ("train", "val", "test")),
            "positives": len(rows) - sum(data.facts["duplicates"]),
        }

    return whole


def write_market(config: MarketConfig, positives: int, file: Path) -> None:
    """The first positives of a market, all of them where there are fewer."""
    parts = [rows.filter(pl.col("label") == 1).drop("label") for rows in iter_market(config, 1_000_000)]
    pl.concat(parts).head(positives).write_parquet(file)


def measure(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Both tables' figures, or those of the one that is asked for; the Amazon table's only where its file is there."""
    cases: dict[str, Any] = {}
    file = (
        options.data or Path(os.environ.get("MAMDR_TEST_DATA", "")) / "amazon2018/interactions_6of13.parquet"
    )
    if options.only != "market" and file.is_file() and not options.smoke:
        cases["amazon"] = (str(file), AMAZON)
    if options.only != "amazon":
        market = place / "market.parquet"
        write_market(TINY if options.smoke else SHAPE, POSITIVES, market)
        cases["market"] = (str(market), MARKET)
    found = {}
    for name, (path, columns) in cases.items():
        made = {"file": path, "columns": list(columns), "folder": str(place / f"{name}-built")}
        repeats = 1 if options.smoke else options.repeats
        runs = harness.interleave({name: harness.Case("benchmarks.building:prepare", made)}, repeats)[name]
        found[name] = {
            "wall_s": runs.median("wall"),
            "cpu_s": runs.median("cpu"),
            "peak_mb": runs.peak_mb,
            "rows": runs.answers[0]["rows"],
            "positives": runs.answers[0]["positives"],
        }
    return found


def main() -> None:
    made = harness.parser(__doc__ or "", repeats=3)
    made.add_argument("--data", type=Path, help="the Amazon table: user, item, category")
    made.add_argument("--only", choices=("amazon", "market"), help="one of the tables")
    options = made.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = measure(options, Path(place))
    heads = ("positives", "rows", "wall_s", "cpu_s", "peak_mb")
    lines = [[name, *(figures[head] for head in heads)] for name, figures in found.items()]
    harness.report("building", found, [["table", *heads], *lines], options.json)


if __name__ == "__main__":
    main()
