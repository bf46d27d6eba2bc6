"""Weighted Loss: weights by hand, where they tend to, and who is moved."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mamdr.combiners import Seen, WeightedLoss


def seen(domains: list[int], losses: list[float], memory: dict[str, torch.Tensor], total: int = 4) -> Seen:
    who = torch.tensor(domains)
    what = torch.tensor(losses, dtype=torch.float64)
    return Seen(who, torch.ones_like(who), what, None, total, np.random.default_rng(0), memory)


def step(combiner: WeightedLoss, now: Seen) -> torch.Tensor:
    weights = combiner.weights(now)
    combiner.learn(now, weights, None)
    return weights


def test_at_the_start_every_domain_counts_alike() -> None:
    assert WeightedLoss().weights(seen([0, 2], [0.3, 9.0], {})).tolist() == [1.0, 1.0]


def test_two_steps_by_hand() -> None:
    """Adam's first step is the rate, whatever the slope; slopes 1/2 − 2 and 1/2 − 0.1 have opposite signs."""
    memory: dict[str, torch.Tensor] = {}
    combiner = WeightedLoss(lr=0.1)
    step(combiner, seen([0, 1], [2.0, 0.1], memory))
    assert memory["log_variance"].tolist() == pytest.approx([0.1, -0.1, 0, 0], abs=1e-8)
    found = step(combiner, seen([0, 1], [2.0, 0.1], memory))
    assert found.tolist() == pytest.approx([math.exp(-0.1), math.exp(0.1)], abs=1e-8)
    slopes = [-1.5, 0.5 - 2 * math.exp(-0.1)]
    mean = (0.9 * 0.1 * slopes[0] + 0.1 * slopes[1]) / (1 - 0.81)
    square = (0.999 * 0.001 * slopes[0] ** 2 + 0.001 * slopes[1] ** 2) / (1 - 0.999**2)
    assert float(memory["log_variance"][0]) == pytest.approx(0.1 - 0.1 * mean / math.sqrt(square), abs=1e-8)


def test_weights_tend_to_half_of_one_over_the_loss() -> None:
    memory: dict[str, torch.Tensor] = {}
    combiner, losses = WeightedLoss(lr=0.02), [0.05, 0.69, 3.0]
    for _ in range(2000):
        weights = step(combiner, seen([0, 1, 3], losses, memory))
    assert weights.tolist() == pytest.approx([1 / (2 * loss) for loss in losses], rel=1e-3)


def test_a_domain_that_is_not_there_stays_and_its_steps_are_its_own() -> None:
    """Domain 1 ends the same whether or not others were seen between its own mini-batches."""
    ends = []
    for others in (False, True):
        memory: dict[str, torch.Tensor] = {}
        combiner = WeightedLoss(lr=0.1)
        for number in range(5):
            if others:
                step(combiner, seen([0, 3], [0.4, 0.9], memory))
            step(combiner, seen([1], [0.2 * number], memory))
        assert float(memory["log_variance"][2]) == 0
        ends.append({name: float(values[1]) for name, values in memory.items()})
    assert ends[0] == ends[1]
    assert ends[0]["log_variance"] != 0
