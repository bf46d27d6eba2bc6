"""A share of the users, each with everything they did: what wide grids run on where the whole takes too long."""

from __future__ import annotations

import polars as pl

from mamdr.errors import ConfigError
from mamdr.seeds import generator


def sample_users(table: pl.DataFrame, share: float, seed: int) -> pl.DataFrame:
    """The rows of a random share of the users, in order; the same for the same users and seed.

    Args:
        table: a canonical table.
        share: in (0, 1]; 1 is the table itself.
        seed: of the draw.

    Raises: ConfigError for a share outside (0, 1].

    >>> rows = pl.DataFrame({"user_id": ["a", "b", "a", "c"], "item_id": [1, 2, 3, 4]})
    >>> sample_users(rows, 1.0, 1).height, sample_users(rows, 0.34, 1)["user_id"].n_unique()
    (4, 1)
    """
    if not 0 < share <= 1:
        raise ConfigError(f"a share of {share:g} of the users", "above 0 and at most 1", "For example 0.1")
    if share == 1:
        return table
    users = table["user_id"].unique().sort()
    count = max(1, round(share * len(users)))
    chosen = generator(seed, "users").choice(len(users), size=count, replace=False)
    return table.filter(pl.col("user_id").is_in(users.gather(sorted(chosen.tolist())).implode()))
