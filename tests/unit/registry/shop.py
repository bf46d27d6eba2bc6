"""A small market, a run on it, and a registry that has it: what tests of registry and service start from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

import mamdr
from mamdr.feature_store import create
from mamdr.registry import Registry, publish
from mamdr.seeds import generator
from mamdr.training import Recipe, Run
from mamdr.training.train import train

MODEL = {"name": "mlp", "embedding": 4, "hidden": [8]}


@dataclass(frozen=True)
class Shop:
    """Where everything lies."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def features(self) -> Path:
        return self.folder / "features"

    @property
    def registry(self) -> Registry:
        return Registry(self.folder / "registry")

    def copy(self, folder: Path) -> Shop:
        """The same somewhere else, to do harm to."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Shop(folder)


def open_shop(folder: Path, *, features: bool = False, domains: int = 5, **tables: Any) -> Shop:
    """Make a market, train two rounds on it, publish the run and let it serve."""
    shop = Shop(folder)
    market = mamdr.synthetic_market(
        domains=domains, users=80, items=50, samples_per_domain=300, features=features
    )
    market.save(shop.data)
    shop_train(shop, shop.run, **tables)
    create(shop.data, shop.features)
    shop.registry.promote(publish(shop.run, shop.registry))
    return shop


def shop_train(shop: Shop, out: Path, **tables: Any) -> Run:
    """Train a run on a shop's market."""
    recipe = {
        "model": MODEL,
        "strategy": {"name": "mamdr", "num_helpers": 1},
        "walk": {"batch_size": 64},
        "inner": {"lr": 0.01},
        "train": {"rounds": 2, "patience": 0, "shares": [0.5, 1.0]},
    }
    return train(Recipe.parse(recipe | tables), mamdr.Dataset.load(shop.data), out)


def newcomer_rows(count: int = 400, known: int = 30, items: int = 40) -> pl.DataFrame:
    """Positives of a new domain, where users and items are known and unknown, and a few items are liked by most."""
    draw = generator(5, "newcomer")
    users = draw.integers(0, known * 2, count)
    liked = (draw.random(count) ** 3 * items).astype(int)
    names = [str(item if item % 2 else 1000 + item) for item in liked.tolist()]
    return pl.DataFrame({"user_id": [str(user) for user in users.tolist()], "item_id": names})
