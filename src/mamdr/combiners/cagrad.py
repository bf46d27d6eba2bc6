"""CAGrad: near the mean gradient, what is best for the domain that gains least."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mamdr.combiners.cosines import even, gram_of
from mamdr.combiners.mgda import nearest_to_zero
from mamdr.combiners.protocol import Seen
from mamdr.config import component

_SHORTEST = 1e-6
"""A mixture shorter than this share of the longest gradient counts as zero."""

_TOLERANCE = 1e-10
_STEPS = 60


@component
class CAGrad:
    r"""Look around the mean gradient for the direction that lowers the worst domain's loss most.

        d = argmax over ‖d − g_0‖ <= c · ‖g_0‖ of  min_i g_iᵀ d,   g_0 = (1/G) Σ_i g_i

    Its dual is a program over mixtures, z >= 0 and Σ_i z_i = 1, with g_z = Σ_i z_i · g_i:

        z = argmin g_zᵀ g_0 + ρ · ‖g_z‖,   d = g_0 + ρ · g_z / ‖g_z‖,   ρ = c · ‖g_0‖
        w = 1/G + (ρ / ‖g_z‖) · z

    For s = ‖g_z‖/ρ the z of the minimum is that of the point nearest to zero among mixtures of g_i + s · g_0, so that s
    is found by one-dimensional search (to 1e-10, relative) over programs of MGDA's kind, each solved exactly.

    Args:
        c: how far from the mean gradient, >= 0; 0 is the mean gradient. Below 1 it ends where the mean loss does.

    Where the gradients cancel (a mixture of them is shorter than 1e-6 of the longest) and no better direction is
    within reach, w = 1/G: the paper divides by zero there. Multiplying all gradients by one number changes nothing.
    Gradients 1e-8 times the longest are lost in the sums.

    What holds: w >= 1/G; min_i g_iᵀ d is at least what the mean gradient has, and if a direction within reach
    helps all, d does.

    Cost: some ten quadratic programs of size G. On one core 0.02 s for 30 domains in a batch, 0.15 s for 300,
    3 s for 1,000. Memory: [G, G].
    Reference: Liu, Liu, Jin, Stone and Liu, Conflict-Averse Gradient Descent for Multi-task Learning, arXiv 2110.14048,
    Algorithm 1 and the dual before it.
    Differs from the authors' code: it divides d by 1 + c² and solves by SciPy's SLSQP from even weights.

    >>> gram = torch.eye(2, dtype=torch.float64)
    >>> seen = Seen(torch.arange(2), torch.ones(2), torch.ones(2), gram, 2, None)
    >>> [round(weight, 6) for weight in CAGrad(c=0.5).weights(seen).tolist()]
    [0.75, 0.75]
    """

    c: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.5
    needs: ClassVar[Literal["losses", "gram"]] = "gram"
    looks_back: ClassVar[bool] = False

    def weights(self, seen: Seen) -> Tensor:
        gram = gram_of(seen)
        mean = even(len(gram))
        longest = float(gram.diagonal().max()) if len(gram) > 0 else 0.0
        if longest == 0.0:
            return mean
        shifted = _Shifted(gram / longest, self.c)
        if shifted.radius <= 1e-12:  # the mean gradient is zero, or c is
            return mean
        return mean + shifted.search()

    def learn(self, seen: Seen, weights: Tensor, after: Tensor | None) -> None:
        """There is nothing to learn."""


class _Shifted:
    """Nearest mixtures of g_i + s · g_0, where the longest g_i has length 1."""

    def __init__(self, gram: Tensor, c: float) -> None:
        self.gram = gram
        self.to_mean = gram.mean(dim=1)
        self.mean_square = float(self.to_mean.mean().clamp(min=0.0))
        self.radius = c * math.sqrt(self.mean_square)

    def search(self) -> Tensor:
        """z/s for the s where s = ‖g_z‖/ρ, or zeros where that is nearly zero: false position (Illinois) in log s."""
        low, high = math.log(_SHORTEST / self.radius), math.log(1.01 / self.radius)
        at_low, at_high = self._excess(low), self._excess(high)
        if at_low <= 0.0:
            return torch.zeros(len(self.gram), dtype=torch.float64)
        last = 0.0
        for _ in range(_STEPS):
            middle = (low * at_high - high * at_low) / (at_high - at_low)
            found = self._excess(middle)
            if abs(found) <= _TOLERANCE:
                break
            if found > 0.0:
                low, at_low, at_high = middle, found, at_high / (2 if last > 0.0 else 1)
            else:
                high, at_high, at_low = middle, found, at_low / (2 if last < 0.0 else 1)
            last = found
        return self._nearest(middle) / math.exp(middle)

    def _excess(self, log_s: float) -> float:
        """log of ‖g_z‖ / (s · ρ), which falls with s."""
        z = self._nearest(log_s)
        square = max(1e-30, float(z @ self.gram @ z))
        return 0.5 * math.log(square) - log_s - math.log(self.radius)

    def _nearest(self, log_s: float) -> Tensor:
        s = math.exp(log_s)
        sums = self.to_mean[:, None] + self.to_mean[None, :]
        return nearest_to_zero(self.gram + s * sums + s * s * self.mean_square)
