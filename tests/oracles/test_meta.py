"""The oracles of MAML and MLDG by hand: a single parameter, whose logit is itself.

With L₁(w) = −log σ(w) and L₀(w) = −log(1 − σ(w)) at w = 0: L₁' = −1/2, L₁'' = 1/4. A step of rate 1 leads to w' = 1/2,
where L₀' = σ(1/2).
"""

from __future__ import annotations

import math

import pytest
import torch
from tests.oracles import meta
from torch import Tensor, nn

HALF = 1 / (1 + math.exp(-0.5))


class Bias(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.w.expand(len(batch["domain"]))


ONE, ZERO = (({"domain": torch.zeros(1)}, torch.tensor([label])) for label in (1.0, 0.0))
START = {"w": torch.zeros(1, dtype=torch.float64)}


@pytest.mark.parametrize(("order", "expected"), [(1, HALF), (2, HALF * 3 / 4)])
def test_maml(order: int, expected: float) -> None:
    found = meta.maml_gradient(Bias(), START, ([ONE], [ZERO]), 1.0, 1, order)
    assert float(found["w"]) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("order", "expected"), [(1, 2 * HALF - 0.5), (2, 1.5 * HALF - 0.5)])
def test_mldg(order: int, expected: float) -> None:
    found = meta.mldg_gradient(Bias(), START, ([ONE], [ZERO]), 1.0, 2.0, order)
    assert float(found["w"]) == pytest.approx(expected, abs=1e-15)


def test_mldg_without_virtual_test_domains() -> None:
    assert float(meta.mldg_gradient(Bias(), START, ([ONE], []), 1.0, 2.0, 2)["w"]) == -0.5


def test_domains_count_alike() -> None:
    """Three rows of one domain and one of another: the mean of their means."""
    three = {"domain": torch.zeros(3)}, torch.ones(3)
    here = meta.leaves(START)
    assert float(meta.slope(meta.loss_at(Bias(), here, [three, ZERO]), here)["w"]) == 0.0
