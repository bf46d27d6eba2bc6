"""PCGrad's weights are those of the projections that its paper describes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles import combiners_core
from torch import Tensor

from mamdr.combiners import PCGrad, Seen
from mamdr.combiners.pcgrad import orders, projected


def gradients(count: int, width: int = 7, seed: int = 0, pull: float = 0.0, scale: float = 1.0) -> Tensor:
    """[count, width] float64; `pull` moves them towards one direction, so that fewer conflict."""
    random = torch.Generator().manual_seed(seed)
    return scale * (torch.randn(count, width, generator=random, dtype=torch.float64) + pull)


def seen(gram: Tensor, seed: int = 0) -> Seen:
    count = len(gram)
    ids = torch.arange(count)
    return Seen(
        ids, torch.ones_like(ids), torch.ones(count).double(), gram, count, np.random.default_rng(seed)
    )


@pytest.mark.parametrize("count", [1, 2, 3, 6, 25])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_it_equals_the_papers_loop_over_gradients(count: int, scale: float) -> None:
    for seed in range(5):
        each = gradients(count, seed=seed, scale=scale)
        drawn = orders(count, np.random.default_rng(seed))
        want = torch.stack(combiners_core.pcgrad(list(each), drawn.tolist()))
        found = projected(each @ each.T, drawn) @ each
        torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-9 * scale)


def test_it_equals_torchjds_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    torchjd = pytest.importorskip("torchjd.aggregation", reason="torchjd is not installed")
    for seed in range(20):
        each = gradients(8, seed=seed)
        drawn = orders(8, np.random.default_rng(seed))
        # TorchJD draws a permutation of all for each task, in turn, and passes over the task itself.
        permutations = iter([torch.tensor([*row, i]) for i, row in enumerate(drawn.tolist())])
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randperm", lambda count, these=permutations: next(these))
            want = torchjd.PCGrad()(each)
        found = PCGrad().weights(seen(each @ each.T, seed)) @ each
        torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-9)


def test_gradients_without_conflict_pass_unchanged() -> None:
    each = gradients(6, pull=5.0)
    gram = each @ each.T
    assert bool((gram > 0).all())
    assert torch.equal(PCGrad().weights(seen(gram)), torch.ones(6, dtype=torch.float64))


def test_two_domains_by_hand() -> None:
    """(1, 0) and (−1, 2) conflict by −1: they become (0.8, 0.4) and (0, 2)."""
    each = torch.tensor([[1.0, 0.0], [-1.0, 2.0]], dtype=torch.float64)
    found = projected(each @ each.T, torch.tensor([[1], [0]])) @ each
    torch.testing.assert_close(found, torch.tensor([[0.8, 0.4], [0.0, 2.0]], dtype=torch.float64))


def test_of_two_domains_neither_conflicts_afterwards() -> None:
    for seed in range(50):
        each = gradients(2, seed=seed)
        found = projected(each @ each.T, torch.tensor([[1], [0]])) @ each
        assert float((found @ each.T).min()) >= -1e-12


@pytest.mark.parametrize("count", [3, 10])
def test_the_domain_met_last_is_in_no_conflict_afterwards(count: int) -> None:
    for seed in range(50):
        each = gradients(count, seed=seed)
        order = orders(count, np.random.default_rng(seed))
        dots = projected(each @ each.T, order) @ each @ each.T
        assert float(dots[torch.arange(count), order[:, -1]].min()) >= -1e-10


def test_each_domain_meets_every_other_once_in_an_order_of_its_own() -> None:
    order = orders(30, np.random.default_rng(1))
    for i, row in enumerate(order.tolist()):
        assert sorted(row) == [j for j in range(30) if j != i]
    assert len({tuple(j for j in row if j > 1) for row in order.tolist()}) == 30
    firsts = torch.cat([orders(3, np.random.default_rng(seed))[:1, 0] for seed in range(400)])
    assert 150 < int((firsts == 1).sum()) < 250  # either of two others comes first about half of the time


def test_a_gradient_of_zero_stays_and_stands_in_no_ones_way() -> None:
    each = gradients(4)
    each[2] = 0
    weights = PCGrad().weights(seen(each @ each.T))
    assert torch.isfinite(weights).all()
    without = each[[0, 1, 3]]
    assert float((weights @ each).norm()) <= float(without.norm(dim=1).sum()) + 1e-9
