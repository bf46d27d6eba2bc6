"""Features of every kind for the synthetic market's users, items and rows.

    user:group    the common taste (category) that is strongest in the user
    user:history  up to 8 items, of 32 that the user came across, that fit the common tastes best, the best one last
    item:tags     the common traits that are strong in the item
    item:price    exp(3 + the mean of its common traits): a number that says something of its quality
    context:hour  0 to 23, which says nothing

All are functions of the market's seed and of user and item, known before any click: no label leaks.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from mamdr import seeds
from mamdr.data.draws import Floats, Ints, normals
from mamdr.data.ragged import Ragged
from mamdr.data.synthetic import MarketConfig, keys

_MET, _KEPT = 32, 8
_STRONG = 1.0  # deviations; one trait in six
_BLOCK = 4_096  # users whose acquaintances' traits are held at once


def with_features(table: pl.DataFrame, config: MarketConfig) -> pl.DataFrame:
    """The market's table with these columns.

    Cost: about a millisecond a hundred users, and a microsecond a row.

    >>> from mamdr.data.synthetic import make_market
    >>> config = MarketConfig(domains=2, samples_per_domain=100)
    >>> with_features(make_market(config), config).columns[4:]
    ['user:group', 'user:history', 'item:tags', 'item:price', 'context:hour']
    """
    users, items = (table[name].unique().sort().to_numpy() for name in ("user_id", "item_id"))
    tastes, traits = _common(config, "users", users), _common(config, "items", items)
    history = _history(config, users, tastes)
    strong = traits > _STRONG
    tags = Ragged.by_length(np.nonzero(strong)[1], strong.sum(1))
    by_user = pl.DataFrame(
        {
            "user_id": users,
            "user:group": [f"taste {taste}" for taste in tastes.argmax(1)],
            "user:history": pl.Series(history.to_lists(), dtype=pl.List(pl.Int64)),
        }
    )
    names = [[f"trait {trait}" for trait in row] for row in tags.to_lists()]
    by_item = pl.DataFrame(
        {
            "item_id": items,
            "item:tags": pl.Series(names, dtype=pl.List(pl.String)),
            "item:price": np.exp(3 + traits.mean(1)),
        }
    )
    hour = seeds.generator(config.seed, "market", "hours").integers(0, 24, len(table))
    return (
        table.join(by_user, on="user_id", how="left", maintain_order="left")
        .join(by_item, on="item_id", how="left", maintain_order="left")
        .with_columns(pl.Series("context:hour", hour))
    )


def _common(config: MarketConfig, owner: str, ids: Ints) -> Floats:
    """The common tastes or traits [N, K] (see `mamdr.data.synthetic`)."""
    found: Floats = normals(keys(config.seed, owner, 2 * config.tastes)[: config.tastes], ids).T
    return found


def _history(config: MarketConfig, users: Ints, tastes: Floats) -> Ragged:
    met_keys = keys(config.seed, "met", _MET)
    kept = []
    for begin in range(0, len(users), _BLOCK):
        block = users[begin : begin + _BLOCK]
        met = (np.abs(normals(met_keys, block).T) * 1e6).astype(np.int64) % config.items
        traits = _common(config, "items", met.ravel()).reshape(*met.shape, -1)
        fit = np.einsum("nmk,nk->nm", traits, tastes[begin : begin + _BLOCK])
        order = np.argsort(fit, axis=1, kind="stable")[:, -_KEPT:]
        kept.append(np.take_along_axis(met, order, axis=1))
    best = np.concatenate(kept)
    length = (np.abs(normals(keys(config.seed, "history", 1), users)[0]) * 1e6).astype(np.int64) % (_KEPT + 1)
    held = np.arange(_KEPT) >= _KEPT - length[:, None]
    return Ragged.by_length(best[held], length)
