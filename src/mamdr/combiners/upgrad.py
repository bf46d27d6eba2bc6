"""UPGrad: every gradient is moved until it hurts nobody, and then the mean is taken."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from mamdr.combiners.cosines import even, gram_of, split
from mamdr.combiners.protocol import Seen
from mamdr.combiners.quadratic import nonnegative
from mamdr.config import component


@component
class UPGrad:
    r"""Combine gradients so that no domain's loss rises, each of them counting by its length.

    Every gradient is projected onto the cone of the directions that conflict with none, and the mean is taken:

        w = (1/G) Σ_i v_i,   v_i = argmin over v >= e_i (entry by entry) of  vᵀ · gram · v

    where Σ_j v_ij · g_j is the projection of g_i. Without a conflict v_i = e_i, and the mean gradient comes out.

    The programs are solved for unit gradients and scaled back, which is exact, so that lengths of 1e-12 beside 1e12 do
    no harm. Up to 64 domains in a batch they are solved by interior points to 1e-10 (which is also what is added to the
    cosines' diagonal), above that by projected gradients until no cosine is wrong by more than 1e-5, or for 500 steps.
    A gradient of zero keeps 1/G.

    What holds: w >= 1/G; gram · w >= 0 up to the tolerance; the step is zero only where no direction helps everyone.

    Cost: G programs of size G. On one core 5 ms for 30 domains in a batch, 0.04 s for 300 and 1.3 s for 1,000 (0.6 s
    and 9 s where the gradients span half as many dimensions). Memory: some [G, G]; G³ numbers up to 64 domains.
    Reference: Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, arXiv 2406.16232, section 3.1 and
    Proposition 1 (the program); TorchJD solves the same by quadprog with 1e-4 on the diagonal.
    Differs from the paper: nothing but the solver.

    >>> gram = torch.tensor([[1.0, -1.0], [-1.0, 2.0]])  # of (1, 0) and (-1, 1)
    >>> seen = Seen(torch.arange(2), torch.ones(2), torch.ones(2), gram, 2, None)
    >>> [round(weight, 6) for weight in UPGrad().weights(seen).tolist()]
    [1.0, 0.75]
    """

    needs: ClassVar[Literal["losses", "gram"]] = "gram"
    looks_back: ClassVar[bool] = False

    def weights(self, seen: Seen) -> Tensor:
        gram = gram_of(seen)
        moving, lengths, cosines = split(gram)
        weights = even(len(gram))
        of_unit = torch.eye(len(moving), dtype=torch.float64) + nonnegative(cosines, -cosines)
        weights[moving] = (of_unit @ lengths) / lengths / len(gram)
        return weights

    def learn(self, seen: Seen, weights: Tensor, after: Tensor | None) -> None:
        """There is nothing to learn."""
