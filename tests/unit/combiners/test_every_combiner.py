"""What holds for every combiner that looks at the Gram matrix."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from tests.unit.combiners.grams import gradients, matrices, nasty, seen, step
from torch import Tensor

from mamdr.combiners import (
    IMTLG,
    MGDA,
    AlignedMTL,
    CAGrad,
    Combiner,
    GradVac,
    NashMTL,
    UPGrad,
)
from mamdr.errors import TrainingError

ALL: dict[str, Combiner] = {
    "upgrad": UPGrad(),
    "mgda": MGDA(),
    "cagrad": CAGrad(),
    "cagrad, far": CAGrad(c=2.0),
    "imtl_g": IMTLG(),
    "aligned_mtl": AlignedMTL(),
    "aligned_mtl, mean": AlignedMTL(scale="mean"),
    "gradvac": GradVac(beta=0.5),
    "nash_mtl": NashMTL(),
    "nash_mtl, whole": NashMTL(max_norm=0),
}
EACH = pytest.mark.parametrize("combiner", ALL.values(), ids=list(ALL))
IN_ANY_ORDER = {name: made for name, made in ALL.items() if name != "gradvac"}
AS_THEY_ARE = {name: made for name, made in IN_ANY_ORDER.items() if "nash" not in name}


@EACH
@pytest.mark.parametrize("each", nasty().values(), ids=list(nasty()))
def test_nasty_gradients_get_finite_weights(combiner: Combiner, each: Tensor) -> None:
    what = seen(each)
    for _ in range(3):  # what GradVac and Nash-MTL remember may be nasty as well
        weights = combiner.weights(what)
        assert weights.shape == (len(each),)
        assert weights.dtype == torch.float64
        assert bool(torch.isfinite(weights).all())
        assert bool(torch.isfinite(weights @ each).all())


@EACH
@given(each=matrices)
@settings(max_examples=25, deadline=None)
def test_whole_numbers_get_finite_weights(combiner: Combiner, each: Tensor) -> None:
    assert bool(torch.isfinite(combiner.weights(seen(each))).all())


@EACH
def test_the_same_gradients_give_the_same_bits(combiner: Combiner) -> None:
    each = gradients(9)
    assert torch.equal(combiner.weights(seen(each)), combiner.weights(seen(each)))


@pytest.mark.parametrize("combiner", IN_ANY_ORDER.values(), ids=list(IN_ANY_ORDER))
def test_domains_in_another_order_get_the_same_weights(combiner: Combiner) -> None:
    for seed in range(5):
        each, order = gradients(6, seed=seed), torch.tensor([3, 0, 5, 1, 4, 2])
        found = combiner.weights(seen(each[order]))
        torch.testing.assert_close(found, combiner.weights(seen(each))[order], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("combiner", AS_THEY_ARE.values(), ids=list(AS_THEY_ARE))
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_one_number_times_all_gradients_changes_no_weight(combiner: Combiner, scale: float) -> None:
    each = gradients(6)
    found, want = combiner.weights(seen(scale * each)), combiner.weights(seen(each))
    torch.testing.assert_close(found, want, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", ["upgrad", "mgda", "nash_mtl", "cagrad"])
def test_no_loss_rises_where_one_direction_helps_all(name: str) -> None:
    for seed in range(20):
        each = gradients(4, seed=seed)
        direction = step(CAGrad(c=1.0) if name == "cagrad" else ALL[name], each)
        assert float((each @ direction).min()) >= -1e-8 * float(direction.norm())
        assert float(direction.norm()) > 1e-3


@EACH
def test_a_gradient_that_is_no_number_is_an_error(combiner: Combiner) -> None:
    each = gradients(3)
    each[1, 0] = float("inf")
    with pytest.raises(TrainingError, match="no finite number"):
        combiner.weights(seen(each))


@EACH
def test_hundreds_of_domains(combiner: Combiner) -> None:
    each = gradients(130, width=90)
    direction = step(combiner, each)
    assert bool(torch.isfinite(direction).all())
