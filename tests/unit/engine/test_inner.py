"""Inner optimizers equal torch.optim's, and the plain formulas."""

from __future__ import annotations

import pytest
import torch
from tests.integration.replay import torch_optimizer
from tests.oracles import optimizers

from mamdr.engine import inner

CASES = [
    (inner.SGD(lr=0.3), lambda: optimizers.Sgd(0.3)),
    (inner.Adam(lr=0.02, beta1=0.8, beta2=0.95), lambda: optimizers.Adam(0.02, 0.8, 0.95)),
    (inner.Adagrad(lr=0.1), lambda: optimizers.Adagrad(0.1)),
]
NAMES = ["sgd", "adam", "adagrad"]


def _gradients(steps: int, dtype: torch.dtype) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(4)
    return [torch.randn(37, generator=random, dtype=dtype) for _ in range(steps)]


def _ours(rule: inner.Inner, dtype: torch.dtype) -> torch.Tensor:
    """Ten steps, the values in two tensors of different lengths."""
    values = [torch.ones(30, dtype=dtype), torch.ones(7, dtype=dtype)]
    moments = [[torch.zeros_like(value) for value in values] for _ in rule.moments]
    for count, grad in enumerate(_gradients(10, dtype), start=1):
        rule.step(values, list(grad.split([30, 7])), moments, count)
    return torch.cat(values)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@pytest.mark.parametrize(("rule", "oracle"), CASES, ids=NAMES)
def test_ten_steps_are_those_of_torch_and_of_the_formula(
    rule: inner.SGD, oracle: type[optimizers.Sgd], dtype: torch.dtype, tolerance: float
) -> None:
    theirs = torch.nn.Parameter(torch.ones(37, dtype=dtype))
    optimizer, formula, params = torch_optimizer(rule)([theirs]), oracle(), {"x": torch.ones(37, dtype=dtype)}
    for grad in _gradients(10, dtype):
        theirs.grad = grad
        optimizer.step()
        params = formula.step(params, {"x": grad})
    ours = _ours(rule, dtype)
    torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=tolerance)
    torch.testing.assert_close(ours, params["x"], rtol=0, atol=tolerance)


@pytest.mark.parametrize("rule", [rule for rule, _ in CASES], ids=NAMES)
def test_a_value_without_gradient_or_past_rests(rule: inner.SGD) -> None:
    """Why a fresh optimizer over a walk's rows equals one over the whole table."""
    values, moments = [torch.ones(5)], [[torch.zeros(5)] for _ in rule.moments]
    rule.step(values, [torch.zeros(5)], moments, 1)
    assert torch.equal(values[0], torch.ones(5))


def test_no_values_are_no_trouble() -> None:
    for rule, _ in CASES:
        rule.step([torch.empty(0)], [torch.empty(0)], [[torch.empty(0)] for _ in rule.moments], 1)
