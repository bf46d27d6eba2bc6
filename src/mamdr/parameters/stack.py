"""Points of many walks side by side: W points, and of table t the n_t rows of all of them in one tensor.

A small walk's pull by itself is some dozens of operations on a few values, which cost what it takes to ask for them.
Here each is done once for all walks (`push_all` does the same for pushes).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mamdr.parameters.point import Point
from mamdr.parameters.space import Ids, Space
from mamdr.parameters.store import LocalStore, Overlay, Store, layers


class Layout:
    """Which rows each of many points has, one point's after another's.

    Args:
        space: the points'.
        ids: of each point.
    """

    def __init__(self, space: Space, ids: Sequence[Ids]) -> None:
        self.space, self.ids = space, ids
        self.counts = [np.array([point[t].numel() for point in ids], dtype=np.int64) for t in self._tables]

    @property
    def _tables(self) -> range:
        return range(len(self.space.tables))

    @cached_property
    def starts(self) -> list[list[int]]:
        """For each table where each point's rows begin, and where the last one's end."""
        return [[0, *np.cumsum(counts).tolist()] for counts in self.counts]

    @cached_property
    def rows(self) -> list[Tensor]:
        """For each table the ids of all points, [n_t]."""
        return [torch.cat([point[t] for point in self.ids]) for t in self._tables]

    @cached_property
    def keys(self) -> list[Tensor]:
        """For each table w · R_t + id for id of point w, [n_t], on the space's device: sorted, as points come one after
        another."""
        return [rows.add(self._shifts(t)).to(self.space.device) for t, rows in enumerate(self.rows)]

    def _shifts(self, table: int) -> Tensor:
        firsts = torch.arange(len(self.ids)) * self.space.tables[table].rows
        return torch.repeat_interleave(firsts, torch.from_numpy(self.counts[table]))

    @classmethod
    def of_keys(cls, space: Space, points: int, keys: Sequence[Tensor]) -> Layout:
        """The layout with these keys, of so many points; a table's ids are views of one tensor."""
        each = []
        for found, table in zip(keys, space.tables, strict=True):
            owner = torch.div(found, table.rows, rounding_mode="floor")
            counts = torch.bincount(owner, minlength=points).tolist()
            each.append((found - owner * table.rows).cpu().split_with_sizes(counts))
        return cls(space, list(zip(*each, strict=True)) if each else [()] * points)


class Stack:
    """Points side by side.

    Args:
        layout: their rows.
        dense: [W, P].
        tables: for each table the rows of all points, [n_t, d_t].
    """

    def __init__(self, layout: Layout, dense: Tensor, tables: list[Tensor]) -> None:
        self.layout, self.dense, self.tables = layout, dense, tables

    @classmethod
    def of(cls, layout: Layout, points: Iterable[Point]) -> Stack:
        """A copy of these points."""
        pieces = [point.pieces() for point in points]
        return cls(layout, torch.stack([dense for dense, *_ in pieces]), tables_of(layout.space, pieces))

    @classmethod
    def zeros(cls, layout: Layout) -> Stack:
        space = layout.space
        tables = [
            torch.zeros(starts[-1], table.dim, dtype=space.dtype, device=space.device)
            for starts, table in zip(layout.starts, space.tables, strict=True)
        ]
        dense = torch.zeros(len(layout.ids), space.dense_size, dtype=space.dtype, device=space.device)
        return cls(layout, dense, tables)

    @classmethod
    def pull(cls, layout: Layout, stores: Sequence[Store]) -> Stack:
        """What each store's own pull gives for its rows, to the bit.

        Cost: all values, in a few operations, where the stores are overlays on parameters of this process; a pull of
        each where they are not.
        """
        base, over = zip(*map(layers, stores), strict=True)
        space = base[0].space
        one = isinstance(base[0], LocalStore) and all(store is base[0] for store in base)
        if not one or space.part is not space:
            return cls.of(layout, [store.pull(ids) for store, ids in zip(stores, layout.ids, strict=True)])
        found = base[0]
        dense = found.dense.repeat(len(stores), 1)
        tables = [
            table.index_select(0, rows.to(table.device))
            for table, rows in zip(found.tables, layout.rows, strict=True)
        ]
        stack = cls(layout, dense, tables)
        for level in range(max(map(len, over))):
            stack._lay_on({w: each[level] for w, each in enumerate(over) if level < len(each)})
        return stack

    def _lay_on(self, overlays: dict[int, Overlay]) -> None:
        """Add an overlay's part to the point of this number, for each of them."""
        shares = {overlay.share for overlay in overlays.values()}
        for share in shares:
            parts = {
                w: overlay.specific[overlay.domain]
                for w, overlay in overlays.items()
                if overlay.share == share
            }
            pieces = [part.pieces() for part in parts.values()]
            own = self.dense.unbind(0)
            torch._foreach_add_([own[w] for w in parts], [dense for dense, *_ in pieces], alpha=share)
            for t, rows in enumerate(tables_of(self.layout.space, pieces)):
                here, there = places_of(self.layout.keys[t], self._keys(t, parts).to(rows.device))
                self.tables[t].index_add_(0, here, rows[there], alpha=share)

    def _keys(self, table: int, parts: dict[int, Point]) -> Tensor:
        """Keys of the rows of parts that belong to the points of these numbers."""
        size = self.layout.space.tables[table].rows
        firsts = torch.tensor([w * size for w in parts])
        counts = torch.tensor([part.ids[table].numel() for part in parts.values()])
        return torch.cat([part.ids[table] for part in parts.values()]) + torch.repeat_interleave(
            firsts, counts
        )

    def subtract(self, other: Stack) -> Stack:
        """Take another stack of the same layout off, in place."""
        self.dense.sub_(other.dense)
        for rows, theirs in zip(self.tables, other.tables, strict=True):
            rows.sub_(theirs)
        return self

    def points(self) -> list[Point]:
        """Copies of the points; they are views of one buffer."""
        layout, space = self.layout, self.layout.space
        rows = [
            table.view(-1).split_with_sizes((counts * table.shape[1]).tolist())
            for table, counts in zip(self.tables, layout.counts, strict=True)
        ]
        pieces = [piece for point in zip(self.dense.unbind(0), *rows, strict=True) for piece in point]
        sizes = space.dense_size + sum(
            (c * t.dim for c, t in zip(layout.counts, space.tables, strict=True)),
            np.zeros(len(layout.ids), dtype=np.int64),
        )
        flats = torch.cat(pieces).split_with_sizes(sizes.tolist())
        return [Point(space, ids, flat) for ids, flat in zip(layout.ids, flats, strict=True)]


def tables_of(space: Space, pieces: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Of points' pieces the rows of each table, [n_t, d_t]."""
    return [
        torch.cat([each[1 + t] for each in pieces]).view(-1, table.dim)
        for t, table in enumerate(space.tables)
    ]


def places_of(keys: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Where the wanted keys lie among `keys` (sorted), for those that are there; and which of the wanted they are."""
    if not keys.numel():
        return keys, keys
    found = torch.searchsorted(keys, wanted).clamp_(max=keys.numel() - 1)
    there = torch.nonzero(keys[found] == wanted).squeeze(1)
    return found[there], there
