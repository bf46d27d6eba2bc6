"""PCGrad: a domain's gradient without what conflicts with another's."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mamdr.combiners.protocol import Seen
from mamdr.config import component


@component
class PCGrad:
    r"""Project each domain's gradient onto the normal plane of every other one that it conflicts with.

    For each domain i, from g_i^PC = g_i, over the other domains j in an order drawn anew for each i:

        if g_i^PC · g_j < 0:   g_i^PC ← g_i^PC − (g_i^PC · g_j / ‖g_j‖²) · g_j

    with the other domains' gradients as they were before any projection; then g = Σ_i g_i^PC. What is promised: after
    i was projected against j, g_i^PC · g_j >= 0 (= 0 if they conflicted) until i's next projection; so with two
    domains neither projected gradient conflicts with the other domain's, with more only the last one met is certain.
    Gradients without conflict pass unchanged: g is their sum.

    Every g_i^PC is a combination of the gradients, so its coefficients are found from their inner products alone.

    Cost: G backward passes a mini-batch, their G² inner products, and G² projections of G numbers each.
    Reference: Yu, Kumar, Gupta, Levine, Hausman and Finn, Gradient Surgery for Multi-Task Learning, arXiv 2001.06782,
    section 2.3, Algorithm 1.
    Differs from the authors' code: that draws one order for all tasks; Algorithm 1 draws for each, and so do we.
    Differs from MAMDR's code: that projects where the inner product is positive, and each table row by itself.
    """

    needs: ClassVar[Literal["losses", "gram"]] = "gram"
    looks_back: ClassVar[bool] = False

    def weights(self, seen: Seen) -> Tensor:
        assert seen.gram is not None
        return projected(seen.gram, orders(len(seen.domains), seen.draw)).sum(0)

    def learn(self, seen: Seen, weights: Tensor, after: Tensor | None) -> None:
        """There is nothing to learn."""


def orders(count: int, draw: np.random.Generator) -> Tensor:
    """For each of `count` domains the others in random order, [count, count − 1] int64."""
    places = draw.random((count, count))
    np.fill_diagonal(places, 2.0)  # a domain's own place is behind all others
    return torch.from_numpy(places.argsort(axis=1)[:, :-1].copy())


def projected(gram: Tensor, order: Tensor) -> Tensor:
    """Coefficients C [G, G] float64 of the projected gradients: g_i^PC = Σ_j C[i, j] · g_j.

    Args:
        gram: [G, G] float64, inner products of the gradients.
        order: [G, G − 1], the domains that each one is projected against, in order.

    All domains go through their orders side by side, one projection each at a time.

    >>> gram = torch.tensor([[1.0, -1.0], [-1.0, 4.0]], dtype=torch.float64)
    >>> projected(gram, torch.tensor([[1], [0]])).tolist()
    [[1.0, 0.25], [1.0, 1.0]]
    """
    coefficients = torch.eye(len(gram), dtype=torch.float64)
    products = gram.clone()  # [i, j]: g_i^PC · g_j
    norms, each = gram.diagonal(), torch.arange(len(gram))
    for other in order.T:
        conflicting = torch.nonzero(products[each, other] < 0).squeeze(1)
        if len(conflicting):
            against = other[conflicting]
            share = products[conflicting, against] / norms[against]
            coefficients[conflicting, against] -= share
            products[conflicting] -= share[:, None] * gram[against]
    return coefficients
