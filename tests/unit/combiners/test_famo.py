"""FAMO: losses that fall at the same rate."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from tests.oracles import combiners as oracle
from torch import Tensor

from mamdr.combiners import FAMO, Seen


def of(domains: list[int], losses: Tensor, memory: dict[str, Tensor], total: int = 5) -> Seen:
    who = torch.tensor(domains)
    return Seen(who, torch.ones_like(who), losses, None, total, np.random.default_rng(0), memory)


def some(count: int, seed: int) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1


@pytest.mark.parametrize("rule", ["adam", "descent"])
def test_it_equals_the_papers_loop_with_domains_coming_and_going(rule: Literal["adam", "descent"]) -> None:
    memory: dict[str, Tensor] = {}
    ours = FAMO(lr=0.3, gamma=0.01, rule=rule)
    theirs = oracle.FAMO(5, lr=0.3, gamma=0.01, adam=rule == "adam")
    for number, domains in enumerate([[0, 1, 2, 3, 4], [0, 3], [2], [1, 2, 4], [0, 1, 2, 3, 4]] * 3):
        before, after = some(len(domains), number), some(len(domains), 100 + number)
        what = of(domains, before, memory)
        weights = ours.weights(what)
        torch.testing.assert_close(weights, theirs.weights(domains, before), rtol=1e-10, atol=1e-12)
        ours.learn(what, weights, after)
        theirs.update(domains, before, after)
    logits = torch.stack([logit.detach() for logit in theirs.logits])
    torch.testing.assert_close(memory["logits"], logits, rtol=0, atol=1e-10)
    assert float(logits.abs().max()) > 0.05


def test_two_domains_by_hand() -> None:
    """Losses 1 and 2 become ½ and 2: only the first fell, by log 2; each logit moves by lr · ¼ · log 2."""
    memory: dict[str, Tensor] = {}
    ours, losses = FAMO(lr=1.0, gamma=0.0, rule="descent"), torch.tensor([1.0, 2.0], dtype=torch.float64)
    weights = ours.weights(of([0, 1], losses, memory))
    assert weights.tolist() == pytest.approx([2 / 3, 1 / 3])
    ours.learn(of([0, 1], losses, memory), weights, torch.tensor([0.5, 2.0], dtype=torch.float64))
    assert memory["logits"].tolist() == pytest.approx([-math.log(2) / 4, math.log(2) / 4, 0, 0, 0])


def test_the_one_that_fell_faster_weighs_less_next() -> None:
    memory: dict[str, Tensor] = {}
    ours, losses = FAMO(), torch.ones(3, dtype=torch.float64)
    weights = ours.weights(of([0, 1, 2], losses, memory))
    ours.learn(of([0, 1, 2], losses, memory), weights, torch.tensor([0.2, 0.9, 0.9]).double())
    following = ours.weights(of([0, 1, 2], losses, memory))
    assert float(following[0]) < 1 / 3 < float(following[1])


def test_absent_domains_keep_their_logits() -> None:
    memory = {"logits": torch.arange(5.0, dtype=torch.float64)}
    ours = FAMO()
    what = of([1, 4], some(2, 0), memory)
    ours.learn(what, ours.weights(what), some(2, 1))
    assert memory["logits"][[0, 2, 3]].tolist() == [0.0, 2.0, 3.0]
    assert float(memory["logits"][1]) != 1.0


@pytest.mark.parametrize("losses", [[0.0, 0.0], [0.0, 1.0], [1e-300, 1e12], [1e12, 1e12]])
def test_weights_are_shares_whatever_the_losses(losses: list[float]) -> None:
    memory: dict[str, Tensor] = {}
    what = of([0, 1], torch.tensor(losses, dtype=torch.float64), memory)
    ours = FAMO()
    for after in (losses, losses[::-1]):
        weights = ours.weights(what)
        assert bool(torch.isfinite(weights).all())
        assert float(weights.min()) >= 0
        assert float(weights.sum()) == pytest.approx(1)
        ours.learn(what, weights, torch.tensor(after, dtype=torch.float64))
        assert bool(torch.isfinite(memory["logits"]).all())


def test_it_equals_torchjds() -> None:
    theirs = pytest.importorskip("torchjd.scalarization").FAMO(4, lr=0.2, weight_decay=0.01)
    ours, memory = FAMO(lr=0.2, gamma=0.01), {}
    theirs.double()
    for number in range(6):
        before, after = some(4, number), some(4, 50 + number)
        values = before.clone().requires_grad_()
        theirs(values).backward()
        what = of([0, 1, 2, 3], before, memory, total=4)
        weights = ours.weights(what)
        torch.testing.assert_close(weights, values.grad, rtol=1e-6, atol=1e-8)
        ours.learn(what, weights, after)
        theirs.update(after)
