"""Means over the walks of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mamdr.parameters import Ids, Point, Space
from mamdr.parameters.point import positions


class MeanPoint:
    """The mean of displacements, each added when it comes, so that one at a time is held.

    Args:
        space: what the values mean.
        rows: the rows that each displacement is expected to have; others are taken in at the cost of a copy.

    Cost: one point over all rows; adding costs the displacement's values.
    """

    def __init__(self, space: Space, rows: Sequence[Ids]) -> None:
        ids = tuple(torch.unique(torch.cat(parts)) for parts in zip(*rows, strict=True))
        self._sum, self._count = Point.zeros(space, ids), 0

    def add(self, displacement: Point) -> None:
        self._count += 1
        places = [positions(i, rows)[0] for i, rows in zip(self._sum.ids, displacement.ids, strict=True)]
        if any(len(found) < len(rows) for found, rows in zip(places, displacement.ids, strict=True)):
            self._sum = self._sum.add(displacement)
            return
        self._sum.dense.add_(displacement.dense)
        for t, found in enumerate(places):
            self._sum.rows(t).index_add_(0, found.to(self._sum.flat.device), displacement.rows(t))

    def value(self) -> Point:
        """The mean; a row that a displacement lacks counts as zero in it. Ends the adding."""
        self._sum.flat.div_(max(self._count, 1))
        return self._sum


class MeanBuffers:
    """The mean of running statistics over the walks that changed them; of counts the largest."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, buffers: Mapping[str, Tensor]) -> None:
        for name, value in buffers.items():
            known = self._sums.get(name)
            if known is None:
                self._sums[name] = value.clone()
            else:
                self._sums[name] = known + value if value.is_floating_point() else torch.maximum(known, value)
            self._counts[name] = self._counts.get(name, 0) + 1

    def value(self) -> dict[str, Tensor]:
        return {
            name: total / self._counts[name] if total.is_floating_point() else total
            for name, total in self._sums.items()
        }
