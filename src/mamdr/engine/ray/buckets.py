"""Where a row lives: (table, id) -> bucket -> shard. Re-sizing moves whole buckets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mamdr.errors import ConfigError
from mamdr.parameters import Ids

_MIX = (-7046029254386353131, -4658895280553007687, -7723592293110705685)
"""Odd 64-bit constants; products wrap."""


@dataclass(frozen=True)
class Buckets:
    """Rows to shards.

    Args:
        count: number of buckets.
        shards: P; must divide `count`, so that all shards hold the same share.

    Raises:
        ConfigError: the shards do not divide the buckets.
    """

    count: int
    shards: int

    def __post_init__(self) -> None:
        if self.count % self.shards:
            near = [n for n in range(1, self.count + 1) if self.count % n == 0]
            near = sorted(near, key=lambda n: abs(n - self.shards))[:3]
            raise ConfigError(
                f"{self.shards} shards for {self.count} buckets",
                "a number of shards that divides the buckets",
                f"Take {', '.join(map(str, sorted(near)))} shards, or another cluster.buckets in a new run",
            )

    def of(self, table: int, ids: Tensor) -> Tensor:
        """The bucket of each row, int64 in [0, count)."""
        apart = ((table + 1) * _MIX[1] + (1 << 63)) % (1 << 64) - (1 << 63)  # as 64 bits would wrap
        mixed = (ids + 1) * _MIX[0] + apart
        mixed = (mixed ^ (mixed >> 31)) * _MIX[2]
        return (mixed ^ (mixed >> 29)).remainder(self.count)

    def shard_of(self, table: int, ids: Tensor) -> Tensor:
        """The shard of each row, int64 in [0, shards)."""
        return torch.div(self.of(table, ids), self.count // self.shards, rounding_mode="floor")

    def split(self, ids: Ids) -> list[tuple[Ids, Ids]]:
        """For each shard its rows of these, and their places among them."""
        if self.shards == 1:
            return [(ids, tuple(torch.arange(len(rows)) for rows in ids))]
        owners = [self.shard_of(table, rows) for table, rows in enumerate(ids)]
        places = [
            tuple(torch.nonzero(owner == shard).squeeze(1) for owner in owners)
            for shard in range(self.shards)
        ]
        return [(tuple(r[p] for r, p in zip(ids, at, strict=True)), at) for at in places]
