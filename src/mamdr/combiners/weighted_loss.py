"""Weighted Loss: each domain's loss weighed by an uncertainty that is learned with the model."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mamdr.combiners.adam import adam
from mamdr.combiners.protocol import Seen
from mamdr.config import component


@component
class WeightedLoss:
    r"""Learn for each domain how uncertain its labels are, and weigh its loss by that.

    With σ_i² the domain's observation noise and s_i = log σ_i², starting at 0, model and s go down the gradient of

        Σ_i exp(−s_i) · L_i + s_i / 2

    over the domains i of a mini-batch: w_i = exp(−s_i), and s_i moves down 1/2 − exp(−s_i) · L_i, so that w_i tends to
    1 / (2 L_i): domains with a large loss count less. This is the paper's form for classification (its equation 10,
    L / σ² + log σ: a softmax whose logits are scaled by 1/σ²); that for regression would have half of L.

    s is stepped by Adam (β 0.9 and 0.999, eps 1e-8) with a rate of its own, each domain's by itself and only where it
    has rows in the mini-batch; the domain's moments count those steps alone.

    Args:
        lr: of s, in (0, 1].

    Cost: one pass a mini-batch, as plain training; D numbers four times are remembered.
    Reference: Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics, arXiv 1705.07115, section 3, equations 5 to 10. MAMDR, section V-B (Weighted Loss).
    Differs from the paper: s is stepped by an optimizer of its own, where the paper's joins the model's.
    """

    lr: Annotated[float, Field(gt=0, le=1)] = 0.01
    needs: ClassVar[Literal["losses", "gram"]] = "losses"
    looks_back: ClassVar[bool] = False

    def weights(self, seen: Seen) -> Tensor:
        return torch.exp(-self._logarithms(seen)[seen.domains])

    def learn(self, seen: Seen, weights: Tensor, after: Tensor | None) -> None:
        slope = 0.5 - weights * seen.losses
        self._logarithms(seen)[seen.domains] -= self.lr * adam(seen, slope)

    def _logarithms(self, seen: Seen) -> Tensor:
        """s, [D]."""
        return seen.remembered("log_variance", torch.zeros(seen.total))
