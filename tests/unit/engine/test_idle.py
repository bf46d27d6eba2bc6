"""Rows stepped when a batch touches them come to the same as rows stepped at every batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mamdr import models
from mamdr.data.domains import Dataset
from mamdr.engine import Session, Walker, WalkOptions, inner, trace
from mamdr.engine.idle import coast, has_short_form
from mamdr.parameters import LocalStore
from mamdr.strategies import Leg, Walk


def plain(
    value: torch.Tensor,
    mean: torch.Tensor,
    square: torch.Tensor,
    last: int,
    now: int,
    beta2: float,
    eps: float,
) -> tuple[torch.Tensor, ...]:
    """Adam's formula with gradient zero, step after step."""
    for step in range(last + 1, now + 1):
        mean, square = 0.9 * mean, beta2 * square
        unbiased = (square / (1 - beta2**step)).sqrt() + eps
        value = value - 0.01 * mean / (1 - 0.9**step) / unbiased
    return value, mean, square


@pytest.mark.parametrize("eps", [1e-30, 1e-8, 1e3])
@pytest.mark.parametrize("now", [1, 2, 7, 60, 30_000])
@pytest.mark.parametrize("beta2", [0.999, 0.995])
def test_coasting_is_the_loop_it_stands_for(beta2: float, now: int, eps: float) -> None:
    random = torch.Generator().manual_seed(now)
    lasts = torch.tensor(sorted({max(now - 400, 0), now // 2, max(now - 1, 0), now}))
    lasts = lasts[lasts >= now - 500]
    rows = torch.randn(len(lasts), 3, generator=random, dtype=torch.float64)
    mean = torch.randn(len(lasts), 3, generator=random, dtype=torch.float64) * 1e-4
    square = mean**2 * 0.01
    expected = [
        plain(rows[i], mean[i], square[i], int(last), now, beta2, eps)
        for i, last in enumerate(lasts.tolist())
    ]
    assert has_short_form(0.9, beta2)
    coast(rows, mean, square, lasts, now, 0.01, 0.9, beta2, eps)
    for found, index in ((mean, 1), (square, 2)):
        torch.testing.assert_close(found, torch.stack([e[index] for e in expected]), rtol=1e-9, atol=1e-30)
    torch.testing.assert_close(
        rows, torch.stack([e[0] for e in expected]), rtol=0, atol=(1 - beta2) / 10 if eps == 1e-8 else 1e-9
    )


def test_rows_never_stepped_stay() -> None:
    rows, zero = torch.ones(2, 3), torch.zeros(2, 3)
    coast(rows, zero, zero.clone(), torch.tensor([0, 4]), 9, 0.1, 0.9, 0.999, 1e-8)
    assert torch.equal(rows, torch.ones(2, 3))


def _data() -> Dataset:
    random = np.random.default_rng(0)

    def split(rows: int) -> dict[str, np.ndarray]:
        columns = {"user_id": 300, "item_id": 200, "domain": 3, "label": 2}
        return {name: random.integers(0, high, rows) for name, high in columns.items()}

    splits = {"train": split(2000), "val": split(50), "test": split(50)}
    return Dataset.from_arrays("idle", ["a", "b", "c"], splits, ids={"user_id": 300, "item_id": 200})


@pytest.mark.parametrize(
    ("rule", "near"),
    [
        (inner.SGD(lr=0.1), 1e-12),
        (inner.Adagrad(), 1e-12),
        (inner.Adam(eps=1e-14), 1e-8),
        (inner.Adam(), 1e-4),
    ],
    ids=["sgd", "adagrad", "adam, eps to zero", "adam"],
)
def test_a_lazy_walk_ends_where_a_dense_one_does(
    rule: inner.SGD | inner.Adagrad | inner.Adam, near: float
) -> None:
    data, ends = _data(), {}
    for rows in ("dense", "lazy", "sparse"):
        module = models.build(
            "mlp", data.schema, {"embedding": 4, "hidden": (8,), "dropout": 0.0}, seed=1
        ).double()
        space = trace(module, data.schema)
        options = WalkOptions(batch_size=32, inner=rule, rows=rows)  # type: ignore[arg-type]
        with Session(module, space, data, options) as session:
            walk = Walk(LocalStore.of(module, space), (Leg((0,)), Leg((1,)), Leg((2,))), seed=1)
            ends[rows] = Walker(session)(walk).displacement.flat.clone()
    assert float((ends["dense"] - ends["lazy"]).abs().max()) < near
    if isinstance(rule, inner.Adam):
        assert float((ends["dense"] - ends["sparse"]).abs().max()) > 0.01
