"""What the cases of model_peers.py share: sizes, rows, and a plain training loop that runs in any environment.

Only numpy and torch are imported, so that the file runs in another project's virtual environment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.shapes import Table

BATCH, LR, DROPOUT = 1024, 1e-3, 0.5
EMBEDDING = 32
BOTTOM, TOWER = (256, 128), (64,)
EXPERTS, COUNT = (256, 128), 3
PLE_EXPERTS, PLE_TOWER, LEVELS = (64,), (32,), 2
STAR_HIDDEN, STAR_AUXILIARY = (128, 64), (32,)


def rows(domains: int, steps: int, batch: int = BATCH, users: int = 20_000, items: int = 10_000) -> Table:
    """As many rows as `steps` batches have, of random users and items, spread evenly over the domains."""
    draw, count = np.random.default_rng(0), steps * batch
    user, item = (draw.integers(0, size, count).astype(np.int32) for size in (users, items))
    domain = np.sort(np.arange(count) % domains).astype(np.int32)
    label = (draw.random(count) < 0.3).astype(np.float32)
    return Table("even", user, item, domain, label, users, items)


def sizes(table: Table) -> dict[str, int]:
    """Columns and their numbers of ids; the domain is a feature too."""
    return {"user_id": table.users, "item_id": table.items, "domain": len(table.sizes)}


def batches(table: Table, batch: int, seed: int) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """All rows in random order, of all domains mixed."""
    columns = {"user_id": table.user, "item_id": table.item, "domain": table.domain}
    tensors = {name: torch.from_numpy(values).long() for name, values in columns.items()}
    labels = torch.from_numpy(table.label)
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))
    for part in order.split(batch):
        yield {name: column[part] for name, column in tensors.items()}, labels[part]


def of_domain(outputs: Tensor, domain: Tensor) -> Tensor:
    """Of the outputs for every domain [B, D] those of the rows' own [B]."""
    return outputs.gather(1, domain.unsqueeze(1)).squeeze(1)


def training(
    module: nn.Module, table: Table, logits: Callable[[dict[str, Tensor]], Tensor], batch: int
) -> Callable[[], dict[str, Any]]:
    """A case: a pass over the rows by torch.optim.Adam, without any trainer around it."""
    optimizer, passed = torch.optim.Adam(module.parameters(), lr=LR), 0
    module.train()

    def run() -> dict[str, Any]:
        nonlocal passed
        passed += 1
        for columns, labels in batches(table, batch, seed=passed):
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(logits(columns), labels).backward()
            optimizer.step()
        return {"samples": len(table)}

    return run
