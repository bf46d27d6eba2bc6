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
    """The mean of running statistics over the walks that moved them, row by row; of counts the largest.

    What a model keeps for each domain is a row of a buffer [D, ...], which only the walks over that domain move: so a
    domain's statistics are taken from those walks, as they are where it is one. A row that no walk moved stays.

    Args:
        start: the buffers that every walk started from; of one that is not here all rows count as moved.

    Memory: the buffers that walks change, twice.
    """

    def __init__(self, start: Mapping[str, Tensor]) -> None:
        self._start = start
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}

    def add(self, buffers: Mapping[str, Tensor]) -> None:
        """Take in the buffers that a walk changed, at its end."""
        for name, value in buffers.items():
            if not value.is_floating_point():
                known = self._sums.get(name)
                self._sums[name] = value.clone() if known is None else torch.maximum(known, value)
                continue
            moved = _moved_rows(value, self._start.get(name))
            if name not in self._sums:
                self._sums[name], self._counts[name] = torch.zeros_like(value), torch.zeros_like(moved)
            self._sums[name] += torch.where(moved > 0, value, 0)
            self._counts[name] += moved

    def value(self) -> dict[str, Tensor]:
        """The means, of buffers that some walk changed."""
        means = dict(self._sums)
        for name, count in self._counts.items():
            mean = self._sums[name] / count.clamp_min(1)
            means[name] = torch.where(count > 0, mean, self._start.get(name, mean))
        return means


def _moved_rows(value: Tensor, start: Tensor | None) -> Tensor:
    """1 for each row of a buffer that is not as it was, else 0: [rows, 1, ...]."""
    if start is None or not value.ndim:
        return torch.ones_like(value)
    moved = (value != start.to(value.device)).flatten(1).any(1) if value.ndim > 1 else value != start
    return moved.to(value.dtype).view(-1, *[1] * (value.ndim - 1))
