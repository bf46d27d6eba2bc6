"""Equation 18: what a DN walk adds up to for a small inner rate, to the order stated."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from tests.integration import replay
from tests.oracles import learning
from tests.oracles.learning import Params
from torch import Tensor, nn

from mamdr.data.domains import Batch
from mamdr.engine import Sequential, WalkOptions, inner
from mamdr.parameters import LocalStore
from mamdr.strategies import Walk
from mamdr.testing import TwoTables, parameters_of, tiny_market
from mamdr.testing.lab import at_work

Loss = Callable[[nn.Module], Tensor]

ORDER = (2, 0, 1)
DATA = tiny_market((12, 9, 15))


def _losses(dtype: torch.dtype) -> list[Loss]:
    whole = [next(iter(DATA.train.batches([domain], 1000, None))) for domain in range(3)]
    return [functools.partial(_loss, batch, labels.to(dtype)) for batch, labels in whole]


def _loss(batch: Batch, labels: Tensor, module: nn.Module) -> Tensor:
    return learning.loss_of(module, batch, labels)


def _displacement(module: nn.Module, alpha: float) -> Params:
    """Of a walk with one full-batch SGD step a domain."""
    options = WalkOptions(batch_size=1000, inner=inner.SGD(lr=alpha))
    with at_work(module, DATA, options) as (session, run):
        store = LocalStore.of(module, session.space)
        (outcome,) = Sequential(run.walker)([Walk(store, replay.legs(*ORDER), seed=0)])
        assert outcome.steps == len(ORDER)
        return parameters_of(outcome.displacement)


def _norm(values: Params) -> float:
    return float(torch.cat([value.reshape(-1) for value in values.values()]).norm())


def _errors(alpha: float) -> tuple[float, float]:
    """How far displacement / −α is from both terms of the equation, and from the first alone."""
    module = TwoTables().double()
    found = {name: value / -alpha for name, value in _displacement(module, alpha).items()}
    first, second = learning.equation_18(TwoTables().double(), _losses(torch.float64), ORDER, alpha)
    return (
        _norm(learning.add(found, learning.add(first, second, -1.0), -1.0)),
        _norm(learning.add(found, first, -1.0)),
    )


def test_the_error_is_of_second_order() -> None:
    """Halving the rate quarters the error of both terms together: O(α²)."""
    errors = [_errors(alpha)[0] for alpha in (0.02, 0.01, 0.005)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def test_the_second_term_is_needed() -> None:
    """Without the Hessian products the error is of first order, O(α), and much larger."""
    both, alone = zip(*(_errors(alpha) for alpha in (0.02, 0.01)), strict=True)
    assert alone[0] / alone[1] == pytest.approx(2, rel=0.05)
    assert alone[1] > 20 * both[1]


def test_the_second_term_raises_inner_products_of_gradients() -> None:
    """Over an order and its reverse, the terms add up to α times the gradient of Σ ⟨ḡ_i, ḡ_j⟩ (Equations 19 to 21)."""
    alpha, losses = 0.01, _losses(torch.float64)
    module = TwoTables().double()
    there = learning.equation_18(module, losses, ORDER, alpha)[1]
    back = learning.equation_18(module, losses, ORDER[::-1], alpha)[1]
    expected = _gradient_of_products(module, losses)
    for name, value in learning.add(there, back).items():
        torch.testing.assert_close(value, alpha * expected[name], rtol=1e-9, atol=1e-12)


def _gradient_of_products(module: nn.Module, losses: list[Loss]) -> Params:
    """The gradient of Σ over pairs i < j of ⟨g_i, g_j⟩."""
    parameters = list(module.parameters())
    gradients: list[Tensor] = []
    for loss in losses:
        parts = torch.autograd.grad(loss(module), parameters, create_graph=True)
        gradients.append(torch.cat([part.reshape(-1) for part in parts]))
    products = sum(gradients[i] @ gradients[j] for j in range(3) for i in range(j))
    found = torch.autograd.grad(products, parameters)
    return {name: value for (name, _), value in zip(module.named_parameters(), found, strict=True)}
