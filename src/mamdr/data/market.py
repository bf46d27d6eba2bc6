"""The synthetic market as a built data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mamdr.data.build import build
from mamdr.data.domains import Dataset
from mamdr.data.market_features import with_features
from mamdr.data.synthetic import MarketConfig, best_auc, make_market

Progress = Callable[[str, int, int], None]


def synthetic_market(
    *, name: str = "synthetic", features: bool = False, progress: Progress | None = None, **dials: Any
) -> Dataset:
    """A market to try things on, split and coded as any other data set.

    Args:
        name: of the data set.
        features: whether users, items and rows have features of every kind (see `mamdr.data.market_features`); the
            users' histories share the items' ids.
        progress: called with a text, the rows made so far and the rows to make.
        dials: of `mamdr.data.synthetic.MarketConfig`; the same dials give the same bytes. The data set's options
            hold them under "market", and the best possible mean AUC under "best_auc".

    Raises:
        ConfigError: a value out of range.
    """
    config = MarketConfig(**dials)
    options: dict[str, Any] = {"market": asdict(config), "best_auc": best_auc(config).mean}
    table = make_market(config, progress=progress)
    if not features:
        return build(table, name=name, seed=config.seed, options=options)
    shared = {"user:history": "item_id"}
    options["features"] = True
    return build(with_features(table, config), name=name, seed=config.seed, shared=shared, options=options)


def write_market(folder: Path, **dials: Any) -> None:
    """TEMP"""
    synthetic_market(**dials).save(folder)
