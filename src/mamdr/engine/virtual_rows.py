"""A table's rows as they would be after steps that nobody makes.

A meta-learning objective asks what a step on some rows does to others. Its steps are made on values beside the point,
and only on the rows that its batches look up, so that they cost a batch's rows however many rows the walk has.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mamdr.engine.lazy import LazyRows


class VirtualRows:
    """The rows of one table that have been looked up since the last `clear`, in pieces: a lookup adds those it lacks.

    Args:
        rows: the table's rows in the walk's point, [n, d]; read only.
        lazy: who steps them, when the table is held lazily; it is told which rows were looked up.

    Attributes:
        places: for each piece, which rows of the point it is.
        leaves: for each piece, the rows as the point has them: what to take gradients for.
        now: for each piece, the rows as the module sees them.
    """

    def __init__(self, rows: Tensor, lazy: LazyRows | None) -> None:
        self.rows, self.lazy = rows, lazy
        self._slots = torch.full((len(rows),), -1, dtype=torch.int64, device=rows.device)
        self._count = 0
        self.places: list[Tensor] = []
        self.leaves: list[Tensor] = []
        self.now: list[Tensor] = []

    def look_up(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Where these rows of the point lie in the weight that the module computes on, and that weight."""
        wanted = torch.unique(places.long())
        fresh = wanted[self._slots.index_select(0, wanted) < 0]
        if len(fresh) or not self.now:
            self._add(fresh)
        weight = self.now[0] if len(self.now) == 1 else torch.cat(self.now)
        return self._slots.index_select(0, places.reshape(-1).long()).view(places.shape), weight

    def slot(self, place: int) -> int:
        """Where a row of the point lies in the weight; -1 for one that was not looked up."""
        return int(self._slots[place])

    def clear(self) -> None:
        """Forget what was looked up."""
        for places in self.places:
            self._slots[places] = -1
        self._count = 0
        self.places, self.leaves, self.now = [], [], []

    def _add(self, fresh: Tensor) -> None:
        with torch.enable_grad():
            leaf = self.rows.index_select(0, fresh) if self.lazy is None else self.lazy.gather(fresh)
            leaf = leaf.requires_grad_()
        self._slots[fresh] = torch.arange(self._count, self._count + len(fresh), device=fresh.device)
        self._count += len(fresh)
        self.places.append(fresh)
        self.leaves.append(leaf)
        self.now.append(leaf)
