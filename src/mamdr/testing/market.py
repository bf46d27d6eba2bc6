"""Data small enough for a test: every split has the same few ids, domains differ in size and in taste."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mamdr.data.domains import SPLITS, Dataset
from mamdr.data.ragged import Ragged
from mamdr.seeds import generator

USERS, ITEMS, HOURS, TAGS = 23, 17, 5, 6
LONGEST = 4


def tiny_market(
    sizes: Sequence[int] = (40, 26, 9, 1), *, seed: int = 0, numeric: bool = False, lists: bool = False
) -> Dataset:
    """A data set in memory.

    Args:
        sizes: training rows of each domain; 0 makes a domain without any (it still has 7 rows to score).
        seed: of everything drawn.
        numeric: add a column "price" of numbers.
        lists: add two columns of lists of up to 4 ids, some empty: "item:tags", and "user:history", which shares the
            ids of "item_id".

    >>> data = tiny_market((3, 0))
    >>> data.train.size(0), data.train.size(1), data.test.size(1), sorted(data.schema.ids)
    (3, 0, 7, ['hour', 'item_id', 'user_id'])
    """
    splits = {
        part: _rows(sizes if part == "train" else [7] * len(sizes), seed, number, numeric)
        | (_lists(sum(sizes) if part == "train" else 7 * len(sizes), seed, number) if lists else {})
        for number, part in enumerate(SPLITS)
    }
    ids = {"user_id": USERS, "item_id": ITEMS, "hour": HOURS} | ({"item:tags": TAGS} if lists else {})
    return Dataset.from_arrays(
        "tiny",
        [f"d{number}" for number in range(len(sizes))],
        splits,
        ids,
        {"item:tags": LONGEST, "user:history": LONGEST} if lists else {},
        {"user:history": "item_id"} if lists else {},
    )


def _lists(rows: int, seed: int, split: int) -> dict[str, Ragged]:
    draw = generator(seed, "tiny", "lists", split)
    lengths = {name: draw.integers(0, LONGEST + 1, rows) for name in ("item:tags", "user:history")}
    return {
        name: Ragged.by_length(draw.integers(1, TAGS if name == "item:tags" else ITEMS, count.sum()), count)
        for name, count in lengths.items()
    }


def renumbered(data: Dataset, order: Sequence[int]) -> Dataset:
    """The same rows with other numbers for the domains: number d is what number `order[d]` was.

    >>> renumbered(tiny_market((3, 5)), [1, 0]).train.size(0)
    5
    """
    number = np.argsort(order)
    splits = {}
    for name in SPLITS:
        rows = data.split(name)
        domain = np.repeat(number, np.diff(rows.offsets.numpy()))
        columns = {column: values.numpy() for column, values in rows.columns.items()}
        splits[name] = {**columns, "domain": domain, "label": rows.labels.numpy().astype(np.int64)}
    names = [data.schema.domains[old] for old in order]
    return Dataset.from_arrays(data.name, names, splits, dict(data.schema.ids))


def _rows(sizes: Sequence[int], seed: int, split: int, numeric: bool) -> dict[str, np.ndarray]:
    draw = generator(seed, "tiny", split)
    domain = np.repeat(np.arange(len(sizes)), sizes)
    user, item, hour = (draw.integers(0, size, len(domain)) for size in (USERS, ITEMS, HOURS))
    columns = {"user_id": user, "item_id": item, "hour": hour, "domain": domain}
    liked = (user * 7 + item * (3 + domain) + draw.integers(0, 3, len(domain))) % 5 < 2
    if numeric:
        columns["price"] = draw.normal(size=len(domain)).astype(np.float32)
    return columns | {"label": liked.astype(np.int64)}
