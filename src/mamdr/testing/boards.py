"""Checkerboards: data whose labels two features tell together and neither tells alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mamdr.data.domains import Batch, Schema

SIDE = 4
_STEPS, _LR, _ENOUGH = 400, 0.03, 0.02
_SETTLE = 50
"""Forward passes in which running statistics catch up with the last weights."""


def checkerboard(schema: Schema, *, opposite: bool = False) -> tuple[Batch, Tensor]:
    """Every square of a board in two domains, and its colour: label = (a + b) mod 2, with a and b below SIDE.

    Args:
        schema: its first two id columns are a and b; every other column is zero, every list empty.
        opposite: the second domain's board has its colours exchanged, so that the domain decides as well.
    """
    count = 2 * SIDE * SIDE
    square = torch.arange(count)
    domain, a, b = square // SIDE**2, square // SIDE % SIDE, square % SIDE
    batch = {
        name: torch.zeros((count, 1) if name in schema.lists else count, dtype=torch.int64)
        for name in schema.ids
    }
    batch |= {name: torch.zeros(count) for name in schema.numeric}
    first, second = list(schema.ids)[:2]
    labels = (a + b + domain * opposite) % 2
    return batch | {first: a, second: b, "domain": domain}, labels.float()


def loss_after_fitting(module: nn.Module, batch: Batch, labels: Tensor) -> float:
    """Mean log loss in evaluation mode once the module has been fitted to these very rows: Adam, no dropout.

    A module that cannot represent the labels of a board stays at log 2 = 0.69 or above.
    """
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=_LR)
    module.train()
    for _ in range(_STEPS):
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(module(batch), labels)
        if loss < _ENOUGH:
            break
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        for _ in range(_SETTLE):
            module(batch)
        return float(binary_cross_entropy_with_logits(module.eval()(batch), labels))
