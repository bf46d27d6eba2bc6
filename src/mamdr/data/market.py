"""The synthetic market as a built data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mamdr.data.building import build
from mamdr.data.domains import Dataset
from mamdr.data.larger import build_larger, rows_in
from mamdr.data.market_features import with_features
from mamdr.data.synthetic import MarketConfig, best_auc, iter_market, make_market

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
    options = _options(config)
    table = make_market(config, progress=progress)
    if not features:
        return build(table, name=name, seed=config.seed, options=options)
    shared = {"user:history": "item_id"}
    options["features"] = True
    return build(with_features(table, config), name=name, seed=config.seed, shared=shared, options=options)


def write_market(
    folder: str | Path,
    *,
    memory: int,
    name: str = "synthetic",
    overwrite: bool = False,
    progress: Progress | None = None,
    **dials: Any,
) -> Dataset:
    """The same market (without features) as a data folder, however large, to the bytes that saving it would give.

    Args:
        memory: bytes for the rows that are held at once (see `build_larger`).
        name, progress, dials: as `synthetic_market`.

    Cost: three times that of drawing the rows, about a microsecond each; disk for the table twice while it is made.
    """
    config = MarketConfig(**dials)
    rows = max(1, rows_in(memory, ("label",)) // 4)
    return build_larger(
        iter_market(config, rows, progress=progress),
        Path(folder),
        memory=memory,
        name=name,
        seed=config.seed,
        options=_options(config),
        overwrite=overwrite,
        progress=progress,
    )


def _options(config: MarketConfig) -> dict[str, Any]:
    return {"market": asdict(config), "best_auc": best_auc(config).mean}
