"""CAGrad: the best for the worst, near the mean."""

from __future__ import annotations

import pytest
import torch
from tests.oracles import combiners as oracle
from tests.unit.combiners.grams import gradients, seen, step

from mamdr.combiners import MGDA, CAGrad


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("c", [0.2, 0.5, 0.9])
def test_it_equals_the_dual_searched_on_a_line(count: int, c: float) -> None:
    for seed in range(3):
        each = gradients(count, seed=seed)
        want = torch.from_numpy(oracle.cagrad(each.numpy(), c))
        torch.testing.assert_close(step(CAGrad(c=c), each), want, rtol=0, atol=1e-5)


def test_two_orthogonal_gradients_by_hand() -> None:
    """Of length 1, mean (½, ½): z is even, ‖g_z‖ = ‖g_0‖ and so d = (1 + c) g_0."""
    found = step(CAGrad(c=0.4), torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([0.7, 0.7], dtype=torch.float64), rtol=0, atol=1e-8)


def test_c_of_zero_is_the_mean() -> None:
    assert CAGrad(c=0).weights(seen(gradients(5))).tolist() == [0.2] * 5


@pytest.mark.parametrize("c", [0.3, 0.5, 2.0])
@pytest.mark.parametrize("count", [1, 4, 8])
def test_it_is_on_the_rim_and_nothing_there_is_better(count: int, c: float) -> None:
    """Weak duality: the least gain of d cannot exceed any mixture's bound, and it meets one."""
    for seed in range(4):
        each = gradients(count, width=20, seed=seed)
        mean = each.mean(0)
        weights = CAGrad(c=c).weights(seen(each))
        direction, mixture = weights @ each, weights - 1 / count
        assert float(mixture.min()) >= 0
        assert float((direction - mean).norm()) == pytest.approx(c * float(mean.norm()), rel=1e-8)
        z = (mixture / mixture.sum()) @ each
        bound = z @ mean + c * mean.norm() * z.norm()
        assert float((each @ direction).min()) == pytest.approx(float(bound), abs=1e-7)


def test_it_gains_more_for_the_worst_than_the_mean_does() -> None:
    for seed in range(10):
        each = gradients(5, seed=seed)
        gains = [float((each @ direction).min()) for direction in (step(CAGrad(), each), each.mean(0))]
        assert gains[0] > gains[1]


def test_far_from_the_mean_it_points_where_mgda_does() -> None:
    """The farther it may go, the more the mixture's own direction counts."""
    each = gradients(3, seed=1)
    far, shortest = step(CAGrad(c=100.0), each), step(MGDA(), each)
    assert float(torch.cosine_similarity(far, shortest, dim=0)) > 0.999


def test_where_gradients_cancel_and_nothing_better_is_near_the_mean_is_taken() -> None:
    """g and −g beside one at right angles: every direction that hurts neither is as good as the mean."""
    each = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(CAGrad().weights(seen(each)), torch.full((3,), 1 / 3, dtype=torch.float64))


def test_it_equals_torchjds() -> None:
    torchjd = pytest.importorskip("torchjd.aggregation")
    pytest.importorskip("cvxpy")
    pytest.importorskip("clarabel")
    for seed in range(5):
        each = gradients(5, seed=seed)
        want = torchjd.CAGradWeighting(c=0.5)(each @ each.T) @ each
        torch.testing.assert_close(step(CAGrad(c=0.5), each), want, rtol=0, atol=1e-4)
