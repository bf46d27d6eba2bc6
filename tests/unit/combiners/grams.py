"""Gradients for the tests of combiners, easy and nasty, and what a combiner is told of them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from mamdr.combiners import Combiner, Seen


def gradients(count: int, width: int = 7, seed: int = 0, pull: float = 0.0) -> Tensor:
    """[count, width] float64 normal; `pull` moves them towards one direction, so that fewer conflict."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=random, dtype=torch.float64) + pull


def seen(each: Tensor, seed: int = 0, losses: Tensor | None = None) -> Seen:
    ids = torch.arange(len(each))
    found = torch.ones(len(each), dtype=torch.float64) if losses is None else losses
    draw = np.random.default_rng(seed)
    return Seen(ids, torch.ones_like(ids), found, each @ each.T, len(each), draw)


def step(combiner: Combiner, each: Tensor, seed: int = 0) -> Tensor:
    """The combined gradient."""
    return combiner.weights(seen(each, seed)) @ each


def nasty() -> dict[str, Tensor]:
    """Gradients at which a careless solver stumbles."""
    some = gradients(4)
    lengths = torch.tensor([[1e-12], [1e12], [1.0], [1e3]], dtype=torch.float64)
    one, none = some[:1], torch.zeros(4, 7, dtype=torch.float64)
    with_none = some.clone()
    with_none[2] = 0.0
    return {
        "all zero": none,
        "one zero": with_none,
        "two zeros and one": torch.cat([none[:2], one]),
        "one domain": one,
        "one domain of zero": none[:1],
        "tiny": 1e-12 * some,
        "huge": 1e12 * some,
        "tiny beside huge": lengths * some,
        "duplicates": torch.cat([some, some]),
        "nearly duplicates": one + 1e-9 * some,
        "opposites": torch.cat([one, -one]),
        "opposites of other lengths": torch.cat([one, -3.0 * one]),
        "nearly opposites": torch.cat([one, -one + 1e-7 * some[1:2]]),
        "on one line": torch.tensor([[1.0], [-2.0], [3.0], [0.5]]).double() * one,
        "more than dimensions": gradients(12, width=3),
        "many that cancel": torch.cat([gradients(40, width=21), -gradients(40, width=21).mean(0)[None]]),
    }


matrices = (
    st.integers(1, 5)
    .flatmap(
        lambda count: st.lists(
            st.lists(st.integers(-3, 3).map(float), min_size=4, max_size=4), min_size=count, max_size=count
        )
    )
    .map(lambda rows: torch.tensor(rows, dtype=torch.float64))
)
"""Small gradients of whole numbers: zeros, duplicates, opposites and dependent ones come up all the time."""
