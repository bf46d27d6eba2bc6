"""GradVac: gradients are turned towards each other until they are as similar as they usually are."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mamdr.combiners.cosines import gram_of, split
from mamdr.combiners.pcgrad import orders
from mamdr.combiners.protocol import Seen
from mamdr.config import component

_CLOSEST = 1.0 - 1e-6
"""Targets are met up to this cosine: nothing finite turns a gradient into exactly another's direction."""


@component
class GradVac:
    r"""Ask of each pair of domains the similarity that it has had on average, and see to it where it falls short.

    For each domain i, over the others j in random order, with g the gradients and h_i starting as g_i:

        φ = cos(h_i, g_j)
        if φ < φ̂_ij:  h_i += ‖h_i‖ (φ̂_ij √(1 − φ²) − φ √(1 − φ̂_ij²)) / (‖g_j‖ √(1 − φ̂_ij²)) · g_j
        φ̂_ij ← (1 − beta) φ̂_ij + beta φ

    and the step is Σ_i h_i. Targets start at zero, where this is PCGrad. A pair's target stays where one of the two has
    no row in the batch, or a gradient of zero.

    Args:
        beta: how fast targets follow, in [0, 1]; 0 keeps them at zero.

    What holds: with targets at zero and no conflict, w = 1; lengths of any size are handled, for what is computed is
    computed for unit gradients. A cosine with an h_i that has vanished counts as 0, and targets above 1 − 1e-6 as that.

    Cost: G² corrections of G values, rows side by side. On one core 3 ms for 30 domains in a batch, 0.07 s
    for 300, 1.6 s for 1,000. Memory: targets [D, D], kept across rounds.
    Reference: Wang, Tsvetkov, Firat and Cao, Gradient Vaccine, arXiv 2010.05874, Algorithm 1.
    Differs from the paper: all parameters together, where the paper offers groups such as layers.
    """

    beta: Annotated[float, Field(ge=0, le=1)] = 0.01
    needs: ClassVar[Literal["losses", "gram"]] = "gram"
    looks_back: ClassVar[bool] = False

    def weights(self, seen: Seen) -> Tensor:
        gram = gram_of(seen)
        moving, lengths, cosines = split(gram)
        memory = seen.remembered("targets", torch.zeros(seen.total, seen.total))
        places = seen.domains.cpu()[moving]
        targets = memory[places[:, None], places[None, :]]
        turned = self._turn(cosines, targets, orders(len(moving), seen.draw))
        memory[places[:, None], places[None, :]] = targets
        weights = torch.ones(len(gram), dtype=torch.float64)
        weights[moving] = (lengths @ turned) / lengths
        return weights

    def _turn(self, cosines: Tensor, targets: Tensor, order: Tensor) -> Tensor:
        """h_i = Σ_k turned[i, k] · g_k for unit gradients g; the targets are moved in place."""
        count = len(cosines)
        rows = torch.arange(count)
        turned = torch.eye(count, dtype=torch.float64)
        products, squares = cosines.clone(), torch.ones(count, dtype=torch.float64)
        for j in order.T:
            length = squares.clamp(min=0.0).sqrt()
            found = products[rows, j]
            cosine = torch.where(length > 1e-9, found / length, 0.0).clamp(-1.0, 1.0)
            target = targets[rows, j].clamp(max=_CLOSEST)
            rest, target_rest = (1 - cosine.square()).sqrt(), (1 - target.square()).sqrt()
            share = length * (target * rest - cosine * target_rest) / target_rest
            share = torch.where(cosine < target, share, 0.0)
            targets[rows, j] += self.beta * (cosine - targets[rows, j])
            turned[rows, j] += share
            squares += 2 * share * found + share.square()
            changed = share.nonzero()[:, 0]
            products[changed] += share[changed, None] * cosines[j[changed]]
        return turned

    def learn(self, seen: Seen, weights: Tensor, after: Tensor | None) -> None:
        """Targets are moved as they are met."""
