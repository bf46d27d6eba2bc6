"""Made-up interaction tables with the sizes of the paper's data sets: what is timed is their shape, not their meaning.

Users overlap between domains and items hardly do, ids follow a long tail, labels are drawn by a CTR ratio of 0.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Floats = NDArray[np.float32]

# Table IV, D1 to D10; and Table II's percentages.
TAOBAO_SAMPLES = (13_255, 7_007, 20_130, 62_460, 11_563, 7_190, 4_185, 24_052, 5_582, 17_860)
TAOBAO_TRAIN, TAOBAO_USERS, TAOBAO_ITEMS = 92_137, 23_778, 6_932  # Table I
AMAZON_PERCENT = (7.11, 23.17, 17.87, 4.10, 31.80, 15.94)
AMAZON_ROWS, AMAZON_USERS, AMAZON_ITEMS = 1_000_000, 100_000, 40_000
AMAZON6_TRAIN, AMAZON6_SAMPLES, AMAZON6_USERS, AMAZON6_ITEMS = (
    3_372_666,
    9_968_333,
    445_789,
    172_653,
)  # Table I
WIDTH = 128
POSITIVES = 0.3 / 1.3


@dataclass(frozen=True)
class Table:
    """Train rows of several domains, grouped by domain, and frozen features where the data set has them.

    Attributes:
        user, item, domain: int32 [N].
        label: float32 [N], 0 or 1.
        users, items: numbers of ids.
        user_features, item_features: float32 [ids, 128] or None where embeddings are trained.
    """

    name: str
    user: Ids
    item: Ids
    domain: Ids
    label: Floats
    users: int
    items: int
    user_features: Floats | None = None
    item_features: Floats | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def sizes(self) -> list[int]:
        """Train rows of each domain."""
        return [int(n) for n in np.bincount(self.domain)]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "counts.npy", np.array([self.users, self.items]))
        for key in ("user", "item", "domain", "label", "user_features", "item_features"):
            if getattr(self, key) is not None:
                np.save(folder / f"{key}.npy", getattr(self, key))

    @classmethod
    def load(cls, folder: str | Path) -> Table:
        where = Path(folder)
        users, items = np.load(where / "counts.npy")
        arrays = {p.stem: np.load(p) for p in where.glob("*.npy") if p.stem != "counts"}
        return cls(name=where.name, users=int(users), items=int(items), **arrays)


def taobao(seed: int = 0, scale: float = 1.0) -> Table:
    """Taobao-10: ten domains, 92,137 train rows, 23,778 users, 6,932 items, frozen features of 128."""
    draw = np.random.default_rng(seed)
    rows = _shares(TAOBAO_SAMPLES, round(TAOBAO_TRAIN * scale))
    users, items = max(20, round(TAOBAO_USERS * scale)), max(20, round(TAOBAO_ITEMS * scale))
    user, item, domain, label = _interactions(draw, rows, users, items, extra_users=0.3, extra_items=0.2)
    return Table(
        "taobao",
        user,
        item,
        domain,
        label,
        users,
        items,
        draw.standard_normal((users, WIDTH), dtype=np.float32) * 0.1,
        draw.standard_normal((items, WIDTH), dtype=np.float32) * 0.1,
    )


def amazon(seed: int = 0, scale: float = 1.0) -> Table:
    """Amazon-6's shape: six domains, 1,000,000 rows, 100,000 users and 40,000 items with trained embeddings."""
    return _amazon(AMAZON_ROWS, AMAZON_USERS, AMAZON_ITEMS, seed, scale)


def amazon6(seed: int = 0, scale: float = 1.0) -> Table:
    """Amazon-6 whole: six domains, 3,372,666 train rows, 445,789 users and 172,653 items with trained embeddings."""
    return _amazon(AMAZON6_TRAIN, AMAZON6_USERS, AMAZON6_ITEMS, seed, scale)


def amazon6_samples(seed: int = 0, scale: float = 1.0) -> Table:
    """The same ids with as many train rows as Amazon-6 has samples in all its splits, 9,968,333."""
    return _amazon(AMAZON6_SAMPLES, AMAZON6_USERS, AMAZON6_ITEMS, seed, scale)


def _amazon(all_rows: int, all_users: int, all_items: int, seed: int, scale: float) -> Table:
    draw = np.random.default_rng(seed)
    rows = _shares(AMAZON_PERCENT, round(all_rows * scale))
    users, items = max(20, round(all_users * scale)), max(20, round(all_items * scale))
    columns = _interactions(draw, rows, users, items, extra_users=0.6, extra_items=0.0)
    return Table("amazon", *columns, users, items)


def spread(table_rows: int, seed: int = 0, rows: int = 8 * 1024) -> Table:
    """Two domains that touch the same number of rows, however large the tables they lie in.

    Each domain has `rows` rows (eight batches) with up to 4,000 users and 1,500 items at random places of a user
    table of ¾ and an item table of ¼ of `table_rows`.
    """
    draw = np.random.default_rng(seed)
    users, items = table_rows - table_rows // 4, table_rows // 4
    user, item = [], []
    for _ in range(2):
        user.append(draw.choice(draw.integers(users, size=min(4_000, rows // 2)), size=rows))
        item.append(draw.choice(draw.integers(items, size=min(1_500, rows // 5)), size=rows))
    return Table(
        "spread",
        np.concatenate(user).astype(np.int32),
        np.concatenate(item).astype(np.int32),
        np.repeat(np.arange(2, dtype=np.int32), rows),
        (draw.random(2 * rows) < POSITIVES).astype(np.float32),
        users,
        items,
    )


def many(domains: int, samples: int, seed: int = 0, users: int = 200_000, items: int = 50_000) -> Table:
    """Domains of one size each, all trained, over tables of one size.

    A domain draws its ids from pools of 3/4 and 3/8 of its number of rows, so that what it touches does not depend on
    how many others there are.
    """
    draw = np.random.default_rng(seed)
    owner = np.repeat(np.arange(domains, dtype=np.int32), samples)
    user, item = (
        _of_pools(draw, ids, domains, samples, width) for ids, width in ((users, 3 / 4), (items, 3 / 8))
    )
    label = (draw.random(len(owner)) < POSITIVES).astype(np.float32)
    return Table("many", user, item, owner, label, users, items)


def _of_pools(draw: np.random.Generator, ids: int, domains: int, samples: int, width: float) -> Ids:
    """For each domain `samples` ids out of a pool of `width * samples`, pools drawn from all ids."""
    pool = draw.integers(ids, size=(domains, max(1, round(width * samples))))
    return (
        np.take_along_axis(pool, draw.integers(pool.shape[1], size=(domains, samples)), 1)
        .ravel()
        .astype(np.int32)
    )


def _shares(weights: tuple[float, ...], total: int) -> list[int]:
    """`total` split by weights into whole numbers of at least 1 that add up to it."""
    exact = np.array(weights) / sum(weights) * total
    parts = np.maximum(np.floor(exact).astype(int), 1)
    for position in np.argsort(parts - exact)[: max(0, total - int(parts.sum()))]:
        parts[position] += 1
    return [int(n) for n in parts]


def _interactions(
    draw: np.random.Generator, rows: list[int], users: int, items: int, extra_users: float, extra_items: float
) -> tuple[Ids, Ids, Ids, Floats]:
    share = np.array(rows) / sum(rows)
    user_pools = _pools(draw, users, share, extra_users)
    item_pools = _pools(draw, items, share, extra_items)
    user = np.concatenate([_long_tail(draw, pool, n) for pool, n in zip(user_pools, rows, strict=True)])
    item = np.concatenate([_long_tail(draw, pool, n) for pool, n in zip(item_pools, rows, strict=True)])
    domain = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
    label = (draw.random(len(domain)) < POSITIVES).astype(np.float32)
    return user, item, domain, label


def _pools(draw: np.random.Generator, ids: int, share: NDArray[np.float64], extra: float) -> list[Ids]:
    """Which ids occur in which domain: each has one home, and `extra` more memberships an id on average."""
    home = draw.choice(len(share), size=ids, p=share)
    also = draw.choice(len(share), size=round(extra * ids), p=share)
    who = draw.integers(ids, size=len(also))
    pools = []
    for d in range(len(share)):
        pool = np.unique(
            np.concatenate([np.flatnonzero(home == d), who[also == d], draw.integers(ids, size=1)])
        )
        pools.append(draw.permutation(pool).astype(np.int32))
    return pools


def _long_tail(draw: np.random.Generator, pool: Ids, rows: int) -> Ids:
    """`rows` ids of the pool: each once if they fit, the rest with weight 1 / (rank + 10)^0.8, shuffled."""
    once = pool[:rows]
    weight = 1.0 / (np.arange(len(pool)) + 10.0) ** 0.8
    more = draw.choice(pool, size=rows - len(once), p=weight / weight.sum())
    return draw.permutation(np.concatenate([once, more])).astype(np.int32)
