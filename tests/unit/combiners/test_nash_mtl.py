"""Nash-MTL: the bargaining solution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles import combiners as oracle
from tests.unit.combiners.grams import gradients, seen, step
from torch import Tensor

from mamdr.combiners import NashMTL, Seen


def of(domains: list[int], each: Tensor, memory: dict[str, Tensor]) -> Seen:
    who = torch.tensor(domains)
    draw = np.random.default_rng(0)
    return Seen(who, torch.ones_like(who), torch.ones(len(who)).double(), each @ each.T, 4, draw, memory)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_it_equals_one_equation_after_another(count: int) -> None:
    for seed in range(5):
        each = gradients(count, seed=seed)
        want = torch.from_numpy(oracle.nash(each.numpy()))
        torch.testing.assert_close(NashMTL(max_norm=0).weights(seen(each)), want, rtol=1e-5, atol=0)


def test_gram_times_weights_is_one_over_weights() -> None:
    for seed in range(10):
        each = gradients(5, seed=seed)
        weights = NashMTL(max_norm=0).weights(seen(each))
        assert float(weights.min()) > 0
        torch.testing.assert_close(each @ each.T @ weights, 1 / weights, rtol=1e-5, atol=0)


def test_two_domains_by_hand() -> None:
    """Unit gradients with cosine c: a (1 + c) = 1/a."""
    each = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    found = NashMTL(max_norm=0).weights(seen(each))
    torch.testing.assert_close(found, torch.full((2,), 1.6**-0.5, dtype=torch.float64), rtol=1e-7, atol=0)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_scale_of_a_loss_does_not_matter(scale: float) -> None:
    each = gradients(4)
    other = each.clone()
    other[2] *= scale
    torch.testing.assert_close(step(NashMTL(), other), step(NashMTL(), each), rtol=1e-6, atol=1e-9)


def test_the_step_is_as_long_as_is_said() -> None:
    each = gradients(5)
    assert float(step(NashMTL(max_norm=0), each).norm()) == pytest.approx(5**0.5, rel=1e-6)
    assert float(step(NashMTL(), each).norm()) == pytest.approx(1.0)
    assert float(step(NashMTL(max_norm=9.0), each).norm()) == pytest.approx(5**0.5, rel=1e-6)


def test_opposite_gradients_cancel() -> None:
    each = torch.cat([gradients(1), -2.0 * gradients(1)])
    assert float(step(NashMTL(max_norm=0), each).norm()) < 1e-8


def test_weights_are_kept_between_updates() -> None:
    memory: dict[str, Tensor] = {}
    combiner = NashMTL(max_norm=0, update_every=3)
    first = combiner.weights(of([0, 1, 2], gradients(3, seed=0), memory))
    assert torch.equal(combiner.weights(of([0, 2], gradients(2, seed=1), memory)), first[[0, 2]])
    combiner.weights(of([0, 1, 2], gradients(3, seed=2), memory))
    fourth = combiner.weights(of([0, 1, 2], gradients(3, seed=3), memory))
    assert torch.equal(fourth, NashMTL(max_norm=0).weights(of([0, 1, 2], gradients(3, seed=3), {})))


def test_a_domain_without_a_weight_is_not_kept_waiting() -> None:
    memory: dict[str, Tensor] = {}
    combiner = NashMTL(max_norm=0, update_every=100)
    combiner.weights(of([0, 1], gradients(2), memory))
    found = combiner.weights(of([0, 3], gradients(2, seed=5), memory))
    assert torch.equal(found, NashMTL(max_norm=0).weights(of([0, 3], gradients(2, seed=5), {})))


def test_it_equals_torchjds() -> None:
    torchjd = pytest.importorskip("torchjd.aggregation")
    pytest.importorskip("cvxpy")
    pytest.importorskip("ecos")
    for seed in range(3):
        each = gradients(3, seed=seed)
        want = torchjd.NashMTL(3, max_norm=1.0, optim_niter=200)(each)
        torch.testing.assert_close(step(NashMTL(), each), want, rtol=0, atol=1e-6)
