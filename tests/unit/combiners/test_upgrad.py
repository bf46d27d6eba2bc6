"""UPGrad: projections onto the dual cone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from tests.oracles import combiners as oracle
from tests.unit.combiners.grams import gradients, matrices, seen, step

from mamdr.combiners import UPGrad


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6])
def test_it_equals_projections_found_by_trying_every_face(count: int) -> None:
    for seed in range(6):
        each = gradients(count, width=4, seed=seed)
        want = torch.from_numpy(oracle.upgrad(each.numpy()))
        torch.testing.assert_close(step(UPGrad(), each), want, rtol=0, atol=1e-7)


@given(each=matrices)
@settings(max_examples=60, deadline=None)
def test_it_equals_them_for_whole_numbers(each: torch.Tensor) -> None:
    want = torch.from_numpy(oracle.upgrad(each.numpy()))
    torch.testing.assert_close(step(UPGrad(), each), want, rtol=0, atol=1e-6)


def test_two_domains_by_hand() -> None:
    """(1, 0) and (−1, 1): the first becomes (1/2, 1/2), the second (0, 1), and half of their sum is taken."""
    each = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(
        step(UPGrad(), each), torch.tensor([0.25, 0.75], dtype=torch.float64), rtol=0, atol=1e-8
    )


def test_gradients_without_conflict_pass_unchanged() -> None:
    each = gradients(6, pull=5.0)
    assert torch.equal(UPGrad().weights(seen(each)), torch.full((6,), 1 / 6, dtype=torch.float64))


def test_no_weight_is_below_the_means() -> None:
    for seed in range(10):
        assert float(UPGrad().weights(seen(gradients(7, width=4, seed=seed))).min()) >= 1 / 7


def test_a_gradient_counts_by_its_length() -> None:
    """Each of the projections is proportional to the gradient: the step is linear in one's length."""
    one, two, four = (gradients(3, seed=4) for _ in range(3))
    two[1] *= 2
    four[1] *= 4
    steps = [step(UPGrad(), each) for each in (one, two, four)]
    torch.testing.assert_close(steps[2] - steps[1], 2 * (steps[1] - steps[0]), rtol=0, atol=1e-8)


def test_it_equals_torchjds() -> None:
    torchjd = pytest.importorskip("torchjd.aggregation")
    pytest.importorskip("quadprog")
    projector = pytest.importorskip("torchjd.linalg").QuadprogProjector(norm_eps=0.0, reg_eps=1e-12)
    for seed in range(10):
        each = gradients(6, seed=seed)
        want = torchjd.UPGradWeighting(projector=projector)(each @ each.T)
        torch.testing.assert_close(UPGrad().weights(seen(each)), want, rtol=0, atol=1e-7)


def test_many_domains_conflict_no_more_than_the_tolerance() -> None:
    for width in (400, 60):
        each = gradients(100, width=width)
        direction = step(UPGrad(), each)
        assert float((each @ direction / each.norm(dim=1)).min()) > -2e-4
        assert float((each @ each.mean(0)).min()) < -0.1  # the plain mean hurts somebody
