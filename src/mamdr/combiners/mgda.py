"""MGDA: the shortest of all mixtures of the gradients."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from mamdr.combiners.cosines import even, gram_of, split
from mamdr.combiners.protocol import Seen
from mamdr.combiners.quadratic import interior
from mamdr.config import component


@component
class MGDA:
    r"""Step along the shortest mixture of the domains' gradients, which lowers every loss or is zero.

        w = argmin over w >= 0, Σ_i w_i = 1 of  ‖Σ_i w_i · g_i‖² = wᵀ · gram · w

    The shortest mixture leans towards short gradients: a domain that has nearly converged decides the step. The losses
    are taken as they are; the variants that divide gradients by their lengths or losses first are not offered.

    What holds: g_iᵀ d >= ‖d‖² for the step d and every i, with equality where w_i > 0; multiplying all gradients by one
    number changes nothing.

    Cost: one quadratic program of size G, by interior points, to 1e-10 of unit gradients (see `nearest_to_zero`).
    On one core 2 ms for 30 domains in a batch, 15 ms for 300, 0.5 s for 1,000. Memory: [G, G].
    Reference: Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, arXiv 1810.04650, equation 3;
    Désidéri, Comptes Rendus Mathématique 350, 2012.
    Differs from the paper: solved by interior points where its Algorithm 2 takes Frank-Wolfe steps, whose end depends
    on their number; all parameters are shared, so its upper bound by one pass through the representation is not.

    >>> gram = torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    >>> seen = Seen(torch.arange(2), torch.ones(2), torch.ones(2), gram, 2, None)
    >>> [round(weight, 6) for weight in MGDA().weights(seen).tolist()]
    [0.8, 0.2]
    """

    needs: ClassVar[Literal["losses", "gram"]] = "gram"
    looks_back: ClassVar[bool] = False

    def weights(self, seen: Seen) -> Tensor:
        return nearest_to_zero(gram_of(seen))

    def learn(self, seen: Seen, weights: Tensor, after: Tensor | None) -> None:
        """There is nothing to learn."""


def nearest_to_zero(gram: Tensor) -> Tensor:
    r"""Weights of the point nearest to zero in the convex hull of G vectors, [G] float64.

    With r_i = 1/length_i and weights w_i = x_i · r_i for unit vectors, it is the program

        minimise over x >= 0:  xᵀ · cosines · x + (rᵀ x − 1)²,   and then x is divided by rᵀ x,

    whose optimality conditions are the same, and which lengths of any size leave well scaled.

    Args:
        gram: [G, G] float64.

    Vectors that are zero are the nearest: they share the weight.
    """
    moving, lengths, cosines = split(gram)
    if len(moving) < len(gram):
        still = torch.ones(len(gram), dtype=torch.float64)
        still[moving] = 0.0
        return still / still.sum()
    if len(gram) == 0:
        return even(0)
    r = lengths.min() / lengths
    x = interior(cosines + torch.outer(r, r), r[:, None])[:, 0]
    weights = x * r
    return weights / weights.sum()
