"""Aligned-MTL: an orthogonal system."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from tests.oracles import combiners as oracle
from tests.unit.combiners.grams import gradients, seen, step

from mamdr.combiners import AlignedMTL

Scale = Literal["min", "median", "mean"]
SCALES: list[Scale] = ["min", "median", "mean"]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("count", "width"), [(1, 3), (2, 7), (5, 7), (6, 3)])
def test_it_equals_the_singular_vectors_of_the_gradients(count: int, width: int, scale: Scale) -> None:
    for seed in range(5):
        each = gradients(count, width, seed)
        want = torch.from_numpy(oracle.aligned(each.numpy(), scale))
        torch.testing.assert_close(step(AlignedMTL(scale=scale), each), want, rtol=0, atol=1e-7)


def test_two_domains_by_hand() -> None:
    """(3, 0) and (0, 1) are orthogonal already: the longer is cut to the shorter's length."""
    found = AlignedMTL().weights(seen(torch.tensor([[3.0, 0.0], [0.0, 1.0]]).double()))
    torch.testing.assert_close(found, torch.tensor([1 / 6, 1 / 2], dtype=torch.float64))


@pytest.mark.parametrize("scale", SCALES)
def test_the_aligned_system_has_condition_number_one(scale: Scale) -> None:
    each = gradients(5)
    gram = each @ each.T
    balance = AlignedMTL(scale=scale).balance(gram)
    values = torch.linalg.eigvalsh(balance @ gram @ balance)
    assert float(values[-1] / values[0]) == pytest.approx(1, abs=1e-9)


def test_orthonormal_gradients_are_left_alone() -> None:
    each = torch.linalg.qr(gradients(7, 7))[0][:4]
    torch.testing.assert_close(AlignedMTL().weights(seen(each)), torch.full((4,), 0.25, dtype=torch.float64))


@pytest.mark.parametrize(("scale", "theirs"), [("min", "min"), ("median", "median"), ("mean", "rmse")])
def test_it_equals_torchjds(scale: Scale, theirs: str) -> None:
    torchjd = pytest.importorskip("torchjd.aggregation")
    for seed in range(10):
        each = gradients(6, seed=seed)
        want = torchjd.AlignedMTLWeighting(scale_mode=theirs)(each @ each.T)
        torch.testing.assert_close(AlignedMTL(scale=scale).weights(seen(each)), want, rtol=1e-8, atol=1e-10)
