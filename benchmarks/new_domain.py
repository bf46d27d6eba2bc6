"""A domain that joins a trained model, beside shared parameters alone and beside having been there from the start.

    python -m benchmarks.new_domain --file amazon.parquet --user user --item item --domain category \\
        --leave Gift_Cards Luxury_Beauty [--json] [--rounds 15] [--seed 1]
    python -m benchmarks.new_domain --smoke

For each domain named, a model is trained without it, published, and the domain is added as `mamdr domain add` does it.
The same rows are its test rows in all three. Keys, by domain: positives, shared, joined, trained (test AUC), rounds,
seconds (of joining).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import harness
from mamdr.data.building import build
from mamdr.data.domains import Dataset
from mamdr.data.interactions import Columns
from mamdr.data.readers import table as reader
from mamdr.data.synthetic import MarketConfig, make_market
from mamdr.registry.add import add_domain
from mamdr.training import Recipe, Run
from mamdr.training.joining import JoinOptions
from mamdr.training.train import train


def compare(rows: pl.DataFrame, leave: list[str], rounds: int, seed: int, folder: Path) -> dict[str, Any]:
    """Figures of each domain that is left out."""
    whole = build(rows, name="whole", seed=seed)
    whole.save(folder / "whole")
    ratios = dict(zip(whole.schema.domains, whole.facts.get("ctr_ratio", []), strict=False))
    trained = _train(folder / "whole", folder / "run", rounds, seed).evaluate("test").aucs
    return {
        domain: {**_joined(rows, domain, ratios, rounds, seed, folder), "trained": trained[domain]}
        for domain in leave
    }


def _joined(
    rows: pl.DataFrame, domain: str, ratios: dict[str, float], rounds: int, seed: int, folder: Path
) -> dict[str, Any]:
    others, own = rows.filter(pl.col("domain") != domain), rows.filter(pl.col("domain") == domain)
    kept = {name: ratio for name, ratio in ratios.items() if name != domain}
    data, run = folder / f"without-{domain}", folder / f"run-{domain}"
    build(others, name="without", seed=seed, ctr_ratio=kept or None).save(data)
    _train(data, run, rounds, seed)
    options = JoinOptions(ctr_ratio=ratios.get(domain, 0.25), seed=seed)
    begun = time.perf_counter()
    made = add_domain(run, domain, own, options)
    test = made.result.figures["test"]
    return {
        "positives": made.counts["positives"],
        "shared": test["shared"],
        "joined": test["own"],
        "rounds": made.result.rounds,
        "seconds": time.perf_counter() - begun,
    }


def _train(data: Path, out: Path, rounds: int, seed: int) -> Run:
    recipe = Recipe.load(
        Path(__file__).parents[1] / "recipes" / "mamdr-paper.toml",
        ["model.embedding=32", "model.hidden=[64, 32]", f"train.rounds={rounds}", f"train.seed={seed}"],
    )
    return train(recipe, Dataset.load(data), out)


def main() -> None:
    parser = harness.parser(__doc__ or "", repeats=1)
    parser.add_argument("--file", type=Path, help="interactions, CSV or Parquet")
    for name in ("user", "item", "domain"):
        parser.add_argument(f"--{name}", default="domain" if name == "domain" else f"{name}_id")
    parser.add_argument("--leave", nargs="+", help="domains to leave out, one at a time")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.smoke:
        rows = make_market(MarketConfig(domains=3, users=80, items=50, samples_per_domain=300))
        leave = [rows["domain"][0]]
    else:
        rows = reader.read([options.file], Columns(options.user, options.item, options.domain))
        leave = options.leave
    with tempfile.TemporaryDirectory() as folder:
        rounds = 1 if options.smoke else options.rounds
        figures = compare(rows, leave, rounds, options.seed, Path(folder))
    keys = ("positives", "shared", "joined", "trained", "rounds", "seconds")
    table = [["domain", *keys], *([name, *(row[key] for key in keys)] for name, row in figures.items())]
    harness.report("new_domain", {"domains": figures}, table, options.json)


if __name__ == "__main__":
    main()
