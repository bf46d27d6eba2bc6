r"""Units: a walk over many legs, shared out.

A walk from the shared parameters over many domains may be made by U units, each over some of the legs, all from the
same point; what becomes of it is made of what they bring:

    unit u:  Δ_u = walk(θ_S, [its legs])
    Δ[row] = sum over the units that pulled the row of Δ_u[row]        (or their mean)

How many units there are is configuration: it says what is trained. How many processes walk them says how fast.
With one unit the walk is as it was, to the bit.

Reference: MAMDR, section IV-E ("synthesizes the local gradients"), which leaves open whether they are summed or
averaged; docs/cluster.md has both on real data.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from mamdr.engine.walk import Walker
from mamdr.errors import ConfigError
from mamdr.parameters import Overlay, Point
from mamdr.parameters.point import positions, union_ids
from mamdr.seeds import derive, generator
from mamdr.strategies.mean import MeanBuffers
from mamdr.strategies.protocol import Leg, Outcome, Part, Run, Walk

Combine = Literal["mean", "sum"]


class Units:
    """Walks of the shared parameters by U units, one after another; all other walks as `run` walks them.

    Args:
        walker: knows what a walk costs.
        run: walks.
        units: U >= 1.
        combine: what becomes of several units' displacements.
    """

    def __init__(self, walker: Walker, run: Run, units: int, combine: Combine = "sum") -> None:
        self.walker, self.run, self.units, self.combine = walker, run, units, combine

    def __call__(self, walks: Sequence[Walk]) -> Iterator[Outcome]:
        if len(walks) != 1 or self.units == 1 or isinstance(walks[0].store, Overlay):
            yield from self.run(walks)
            return
        shared_out = deal(self.walker, walks[0], self.units)
        made = [dataclasses.replace(o, displacement=o.displacement.copy()) for o in self.run(shared_out)]
        displacement = combined([outcome.displacement for outcome in made], self.combine)
        yield merged(made, walks[0].buffers, displacement)


def deal(walker: Walker, walk: Walk, units: int) -> list[Walk]:
    """The walks of at most U units; with one it is the walk itself.

    Legs are dealt in an order that the walk's seed draws, each to the unit with the fewest rows; a unit walks its legs
    in the walk's order. A domain of more rows than a unit's share is split into parts, each some of its mini-batches.

    Raises:
        ConfigError: the walk goes on with moments of an inner optimizer, which several units cannot all hold.
    """
    if units == 1 or not walk.legs:
        return [walk]
    rows = [_cost(walker, walk, leg) for leg in walk.legs]
    share = max(sum(rows) / units, 1.0)
    pieces = [
        piece
        for number, (leg, size) in enumerate(zip(walk.legs, rows, strict=True))
        for piece in _split(
            leg, size, share, walker.session.options.batch_size, derive(walk.seed, "part", number)
        )
    ]
    if len(pieces) == 1:
        return [walk]
    if walk.moments is not None or walk.memory:
        raise ConfigError(
            f"{units} units, and an inner optimizer (or a combiner) that goes on from round to round",
            'inner_state = "fresh", or one unit',
            "Set strategy.inner_state, or --units 1",
        )
    hands: list[list[int]] = [[] for _ in range(units)]
    loads = [0] * units
    for index in generator(walk.seed, "deal").permutation(len(pieces)).tolist():
        unit = loads.index(min(loads))
        hands[unit].append(index)
        loads[unit] += _cost(walker, walk, pieces[index])
    return [
        dataclasses.replace(
            walk, legs=tuple(pieces[index] for index in sorted(hand)), seed=derive(walk.seed, "unit", unit)
        )
        for unit, hand in enumerate(hands)
        if hand
    ]


def combined(points: Sequence[Point], combine: Combine) -> Point:
    """The mean (or sum) of units' displacements, row by row over those that have the row, added in this order.

    Cost: each point's values once. Row by row the bits are the same for any share of the rows.
    """
    if len(points) == 1:
        return points[0]
    space, ids = points[0].space, points[0].ids
    for point in points[1:]:
        ids = union_ids(ids, point.ids)
    total = Point.zeros(space, ids)
    counts = [torch.zeros(len(rows), dtype=space.dtype) for rows in ids]
    for point in points:
        total.dense.add_(point.dense)
        for t, rows in enumerate(point.ids):
            places = positions(ids[t], rows)[0]
            total.rows(t).index_add_(0, places.to(total.flat.device), point.rows(t))
            counts[t][places] += 1
    if combine == "mean":
        total.dense.div_(len(points))
        for t, count in enumerate(counts):
            total.rows(t).div_(count.to(total.flat.device).unsqueeze(1))
    return total


def merged(made: Sequence[Outcome], start: Mapping[str, Tensor], displacement: Point) -> Outcome:
    """One outcome of those of units.

    Args:
        made: the units' outcomes, in order.
        start: the buffers that they all started from.
        displacement: what their displacements come to.
    """
    if len(made) == 1:
        return dataclasses.replace(made[0], displacement=displacement)
    buffers = MeanBuffers(start)
    for outcome in made:
        buffers.add(outcome.buffers)
    samples = sum(outcome.samples for outcome in made)
    loss = sum(outcome.loss * outcome.samples for outcome in made if outcome.samples)
    return Outcome(
        displacement,
        loss / samples if samples else math.nan,
        samples,
        sum(outcome.steps for outcome in made),
        buffers=buffers.value(),
    )


def _cost(walker: Walker, walk: Walk, leg: Leg) -> int:
    return walker.cost(dataclasses.replace(walk, legs=(leg,)))


def _split(leg: Leg, rows: int, share: float, batch_size: int, seed: int) -> list[Leg]:
    """The parts of a leg that is larger than a unit's share, as even as mini-batches allow; else the leg."""
    count = min(math.ceil(rows / share), math.ceil(rows / batch_size))
    if count < 2 or len(leg.domains) != 1 or leg.steps is not None:
        return [leg]
    return [dataclasses.replace(leg, part=Part(index, count, seed)) for index in range(count)]
