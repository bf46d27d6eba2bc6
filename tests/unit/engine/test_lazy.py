"""Stepping only the rows of a batch, and making up for the rest later, comes to the same as stepping all rows."""

from __future__ import annotations

import pytest
import torch
from tests.unit.engine.test_any_module import walked
from tests.unit.engine.zoo import make

from mamdr.engine import WalkOptions, inner

BETAS = [(0.9, 0.999), (0.0, 0.999), (0.5, 0.9), (0.9, 0.5), (0.9, 0.0), (0.99, 0.999), (0.9, 0.81)]


def _adam(
    value: torch.Tensor, mean: torch.Tensor, square: torch.Tensor, rule: inner.Adam, steps: range
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Adam's steps without gradients, one by one."""
    for t in steps:
        mean, square = rule.beta1 * mean, rule.beta2 * square
        scale = (square / (1 - rule.beta2**t)).sqrt() + rule.eps
        value = value - rule.lr * (mean / (1 - rule.beta1**t)) / scale
    return value, mean, square


@pytest.mark.parametrize(("beta1", "beta2"), BETAS)
@pytest.mark.parametrize("eps", [1e-8, 1e-3])
@pytest.mark.parametrize("last", [0, 1, 7, 400, 30_000])
@pytest.mark.parametrize("idle", [0, 1, 5, 300])
def test_coasting_is_adam_without_gradients(
    beta1: float, beta2: float, eps: float, last: int, idle: int
) -> None:
    rule, random = inner.Adam(lr=0.01, beta1=beta1, beta2=beta2, eps=eps), torch.Generator().manual_seed(1)
    kind = {"generator": random, "dtype": torch.float64}
    value, mean = torch.randn(6, 3, **kind), torch.randn(6, 3, **kind) * 0.1  # type: ignore[arg-type]
    square = mean.square() * (1 + torch.rand(6, 3, **kind)) * 0.1  # type: ignore[arg-type]
    if last == 0:
        mean, square = (
            torch.zeros_like(mean),
            torch.zeros_like(square),
        )  # nothing is remembered before a first step
    want, want_mean, want_square = _adam(value, mean, square, rule, range(last + 1, last + idle + 1))
    rows, moments = value.clone(), [mean.clone(), square.clone()]
    rule.coast(rows, moments, torch.full((6,), last), last + idle)
    torch.testing.assert_close(moments[0], want_mean, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(moments[1], want_square, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(rows - value, want - value, rtol=0.02 if eps > 1e-6 else 1e-4, atol=1e-12)


@pytest.mark.parametrize("rule", [inner.SGD(), inner.Adagrad()], ids=["sgd", "adagrad"])
def test_other_optimizers_rest_anyway(rule: inner.SGD | inner.Adagrad) -> None:
    rows = torch.ones(3, 2)
    rule.coast(rows, [torch.ones(3, 2) for _ in rule.moments], torch.zeros(3, dtype=torch.int64), 9)
    assert torch.equal(rows, torch.ones(3, 2))


@pytest.mark.parametrize(
    "name", ["padding", "one table, two columns", "max_norm", "bag mean", "random ids", "offsets"]
)
def test_lazy_walks_end_where_dense_ones_do(name: str) -> None:
    """To a few parts in a thousand of each table's move; and nearer than letting rows rest by far."""
    module, ends = make(name).double(), {}
    for rows in ("dense", "lazy", "sparse"):
        options = WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01), rows=rows)  # type: ignore[arg-type]
        found, _ = walked(module, options)
        ends[rows] = torch.cat([value.reshape(-1) for value in found.values()])
    size = float(ends["dense"].norm())
    error = {rows: float((ends[rows] - ends["dense"]).norm()) / size for rows in ("lazy", "sparse")}
    assert error["lazy"] < 0.005
    assert error["lazy"] < 0.1 * error["sparse"]
