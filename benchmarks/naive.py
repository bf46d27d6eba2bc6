"""The baseline: MAMDR as an engineer writes it in PyTorch on an afternoon, with the tools at hand.

Deep copies of all trained weights through state_dict, `DataLoader(TensorDataset, shuffle=True)`, `torch.optim.Adam`
with its defaults (for each walk a new one), `nn.Dropout`, dense `nn.Embedding` tables, torch's default settings. It
computes the same algorithm as mamdr. Frozen feature tables are not copied, which is to the baseline's favour.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import models
from benchmarks.shapes import Table

Weights = dict[str, Tensor]
LR, OUTER_LR, SPECIFIC_LR, BATCH = 1e-3, 0.1, 0.1, 1024


class Naive:
    """A model, its shared and specific weights and one loader a domain.

    Args:
        table: the train rows.
        fraction: the part of each leg's batches that is really trained, in (0, 1]. Copies and loaders are always
            whole; `left_out` tells the processor seconds that the other batches would have taken.
    """

    def __init__(self, table: Table, dropout: float, fraction: float = 1.0, batch: int = BATCH) -> None:
        self.table, self.fraction, self.batch = table, fraction, batch
        self.model = models.build(table, dropout)
        self.trained = {name for name, p in self.model.named_parameters() if p.requires_grad}
        self.shared = self.copy()
        self.specific = [
            {name: torch.zeros_like(value) for name, value in self.shared.items()} for _ in table.sizes
        ]
        self.loaders = _loaders(table, batch)
        self.samples = 0
        self.left_out = 0.0

    def copy(self) -> Weights:
        state = self.model.state_dict()
        return copy.deepcopy({name: state[name] for name in self.trained})

    def walk(self, start: Mapping[str, Tensor], domains: Sequence[int]) -> Weights:
        """Train from `start` on one domain after another; the weights at the end."""
        self.model.load_state_dict(dict(start), strict=False)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=LR)
        for domain in domains:
            self._leg(domain, optimizer)
        return self.copy()

    def _leg(self, domain: int, optimizer: torch.optim.Optimizer) -> None:
        loader, rows = self.loaders[domain], self.table.sizes[domain]
        wanted = (
            len(loader)
            if self.fraction == 1
            else min(len(loader), max(3, round(len(loader) * self.fraction)))
        )
        self.model.train()
        batches, begun = iter(loader), 0.0
        batch = next(batches)
        for step in range(wanted):
            if (
                step == 1
            ):  # a walk's first step allocates Adam's state, a leg's first batch shuffles: once, not a step
                begun = time.process_time()
            self.step(batch, optimizer)
            batch = next(batches, batch)
        self.samples += rows
        if wanted < len(loader):
            left_out = (rows - wanted * self.batch) / self.batch
            self.left_out += (time.process_time() - begun) / (wanted - 1) * left_out

    def step(self, batch: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> None:
        user, item, domain, label = batch
        optimizer.zero_grad()
        logits = self.model({"user_id": user, "item_id": item, "domain": domain})
        F.binary_cross_entropy_with_logits(logits, label).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def round(self, order: Sequence[int], helpers: Sequence[Sequence[int]]) -> None:
        """One round of MAMDR: Domain Negotiation, then Domain Regularization with these helpers."""
        end = self.walk(self.shared, order)
        self.shared = {n: v + OUTER_LR * (end[n] - v) for n, v in self.shared.items()}
        for i, chosen in enumerate(helpers):
            for j in chosen:
                start = {n: v + self.specific[i][n] for n, v in self.shared.items()}
                end = self.walk(start, [j, i])
                self.specific[i] = {
                    n: v + SPECIFIC_LR * (end[n] - start[n]) for n, v in self.specific[i].items()
                }


def _loaders(table: Table, batch: int) -> list[DataLoader[tuple[Tensor, ...]]]:
    columns = [torch.from_numpy(a.astype(np.int64)) for a in (table.user, table.item, table.domain)]
    columns.append(torch.from_numpy(table.label))
    ends = np.cumsum(table.sizes)
    return [
        DataLoader(TensorDataset(*(c[end - n : end] for c in columns)), batch_size=batch, shuffle=True)
        for n, end in zip(table.sizes, ends, strict=True)
    ]


def draws(domains: int, helpers: int, seed: int) -> tuple[list[int], list[list[int]]]:
    """An order of the domains and `helpers` others for each."""
    draw = np.random.default_rng(seed)
    order = [int(d) for d in draw.permutation(domains)]
    drawn = []
    for i in range(domains):
        others = [d for d in range(domains) if d != i]
        drawn.append([int(d) for d in draw.choice(others, size=min(helpers, len(others)), replace=False)])
    return order, drawn


def prepare_round(
    folder: str, helpers: int, dropout: float, fraction: float = 1.0
) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: rounds of MAMDR; tells the samples passed and the seconds to add for what was left out."""
    torch.set_num_threads(1)
    table = Table.load(folder)
    naive, seeds = Naive(table, dropout, fraction), iter(range(10**6))

    def run() -> dict[str, Any]:
        naive.samples, naive.left_out = 0, 0.0
        naive.round(*draws(len(table.sizes), helpers, next(seeds)))
        return {"samples": naive.samples, "left_out_s": naive.left_out}

    return run


def prepare_steps(folder: str, steps: int) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: plain dense training, `steps` steps on the first rows, nothing copied."""
    torch.set_num_threads(1)
    table = Table.load(folder)
    naive = Naive(table, dropout=0.0)
    optimizer = torch.optim.Adam(naive.model.parameters(), lr=LR)
    batches = [batch for _, batch in zip(range(steps + 1), naive.loaders[0], strict=False)]
    naive.step(batches[0], optimizer)

    def run() -> dict[str, Any]:
        for batch in batches[1:]:
            naive.step(batch, optimizer)
        return {"steps": len(batches) - 1}

    return run
