"""IMTL-G: equal projections."""

from __future__ import annotations

import pytest
import torch
from tests.oracles import combiners as oracle
from tests.unit.combiners.grams import gradients, seen, step

from mamdr.combiners import IMTLG


@pytest.mark.parametrize("count", [2, 3, 6])
def test_it_equals_the_papers_closed_form(count: int) -> None:
    for seed in range(10):
        each = gradients(count, seed=seed, pull=0.3)
        want = torch.from_numpy(oracle.imtl_g(each.numpy()))
        assert float(want @ each @ each[0]) > 0  # else the paper steps up every loss: see below
        torch.testing.assert_close(IMTLG().weights(seen(each)), want, rtol=1e-6, atol=1e-8)


def test_projections_on_all_gradients_are_equal_and_positive() -> None:
    for seed in range(20):
        each = gradients(6, seed=seed)
        projections = torch.nn.functional.normalize(each) @ step(IMTLG(), each)
        torch.testing.assert_close(projections, projections.mean().expand(6), rtol=1e-6, atol=1e-9)
        assert float(projections.mean()) > 0


def test_two_domains_by_hand() -> None:
    """Two gradients get weights as 1/length, whatever the angle between them."""
    found = IMTLG().weights(seen(torch.tensor([[1.0, 0.0], [-1.0, 3.0]]).double()))
    torch.testing.assert_close(found[1] * 10**0.5, found[0], rtol=1e-9, atol=0)
    assert float(found.sum()) == pytest.approx(1)


def test_where_the_closed_form_would_step_up_every_loss_the_sign_is_turned() -> None:
    each = torch.tensor([[-3.0, -1.0, 2.0], [-1.0, 0.0, 0.0], [-3.0, 0.0, -1.0]], dtype=torch.float64)
    papers = torch.from_numpy(oracle.imtl_g(each.numpy()))
    assert float((each @ (papers @ each)).max()) < -0.1
    found = IMTLG().weights(seen(each))
    torch.testing.assert_close(found, -papers / papers.abs().sum(), rtol=1e-9, atol=0)
    assert float((each @ (found @ each)).min()) > 0


def test_duplicates_share_and_a_zero_gets_nothing() -> None:
    each = torch.cat([gradients(2), gradients(2), torch.zeros(1, 7).double()])
    found = IMTLG().weights(seen(each))
    torch.testing.assert_close(found[:2], found[2:4], rtol=1e-9, atol=0)
    assert float(found[4]) == 0.0
    assert float(found.sum()) == pytest.approx(1)


def test_it_equals_torchjds() -> None:
    torchjd = pytest.importorskip("torchjd.aggregation")
    for seed in range(10):
        each = gradients(3, seed=seed, pull=0.5)
        want = torchjd.IMTLGWeighting()(each @ each.T)
        assert float(want @ each @ each[0]) > 0
        torch.testing.assert_close(IMTLG().weights(seen(each)), want, rtol=1e-6, atol=1e-8)
