"""Specific parts: points of a space of their own, `Space.part`, that holds no more than a domain may keep."""

from __future__ import annotations

import torch
from torch import Tensor

from mamdr.parameters.point import Point
from mamdr.parameters.space import Space


def lay_over(point: Point, part: Point, share: float = 1.0) -> None:
    """Add a share of a part's dense values to a point's, in place. Cost: its values; of factors their product."""
    space, kept = point.space, point.space.part
    if kept is space:
        point.dense.add_(part.dense, alpha=share)
        return
    for index, places in space.held.items():
        point.parameter(index).add_(_value(part, places), alpha=share)


def pushed(space: Space, part: Point | None, displacement: Point, rate: float) -> Point:
    """A domain's part after it has taken in `rate * displacement`; changed in place where it has all the rows.

    Args:
        space: the module's.
        part: None is a part of zeros without rows.
        displacement: without rows of tables that are not specific.

    A matrix that the displacement leaves alone keeps its factors, to the bit.
    """
    kept = space.part
    start = part or Point.zeros(kept, displacement.ids)
    if kept is space:
        return start.add(displacement, rate)
    rows = displacement.flat[space.dense_size :]
    delta = Point(kept, displacement.ids, torch.cat([rows.new_zeros(kept.dense_size), rows]))
    for index, places in space.held.items():
        if len(places) == 1:
            delta.parameter(places[0]).copy_(displacement.parameter(index))
    grown = start.add(delta, rate)
    for index, places in space.held.items():
        moved = displacement.parameter(index)
        if len(places) == 2 and bool(moved.any()):
            left, right = (grown.parameter(place) for place in places)
            _factor(left @ right.mT + rate * moved, left, right)
    return grown


def fade(space: Space, part: Point, share: float) -> None:
    """Multiply what a part stands for by `share`, in place; what is frozen stays."""
    if space.part is space and not space.frozen:
        part.flat.mul_(share)
        return
    for index, places in space.held.items():
        if space.dense[index].name not in space.frozen:
            part.parameter(places[0]).mul_(share)  # of two factors the left one alone
    for t, table in enumerate(space.tables):
        if table.name not in space.frozen:
            part.rows(t).mul_(share)


def _value(part: Point, places: tuple[int, ...]) -> Tensor:
    if len(places) == 1:
        return part.parameter(places[0])
    left, right = (part.parameter(place) for place in places)
    return left @ right.mT


def _factor(matrix: Tensor, left: Tensor, right: Tensor) -> None:
    """Write the factors of the best approximation of their rank: left holds the singular values."""
    rank = left.shape[-1]
    u, sizes, vt = torch.linalg.svd(matrix, full_matrices=False)
    left.copy_(u[..., :rank] * sizes[..., None, :rank])
    right.copy_(vt[..., :rank, :].mT)
