"""Data small enough for a test: every split has the same few ids, domains differ in size and in taste."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mamdr.data.domains import Dataset
from mamdr.seeds import generator

USERS, ITEMS, HOURS = 23, 17, 5


def tiny_market(sizes: Sequence[int] = (40, 26, 9, 1), *, seed: int = 0, numeric: bool = False) -> Dataset:
    """A data set in memory.

    Args:
        sizes: training rows of each domain; 0 makes a domain without any (it still has 7 rows to score).
        seed: of everything drawn.
        numeric: add a column "price" of numbers.

    >>> data = tiny_market((3, 0))
    >>> data.train.size(0), data.train.size(1), data.test.size(1), sorted(data.schema.ids)
    (3, 0, 7, ['hour', 'item_id', 'user_id'])
    """
    splits = {
        "train": _rows(sizes, seed, 0, numeric),
        "val": _rows([7] * len(sizes), seed, 1, numeric),
        "test": _rows([7] * len(sizes), seed, 2, numeric),
    }
    ids = {"user_id": USERS, "item_id": ITEMS, "hour": HOURS}
    return Dataset.from_arrays("tiny", [f"d{number}" for number in range(len(sizes))], splits, ids)


def _rows(sizes: Sequence[int], seed: int, split: int, numeric: bool) -> dict[str, np.ndarray]:
    draw = generator(seed, "tiny", split)
    domain = np.repeat(np.arange(len(sizes)), sizes)
    user, item, hour = (draw.integers(0, size, len(domain)) for size in (USERS, ITEMS, HOURS))
    columns = {"user_id": user, "item_id": item, "hour": hour, "domain": domain}
    liked = (user * 7 + item * (3 + domain) + draw.integers(0, 3, len(domain))) % 5 < 2
    if numeric:
        columns["price"] = draw.normal(size=len(domain)).astype(np.float32)
    return columns | {"label": liked.astype(np.int64)}
