"""MGDA: the shortest mixture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from tests.oracles import combiners as oracle
from tests.unit.combiners.grams import gradients, matrices, seen, step

from mamdr.combiners import MGDA


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_it_equals_the_best_of_all_subsets(count: int) -> None:
    for seed in range(8):
        each = gradients(count, seed=seed)
        want = torch.from_numpy(oracle.shortest_mixture(each.numpy()))
        torch.testing.assert_close(MGDA().weights(seen(each)), want, rtol=0, atol=1e-7)


@given(each=matrices)
@settings(max_examples=60, deadline=None)
def test_it_is_as_short_for_whole_numbers(each: torch.Tensor) -> None:
    want = oracle.shortest_mixture(each.numpy()) @ each.numpy()
    torch.testing.assert_close(step(MGDA(), each), torch.from_numpy(want), rtol=0, atol=1e-6)


def test_two_domains_by_hand() -> None:
    """(2, 0) and (0, 1): w (2, 0) + (1 − w) (0, 1) is shortest at w = 1/5."""
    found = MGDA().weights(seen(torch.tensor([[2.0, 0.0], [0.0, 1.0]]).double()))
    torch.testing.assert_close(found, torch.tensor([0.2, 0.8], dtype=torch.float64), rtol=0, atol=1e-8)
    found = MGDA().weights(seen(torch.tensor([[3.0, 1.0], [1.0, 0.0]]).double()))
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-8)


def test_weights_are_shares() -> None:
    for seed in range(10):
        weights = MGDA().weights(seen(gradients(6, seed=seed)))
        assert float(weights.min()) >= 0
        assert float(weights.sum()) == pytest.approx(1)


def test_every_loss_falls_by_at_least_the_square_of_the_step() -> None:
    for seed in range(10):
        each = gradients(6, seed=seed)
        direction = step(MGDA(), each)
        assert float((each @ direction).min()) >= float(direction @ direction) - 1e-8


@pytest.mark.parametrize("ratio", [1e-6, 1e-12])
def test_lengths_of_any_ratio_are_told_apart(ratio: float) -> None:
    """Orthogonal gradients of lengths r, 2r and 1: w is proportional to 1/length², all digits of it."""
    each = torch.diag(torch.tensor([ratio, 2 * ratio, 1.0], dtype=torch.float64))
    found = MGDA().weights(seen(each))
    torch.testing.assert_close(found[:2], torch.tensor([0.8, 0.2], dtype=torch.float64), rtol=1e-6, atol=1e-9)


def test_where_a_gradient_is_zero_nothing_moves() -> None:
    each = gradients(4)
    each[1] = 0.0
    assert MGDA().weights(seen(each)).tolist() == [0.0, 1.0, 0.0, 0.0]


def test_it_equals_torchjds() -> None:
    """TorchJD's Frank-Wolfe steps come close after very many."""
    torchjd = pytest.importorskip("torchjd.aggregation")
    for seed in range(5):
        each = gradients(5, seed=seed)
        want = torchjd.MGDAWeighting(epsilon=1e-9, max_iters=5000)(each @ each.T) @ each
        torch.testing.assert_close(step(MGDA(), each), want, rtol=0, atol=2e-3)
