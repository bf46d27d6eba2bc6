"""Bytes between workers and shards in a round of Domain Negotiation, with the caches and without, by number of units.

    python -m benchmarks.ray_cache [--units 1 2 4 8] [--json]

Every byte is counted where it moves, by shards and workers of this process (the counters are the same on a cluster).
With caches a unit pulls its rows once and pushes what it moved once; without, each mini-batch's rows come and go.
Data: Taobao-30's numbers of rows, users, items and domains by Table I
(domains of drawn sizes), and the shape of Amazon-6; ids by a long tail, embeddings of 64, batches of 1024.
Key: taobao_fewer, amazon_fewer (times fewer bytes at one unit).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import harness, shapes
from mamdr.data.domains import Dataset
from mamdr.engine import WalkOptions
from mamdr.engine.inner import SGD
from mamdr.engine.ray.here import Here
from mamdr.engine.ray.trainer import ClusterTrainer
from mamdr.models import build
from mamdr.strategies import DomainNegotiation
from mamdr.training import TrainOptions
from mamdr.training.cluster import ClusterOptions

WIDTH = 64
TAOBAO_30_ROWS, TAOBAO_30_USERS, TAOBAO_30_ITEMS, TAOBAO_30 = 394_805, 99_143, 29_945, 30
"""Taobao-30 by Table I: train rows, users, items, domains."""


def long_tailed(name: str, sizes: list[int], users: int, items: int, seed: int = 0) -> Dataset:
    """Domains of these sizes; each has a share of the users and its own items, popular ones far ahead (Zipf, 1.05)."""
    draw = np.random.default_rng(seed)
    total = sum(sizes)
    domain = np.repeat(np.arange(len(sizes)), sizes)
    user, item, start = np.empty(total, np.int64), np.empty(total, np.int64), 0
    for size in sizes:
        rows = slice(start, start + size)
        own_users = max(10, min(users, round(users * 1.5 * size / total)))
        own_items = max(10, round(items * size / total))
        known = draw.permutation(users)[:own_users]
        user[rows] = known[_zipf(draw, own_users, size)]
        first = round(items * start / total)
        item[rows] = np.minimum(first + _zipf(draw, own_items, size), items - 1)
        start += size
    labels = (draw.random(total) < shapes.POSITIVES).astype(np.int64)
    train = {"user_id": user, "item_id": item, "domain": domain, "label": labels}
    few = {key: values[:: max(1, total // 2000)] for key, values in train.items()}
    few["label"] = np.arange(len(few["label"])) % 2
    splits = {"train": train, "val": few, "test": few}
    names = [f"D{number}" for number in range(len(sizes))]
    return Dataset.from_arrays(name, names, splits, {"user_id": users, "item_id": items})


def _zipf(draw: np.random.Generator, ids: int, size: int) -> np.ndarray[Any, Any]:
    weights = 1.0 / np.arange(1, ids + 1) ** 1.05
    return draw.choice(ids, size=size, p=weights / weights.sum())


def moved(data: Dataset, units: int, cache: bool) -> dict[str, Any]:
    """What a round moved."""
    told: list[dict[str, Any]] = []

    class Hears:
        def hear(self, event: dict[str, Any]) -> None:
            if event["event"] == "round":
                told.append(event["cluster"]["traffic"])

        def walked(self, rows: int) -> None: ...

        def close(self) -> None: ...

    with tempfile.TemporaryDirectory() as folder:
        trainer = ClusterTrainer(
            build("mlp", data.schema, {"embedding": WIDTH, "hidden": [8]}, seed=1),
            data,
            DomainNegotiation(),
            TrainOptions(rounds=1),
            WalkOptions(inner=SGD(lr=0.1), rows="sparse"),
            folder=Path(folder) / "run",
            cluster=ClusterOptions(units=units, cache=cache),
            launcher=Here(),
            listeners=[Hears()],
        )
        scoring = trainer._scored
        trainer._scored = lambda state: _apart(trainer, scoring, state)  # type: ignore[method-assign]
        trainer.fit()
    return told[0]


def _apart(trainer: ClusterTrainer, scoring: Any, state: Any) -> Any:
    """Scoring, whose traffic is not what is measured."""
    facts = trainer._facts()
    figures = scoring(state)
    trainer._facts()
    trainer._facts = lambda: facts  # type: ignore[method-assign]
    return figures


def measure(sets: dict[str, Dataset], units: list[int]) -> dict[str, Any]:
    """MB by data set, units and whether there are caches, and how many times fewer they make it."""
    figures: dict[str, Any] = {"mb": {}, "fewer": {}}
    for name, data in sets.items():
        for count in units:
            each = [moved(data, count, cache) for cache in (True, False)]
            mb = [(one["bytes_pulled"] + one["bytes_pushed"]) / 1e6 for one in each]
            mb[1] -= mb[0]  # what mini-batches moved beside what the walk itself did
            figures["mb"][f"{name} {count}"] = {"cache": mb[0], "without": mb[1]}
            figures["fewer"][f"{name} {count}"] = mb[1] / mb[0]
        figures[f"{name}_fewer"] = figures["fewer"][f"{name} {units[0]}"]
    return figures


def main() -> None:
    torch.set_num_threads(1)
    parser = harness.parser(__doc__ or "", repeats=1)
    parser.add_argument("--units", type=int, nargs="+", default=[1, 2, 4, 8])
    options = parser.parse_args()
    if options.smoke:
        sets = {
            "taobao": long_tailed("taobao", [3000, 2000], 300, 100),
            "amazon": long_tailed("amazon", [4000], 99, 50),
        }
        figures = measure(sets, [1, 2])
    else:
        draw = np.random.default_rng(30)
        shares = draw.lognormal(0.0, 0.9, TAOBAO_30)
        taobao = [int(n) for n in np.maximum(600, shares / shares.sum() * TAOBAO_30_ROWS)]
        amazon = [int(shapes.AMAZON_ROWS * share / 100) for share in shapes.AMAZON_PERCENT]
        sets = {
            "taobao": long_tailed("taobao", taobao, TAOBAO_30_USERS, TAOBAO_30_ITEMS),
            "amazon": long_tailed("amazon", amazon, shapes.AMAZON_USERS, shapes.AMAZON_ITEMS),
        }
        figures = measure(sets, options.units)
    table: list[list[object]] = [["data, units", "MB with caches", "MB without", "times fewer"]]
    for name, mb in figures["mb"].items():
        table.append([name, mb["cache"], mb["without"], figures["fewer"][name]])
    harness.report("ray_cache", figures, table, options.json)


if __name__ == "__main__":
    main()
