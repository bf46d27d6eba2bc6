"""Modules of every awkward kind that people write, each small. B rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mamdr.data.domains import Batch
from mamdr.testing.market import HOURS, ITEMS, USERS

WIDTH = 4
SIZES = {"user_id": USERS, "item_id": ITEMS, "hour": HOURS}


class Head(nn.Module):
    """What all of them share: a hidden layer and a logit on top of [B, width]."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, 5)
        self.logit = nn.Linear(5, 1)

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.logit(torch.tanh(self.hidden(x)))
        return logits.squeeze(1)


class SameColumnTwice(Head):
    """Two embeddings of one id column."""

    def __init__(self) -> None:
        super().__init__(2 * WIDTH)
        self.wide, self.deep = nn.Embedding(USERS, WIDTH), nn.Embedding(USERS, WIDTH)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(torch.cat([self.wide(batch["user_id"]), self.deep(batch["user_id"])], 1))


class OneTableTwoColumns(Head):
    """One embedding called for two columns."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(2 * WIDTH)
        self.table = nn.Embedding(USERS, WIDTH, **settings)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(torch.cat([self.table(batch["user_id"]), self.table(batch["item_id"])], 1))


class Plain(Head):
    """Users and items, with settings of `nn.Embedding`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(2 * WIDTH)
        self.user, self.item = nn.Embedding(USERS, WIDTH, **settings), nn.Embedding(ITEMS, WIDTH)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(torch.cat([self.user(batch["user_id"]), self.item(input=batch["item_id"])], 1))


class TiedPadding(Plain):
    """Two embeddings of one weight, padding in one of them alone."""

    def __init__(self) -> None:
        super().__init__(padding_idx=3)
        self.item = nn.Embedding(USERS, WIDTH)
        self.item.weight = self.user.weight


class Bag(Head):
    """A bag of two columns, ids as [B, 2]."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(USERS, WIDTH, **settings)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.bag(torch.stack([batch["user_id"], batch["hour"]], 1)))


class BagOfOffsets(Head):
    """Bags of two ids in a flat list with offsets."""

    def __init__(self, weighted: bool = False, **settings: Any) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(USERS, WIDTH, mode="sum", **settings)
        self.weighted = weighted

    def forward(self, batch: Batch) -> Tensor:
        ids = torch.stack([batch["user_id"], batch["item_id"]], 1).reshape(-1)
        offsets = torch.arange(0, len(ids) + int(self.bag.include_last_offset), 2)
        weights = torch.linspace(0.1, 1, len(ids), dtype=self.hidden.weight.dtype) if self.weighted else None
        return self.head(self.bag(ids, offsets, per_sample_weights=weights))


class SharedWithLinear(Head):
    """The output layer is the embedding's own weight: a logit for each item, the row's one picked."""

    def __init__(self) -> None:
        super().__init__()
        self.item = nn.Embedding(ITEMS, WIDTH)
        self.user = nn.Embedding(USERS, WIDTH)
        self.out = nn.Linear(WIDTH, ITEMS)
        self.out.weight = self.item.weight

    def forward(self, batch: Batch) -> Tensor:
        logits = self.out(self.user(batch["user_id"]) + self.item(batch["item_id"]))
        return self.head(self.user(batch["user_id"])) + logits.gather(1, batch["item_id"][:, None]).squeeze(1)


class UsedElsewhere(Plain):
    """The weight is used without a lookup too: its norm, and a product with it."""

    def forward(self, batch: Batch) -> Tensor:
        scores = F.linear(self.user(batch["user_id"]), self.item.weight)
        return super().forward(batch) + scores.mean(1) - 0.01 * self.user.weight.norm()


class UsedElsewhereInTraining(Plain):
    """The weight is used in another way only while training."""

    def forward(self, batch: Batch) -> Tensor:
        logits = super().forward(batch)
        return logits + 0.1 * self.item.weight.mean() if self.training else logits


class ReadsShape(Plain):
    """Ids are folded by the number of rows that the weight has."""

    def forward(self, batch: Batch) -> Tensor:
        ids = (batch["user_id"] * 7 + 3) % self.item.weight.shape[0]
        return self.head(torch.cat([self.user(batch["user_id"]), self.item(ids)], 1))


class FrozenTable(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.user.weight.requires_grad_(False)


class NoEmbedding(Head):
    """Numbers only."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(torch.stack([batch["price"], batch["price"] ** 2], 1).to(self.hidden.weight.dtype))


class OnlyTables(nn.Module):
    """No dense parameter at all: a matrix factorisation."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(USERS, WIDTH), nn.Embedding(ITEMS, WIDTH)

    def forward(self, batch: Batch) -> Tensor:
        return (self.user(batch["user_id"]) * self.item(batch["item_id"])).sum(1)


class Offsets(Head):
    """All columns in one table, each after the other, ids as [B, 3]."""

    def __init__(self) -> None:
        super().__init__(3 * WIDTH)
        self.table = nn.Embedding(USERS + ITEMS + HOURS, WIDTH)
        self.register_buffer("starts", torch.tensor([0, USERS, USERS + ITEMS]))

    def forward(self, batch: Batch) -> Tensor:
        ids = torch.stack([batch[name] for name in SIZES], 1) + self.starts
        return self.head(self.table(ids).flatten(1))


class Hashed(Head):
    """Ids hashed into few buckets."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, WIDTH)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.table((batch["user_id"] * 31 + batch["item_id"] * 17) % 11))


class Numeric(Plain):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) + batch["price"].to(self.hidden.weight.dtype)


class Normed(Plain):
    """Batch normalisation, whose buffers move in training."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2 * WIDTH)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.norm(torch.cat([self.user(batch["user_id"]), self.item(batch["item_id"])], 1)))


class Dropped(Plain):
    def forward(self, batch: Batch) -> Tensor:
        return F.dropout(super().forward(batch), 0.3, self.training)


class RandomIds(Plain):
    """Some ids are replaced by random ones, in training: rows that nobody can foresee."""

    def forward(self, batch: Batch) -> Tensor:
        if self.training:
            swap = torch.rand(len(batch["user_id"])) < 0.4
            random = torch.randint(0, USERS, (len(swap),))
            batch = {**batch, "user_id": torch.where(swap, random, batch["user_id"])}
        return super().forward(batch)


class LooksWithoutGradient(Plain):
    """A second lookup in the same table, outside the graph, after the first."""

    def forward(self, batch: Batch) -> Tensor:
        logits = super().forward(batch)
        with torch.no_grad():
            aside = self.user(batch["user_id"].flip(0)).sum(1)
        return logits + 0.1 * aside


class UnusedTable(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.never = nn.Embedding(50, 3)


ZOO: dict[str, Callable[[], nn.Module]] = {
    "same column twice": SameColumnTwice,
    "one table, two columns": OneTableTwoColumns,
    "padding": lambda: Plain(padding_idx=2),
    "padding, tied": TiedPadding,
    "max_norm": lambda: Plain(max_norm=0.8),
    "max_norm, one table twice": lambda: OneTableTwoColumns(max_norm=0.8),
    "scale_grad_by_freq": lambda: Plain(scale_grad_by_freq=True),
    "sparse": lambda: Plain(sparse=True),
    "bag mean": lambda: Bag(mode="mean"),
    "bag sum": lambda: Bag(mode="sum"),
    "bag max": lambda: Bag(mode="max"),
    "bag padding": lambda: Bag(mode="mean", padding_idx=1),
    "bag max_norm": lambda: Bag(mode="sum", max_norm=0.8),
    "bag offsets": BagOfOffsets,
    "bag weights": lambda: BagOfOffsets(weighted=True),
    "bag last offset": lambda: BagOfOffsets(include_last_offset=True),
    "bag offsets padding": lambda: BagOfOffsets(padding_idx=4),
    "shared with a linear layer": SharedWithLinear,
    "weight used elsewhere": UsedElsewhere,
    "weight used elsewhere in training": UsedElsewhereInTraining,
    "shape read": ReadsShape,
    "frozen table": FrozenTable,
    "no embedding": NoEmbedding,
    "only tables": OnlyTables,
    "offsets": Offsets,
    "hashed": Hashed,
    "numeric": Numeric,
    "batch norm": Normed,
    "functional dropout": Dropped,
    "random ids": RandomIds,
    "lookup without gradient": LooksWithoutGradient,
    "unused table": UnusedTable,
}


def make(name: str, seed: int = 5) -> nn.Module:
    """A module of the zoo, with the same first values every time."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return ZOO[name]()
