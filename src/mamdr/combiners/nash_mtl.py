"""Nash-MTL: the step that the domains would agree on if they bargained."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mamdr.combiners.cosines import gram_of, split
from mamdr.combiners.protocol import Seen
from mamdr.config import component

_RIDGE = 1e-8
_TOLERANCE = 1e-12
_STEPS = 500


@component
class NashMTL:
    r"""Take the Nash bargaining solution: the product of what the domains gain is greatest.

        gram · w = 1 / w (entry by entry), w > 0

    It is the one minimum of ½ wᵀ · gram · w − Σ_i log w_i, found by damped Newton steps for unit gradients until
    the decrement is under 1e-12; w_i is divided by the gradient's length, so multiplying one domain's loss by a
    number changes nothing at all. The step has length √G whatever the gradients are.

    Args:
        max_norm: the step is shortened to this length; 0 leaves it at √G.
        update_every: w is found anew every so many batches, and kept per domain between them (unless a domain comes
            that has no weight yet). Our engine takes every gradient anyway, so this only spares the solver.

    Where a mixture of the gradients is zero there is no solution: 1e-8 is added to the cosines' diagonal, so that no
    w_i exceeds 1e4/‖g_i‖ and such gradients cancel. A gradient of zero gets weight 0.

    What holds: gram · w = 1/w (times the square of what max_norm shortens by), hence every loss falls; w > 0.

    Cost: some ten Cholesky factors of [G, G]. On one core 1 ms for 30 domains in a batch, 7 ms for 300, 0.2 s
    for 1,000; three times that and more where gradients cancel. Memory: [D] weights, kept across rounds.
    Reference: Navon et al., Multi-Task Learning as a Bargaining Game, arXiv 2202.01017, Claim 3.1 and Algorithm 1; the
    limit on the step's length is the authors' code's (max_norm = 1 there as here).
    Differs from the paper: it approximates w by a sequence of convex programs (section 3.2) that need not end at a
    solution, from the last batch's w; the minimum above is exact and starts afresh.

    >>> gram = torch.tensor([[4.0, 0.0], [0.0, 1.0]])
    >>> seen = Seen(torch.arange(2), torch.ones(2), torch.ones(2), gram, 2, None)
    >>> [round(weight, 6) for weight in NashMTL(max_norm=0).weights(seen).tolist()]
    [0.5, 1.0]
    """

    max_norm: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    update_every: Annotated[int, Field(ge=1)] = 1
    needs: ClassVar[Literal["losses", "gram"]] = "gram"
    looks_back: ClassVar[bool] = False

    def weights(self, seen: Seen) -> Tensor:
        gram = gram_of(seen)
        kept = seen.remembered("weights", torch.zeros(seen.total))
        batches = seen.remembered("batches", torch.zeros(1))
        domains = seen.domains.cpu()
        if int(batches) % self.update_every == 0 or not bool((kept[domains] > 0).all()):
            kept[domains] = bargain(gram)
        batches += 1
        weights = kept[domains]
        length = float((weights @ gram @ weights).clamp(min=0.0).sqrt())
        return weights * (self.max_norm / length) if length > self.max_norm > 0 else weights

    def learn(self, seen: Seen, weights: Tensor, after: Tensor | None) -> None:
        """Weights are kept as they are found."""


def bargain(gram: Tensor) -> Tensor:
    """w with gram · w = 1/w, zero for gradients of zero. [G] float64."""
    moving, lengths, cosines = split(gram)
    weights = torch.zeros(len(gram), dtype=torch.float64)
    if len(moving) == 0:
        return weights
    matrix = cosines + _RIDGE * torch.eye(len(moving), dtype=torch.float64)
    ones = torch.ones(len(moving), dtype=torch.float64)
    w = ones * (len(moving) / matrix.sum().clamp(min=_RIDGE)).sqrt()  # the best multiple of ones
    for _ in range(_STEPS):
        # In relative steps w·δ the Hessian is diag(w)·matrix·diag(w) + 1: never worse conditioned than it must be.
        rest = 1.0 - w * (matrix @ w)
        hessian = matrix * torch.outer(w, w)
        hessian.diagonal().add_(1.0)
        step = torch.cholesky_solve(rest[:, None], torch.linalg.cholesky(hessian))[:, 0]
        decrement = float((rest @ step).clamp(min=0.0).sqrt())
        w = w * (1.0 + (step if decrement < 0.25 else step / (1.0 + decrement)))
        if decrement < _TOLERANCE:
            break
    weights[moving] = w / lengths
    return weights
