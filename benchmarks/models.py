"""The model of the benchmarks: a plain module, written as a user would, without anything of mamdr in it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.shapes import WIDTH, Table

HIDDEN = (256, 128, 64)


class Tower(nn.Module):
    """Embeddings of user, item and domain, side by side, and an MLP [256, 128, 64] above them.

    Args:
        users, items, domains: numbers of ids.
        features: frozen [users, 128] and [items, 128] tables; None makes both trainable, N(0, 1e-2).
        dropout: after each hidden layer.
    """

    def __init__(
        self,
        users: int,
        items: int,
        domains: int,
        features: tuple[Tensor, Tensor] | None = None,
        dropout: float = 0.5,
        hidden: Sequence[int] = HIDDEN,
    ) -> None:
        super().__init__()
        self.user = _table(users, None if features is None else features[0])
        self.item = _table(items, None if features is None else features[1])
        self.domain = _table(domains, None)
        widths = [3 * WIDTH, *hidden]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        user, item = self.user(batch["user_id"]), self.item(batch["item_id"])
        x = torch.cat([user, item, self.domain(batch["domain"])], dim=1)
        logits: Tensor = self.layers(x).squeeze(1)
        return logits


def _table(rows: int, frozen: Tensor | None) -> nn.Embedding:
    if frozen is not None:
        table: nn.Embedding = nn.Embedding.from_pretrained(frozen, freeze=True)  # type: ignore[no-untyped-call]
        return table
    return nn.Embedding(rows, WIDTH, _weight=torch.empty(rows, WIDTH).normal_(0.0, 1e-2))


def build(table: Table, dropout: float = 0.5, trainable: bool | None = None, seed: int = 0) -> Tower:
    """The model for a table: its features frozen where it has them, unless `trainable` is set."""
    torch.manual_seed(seed)
    features = None
    if table.user_features is not None and table.item_features is not None and not trainable:
        features = (torch.from_numpy(table.user_features), torch.from_numpy(table.item_features))
    return Tower(table.users, table.items, len(table.sizes), features, dropout)
