"""FAMO: losses that all fall at the same rate, at the cost of one gradient a step."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mamdr.combiners.adam import adam
from mamdr.combiners.protocol import Seen
from mamdr.config import component

_SMALLEST = 1e-8
"""Added to losses before their logarithm, as in the authors' code."""


@component
class FAMO:
    r"""Weigh domains so that their losses fall at the same relative rate, from the losses alone.

    With logits ξ, losses ℓ before and ℓ' after a step, over the domains of the batch:

        z = softmax(ξ),   w_i = (z_i / ℓ_i) / Σ_j (z_j / ℓ_j)
        δ_i = z_i (Δ_i − Σ_j z_j Δ_j),   Δ_i = log ℓ_i − log ℓ'_i
        ξ ← ξ − lr (δ + gamma · ξ)

    so a domain whose loss fell faster than the others' weighs less from then on. Domains without rows in the batch keep
    their ξ (and their moments), and z is over those with rows.

    Args:
        lr: β, the rate of the logits.
        gamma: what pulls logits back to zero.
        rule: "adam" takes δ + gamma · ξ as the gradient of Adam (decays 0.9 and 0.999), as Algorithm 2 of the paper and
            the authors' code do; "descent" is the equation above, Algorithm 1.

    What holds: w >= 0, Σ_i w_i = 1; multiplying one domain's loss by a number changes nothing of Δ. Losses are taken
    with 1e-8 added.

    Cost: one gradient of the weighted loss, and one more forward pass over the batch, whatever the number of domains.
    Memory: ξ, and for Adam two moments and a count of steps, [D] each, kept across rounds.
    Reference: Liu, Feng, Stone and Liu, FAMO: Fast Adaptive Multitask Optimization, arXiv 2306.03792, Algorithms 1, 2.
    Differs from the paper: domains may be absent from a batch, tasks there are not. Differs from the authors' code: the
    gradient is not clipped to length 1; a domain's least possible loss is taken as 0; gamma there is 0.01.

    >>> seen = Seen(torch.arange(2), torch.ones(2), torch.tensor([1.0, 3.0]), None, 2, None)
    >>> [round(weight, 6) for weight in FAMO().weights(seen).tolist()]
    [0.75, 0.25]
    """

    lr: Annotated[float, Field(ge=0, le=10)] = 0.025
    gamma: Annotated[float, Field(ge=0, le=10)] = 0.001
    rule: Literal["adam", "descent"] = "adam"
    needs: ClassVar[Literal["losses", "gram"]] = "losses"
    looks_back: ClassVar[bool] = True

    def weights(self, seen: Seen) -> Tensor:
        share = self._shares(seen) / _positive(seen.losses)
        return share / share.sum()

    def learn(self, seen: Seen, weights: Tensor, after: Tensor | None) -> None:
        assert after is not None, "FAMO looks back"
        fell = _positive(seen.losses).log() - _positive(after).log()
        z = self._shares(seen)
        logits, domains = self._logits(seen), seen.domains.cpu()
        slope = z * (fell - z @ fell) + self.gamma * logits[domains]
        logits[domains] -= self.lr * (slope if self.rule == "descent" else adam(seen, slope))

    def _logits(self, seen: Seen) -> Tensor:
        return seen.remembered("logits", torch.zeros(seen.total))

    def _shares(self, seen: Seen) -> Tensor:
        return self._logits(seen)[seen.domains.cpu()].softmax(dim=0)


def _positive(losses: Tensor) -> Tensor:
    return losses.to("cpu", torch.float64).clamp(min=0.0) + _SMALLEST
