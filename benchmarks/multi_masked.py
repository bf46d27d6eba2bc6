"""Multi-domain models in the manner of Scenario-Wise-Rec: every domain's layers see the whole batch, and a mask picks.

Written here in that manner, as plain modules; nothing of that library is in them. STAR has one batch normalisation for
all domains, where partitioned normalisation would cost more.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import multi
from benchmarks.shapes import Table


def network(width: int, sizes: Sequence[int], out: bool = True) -> nn.Sequential:
    """Layers with ReLU and dropout, then a logit if asked for."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise([width, *sizes]):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(multi.DROPOUT)]
    return nn.Sequential(*layers, *([nn.Linear(sizes[-1], 1)] if out else []))


def networks(count: int, width: int, sizes: Sequence[int], out: bool = True) -> nn.ModuleList:
    return nn.ModuleList(network(width, sizes, out) for _ in range(count))


class Masked(nn.Module):
    """Embeddings, and what a subclass makes of them for each domain."""

    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, multi.EMBEDDING) for size in sizes.values())
        self.columns, self.domains, self.width = list(sizes), sizes["domain"], len(sizes) * multi.EMBEDDING

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        rows = torch.cat([t(batch[name]) for t, name in zip(self.tables, self.columns, strict=True)], dim=1)
        logits = torch.zeros(len(rows))
        for domain, output in enumerate(self.each(rows)):
            logits = torch.where(batch["domain"] == domain, output.squeeze(1), logits)
        return logits

    def each(self, rows: Tensor) -> list[Tensor]:
        """For each domain the logits of all rows [B, 1]."""
        raise NotImplementedError


class SharedBottom(Masked):
    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__(sizes)
        self.bottom = network(self.width, multi.BOTTOM, out=False)
        self.towers = networks(self.domains, multi.BOTTOM[-1], multi.TOWER)

    def each(self, rows: Tensor) -> list[Tensor]:
        shared = self.bottom(rows)
        return [tower(shared) for tower in self.towers]


class MMOE(Masked):
    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__(sizes)
        self.experts = networks(multi.COUNT, self.width, multi.EXPERTS, out=False)
        self.gates = nn.ModuleList(nn.Linear(self.width, multi.COUNT) for _ in range(self.domains))
        self.towers = networks(self.domains, multi.EXPERTS[-1], multi.TOWER)

    def each(self, rows: Tensor) -> list[Tensor]:
        found = torch.stack([expert(rows) for expert in self.experts], dim=1)
        pairs = zip(self.gates, self.towers, strict=True)
        return [tower(_mix(gate(rows), found)) for gate, tower in pairs]


class PLE(Masked):
    """An expert of each domain's own and a shared one, on two levels."""

    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__(sizes)
        widths = [self.width, *[multi.PLE_EXPERTS[-1]] * (multi.LEVELS - 1)]
        self.own = nn.ModuleList(networks(self.domains, w, multi.PLE_EXPERTS, out=False) for w in widths)
        self.shared = networks(1, widths[0], multi.PLE_EXPERTS, out=False)
        self.shared.extend(network(w, multi.PLE_EXPERTS, out=False) for w in widths[1:])
        self.gates = nn.ModuleList(
            nn.ModuleList(nn.Linear(w, 2) for _ in range(self.domains)) for w in widths
        )
        self.gate = nn.ModuleList(nn.Linear(w, self.domains + 1) for w in widths[:-1])
        self.towers = networks(self.domains, multi.PLE_EXPERTS[-1], multi.PLE_TOWER)

    def each(self, rows: Tensor) -> list[Tensor]:
        inputs, common = [rows] * self.domains, rows
        for level, (own, gates) in enumerate(zip(self.own, self.gates, strict=True)):
            found = [expert(x) for expert, x in zip(own, inputs, strict=True)]
            shared = self.shared[level](common)
            pairs = [torch.stack([mine, shared], dim=1) for mine in found]
            mixed = [_mix(gate(x), pair) for gate, x, pair in zip(gates, inputs, pairs, strict=True)]
            if level < len(self.gate):
                common = _mix(self.gate[level](common), torch.stack([*found, shared], dim=1))
            inputs = mixed
        return [tower(x) for tower, x in zip(self.towers, inputs, strict=True)]


class STAR(Masked):
    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__(sizes)
        self.auxiliary = network(self.width, multi.STAR_AUXILIARY)
        self.width -= multi.EMBEDDING  # the domain's embedding, last, is for the auxiliary network alone
        self.norm = nn.BatchNorm1d(self.width)
        self.shapes = list(itertools.pairwise([self.width, *multi.STAR_HIDDEN, 1]))
        self.shared = nn.ModuleList(nn.Linear(before, after) for before, after in self.shapes)
        self.own = nn.ModuleList(
            nn.ModuleList(nn.Linear(before, after) for before, after in self.shapes)
            for _ in range(self.domains)
        )

    def each(self, rows: Tensor) -> list[Tensor]:
        normal, beside = self.norm(rows[:, : self.width]), self.auxiliary(rows)
        return [self._one(normal, own) + beside for own in self.own]

    def _one(self, x: Tensor, own: Any) -> Tensor:
        for number, (layer, mine) in enumerate(zip(self.shared, own, strict=True)):
            if number:
                x = F.dropout(F.relu(x), multi.DROPOUT, self.training)
            x = F.linear(x, layer.weight * mine.weight, layer.bias + mine.bias)
        return x


def _mix(gate: Tensor, experts: Tensor) -> Tensor:
    return (torch.softmax(gate, dim=1).unsqueeze(2) * experts).sum(1)


MODELS = {"shared_bottom": SharedBottom, "mmoe": MMOE, "ple": PLE, "star": STAR}


def prepare(folder: str, model: str, batch: int) -> Callable[[], dict[str, Any]]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    table = Table.load(folder)
    module = MODELS[model](multi.sizes(table))
    return multi.training(module, table, module, batch)
