"""A point: values for a space's dense part and for some of its rows, in one flat buffer.

Pulled copies, specific parts, displacements and optimizers' moments are all points, so that adding, subtracting and
scaling them is one vector operation each. Layout: `[dense | rows of table 0 | rows of table 1 | ...]`, a table's rows
in the order of their sorted ids.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from mamdr.parameters.space import Ids, Space

Allocate = Callable[[int], Tensor]
"""Makes a flat buffer of so many values; its content is not defined."""


class Point:
    """A set of parameter values.

    Args:
        space: what the values mean.
        ids: the rows that the point holds, per table.
        flat: the values, [P + sum over t of len(ids[t]) * d_t].
    """

    __slots__ = ("_offsets", "_sizes", "flat", "ids", "space")

    def __init__(self, space: Space, ids: Ids, flat: Tensor) -> None:
        self.space, self.ids, self.flat = space, ids, flat
        self._sizes = space.sizes(ids)
        self._offsets = list(itertools.accumulate(self._sizes))

    @classmethod
    def zeros(cls, space: Space, ids: Ids | None = None) -> Point:
        """All values zero; without `ids` the dense part alone."""
        ids = space.no_ids() if ids is None else ids
        return cls(space, ids, torch.zeros(space.size(ids), dtype=space.dtype, device=space.device))

    @property
    def dense(self) -> Tensor:
        """A view of the dense part, [P]."""
        return self.flat[: self._offsets[0]]

    def rows(self, table: int) -> Tensor:
        """A view of a table's rows, [len(ids[table]), d_t]."""
        start, stop = self._offsets[table], self._offsets[table + 1]
        return self.flat[start:stop].view(-1, self.space.tables[table].dim)

    def pieces(self) -> tuple[Tensor, ...]:
        """Flat views of the dense part and then of each table's rows."""
        return self.flat.split_with_sizes(self._sizes)

    def parameter(self, index: int) -> Tensor:
        """A view of the dense parameter `space.dense[index]` in its own shape."""
        part = self.space.dense[index]
        return self.flat[part.offset : part.offset + part.size].view(part.shape)

    def copy(self) -> Point:
        return Point(self.space, self.ids, self.flat.clone())

    def at(self, ids: Ids, allocate: Allocate | None = None) -> Point:
        """The same values with exactly these rows; rows that the point lacks are zero. Cost: the rows asked for."""
        size = self.space.size(ids)
        flat = (
            allocate(size) if allocate else torch.empty(size, dtype=self.flat.dtype, device=self.flat.device)
        )
        result = Point(self.space, ids, flat)
        result.dense.copy_(self.dense)
        for t, wanted in enumerate(ids):
            target = result.rows(t)
            here, there = positions(self.ids[t], wanted)
            if len(here) < len(wanted):
                target.zero_()
                target[there] = self.rows(t)[here]
            elif len(wanted):
                torch.index_select(self.rows(t), 0, here.to(flat.device), out=target)
        return result

    def add(self, other: Point, rate: float = 1.0) -> Point:
        """`self + rate * other`, in place where self has all of other's rows, else on a larger copy; returned."""
        if same_ids(self.ids, other.ids):
            self.flat.add_(other.flat, alpha=rate)
            return self
        grown = self.with_rows(other.ids)
        grown.dense.add_(other.dense, alpha=rate)
        for t, ids in enumerate(other.ids):
            here, _ = positions(grown.ids[t], ids)
            grown.rows(t).index_add_(0, here.to(self.flat.device), other.rows(t), alpha=rate)
        return grown

    def overwrite(self, other: Point) -> Point:
        """Take other's values for its dense part and rows, exactly; in place where self has the rows, as `add`."""
        grown = self.take_rows(other)
        grown.dense.copy_(other.dense)
        return grown

    def take_rows(self, other: Point) -> Point:
        """Take other's values for its rows alone, as `overwrite`."""
        grown = self.with_rows(other.ids)
        for t, ids in enumerate(other.ids):
            here, _ = positions(grown.ids[t], ids)
            grown.rows(t).index_copy_(0, here.to(self.flat.device), other.rows(t))
        return grown

    def with_rows(self, ids: Ids) -> Point:
        """A point that has these rows beside its own, new ones zero; self when it has them all."""
        union = union_ids(self.ids, ids)
        return self if same_ids(union, self.ids) else self.at(union)

    def moved(self) -> Point:
        """The point without rows that are all zeros; self when there are none. Cost: reading its rows."""
        kept = [self.rows(t).any(1).cpu() for t in range(len(self.ids))]
        if all(bool(rows.all()) for rows in kept):
            return self
        return self.at(tuple(ids[rows] for ids, rows in zip(self.ids, kept, strict=True)))

    def keep_only(self, names: frozenset[str]) -> Point:
        """The point without what belongs to other parameters: dense values zero, rows gone."""
        if names.issuperset(self.space.names):
            return self
        none = torch.empty(0, dtype=torch.int64)
        kept = self.at(
            tuple(i if t.name in names else none for i, t in zip(self.ids, self.space.tables, strict=True))
        )
        for index, part in enumerate(self.space.dense):
            if part.name not in names:
                kept.parameter(index).zero_()
        return kept

    def without(self, names: frozenset[str]) -> Point:
        """The point without what belongs to these parameters, as `keep_only`; self when there are none."""
        return self.keep_only(frozenset(self.space.names) - names) if names else self


def positions(ids: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Positions in `ids` and in `wanted` (both sorted, without repeats) of what both have."""
    if len(ids) == len(wanted) and torch.equal(ids, wanted):
        everything = torch.arange(len(ids))
        return everything, everything
    if not len(ids) or not len(wanted):
        return torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    found = torch.searchsorted(ids, wanted).clamp_(max=len(ids) - 1)
    there = torch.nonzero(ids[found] == wanted).squeeze(1)
    return found[there], there


def same_ids(a: Ids, b: Ids) -> bool:
    return all(x is y or (len(x) == len(y) and torch.equal(x, y)) for x, y in zip(a, b, strict=True))


def union_ids(a: Ids, b: Ids) -> Ids:
    """The rows of either, per table."""
    return tuple(x if x is y else torch.unique(torch.cat([x, y])) for x, y in zip(a, b, strict=True))
