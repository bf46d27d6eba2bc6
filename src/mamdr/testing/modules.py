"""Small modules to test with. Embeddings start far from zero, so that every gradient counts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch
from mamdr.testing.market import ITEMS, USERS


class TwoTables(nn.Module):
    """Two embeddings, a hidden layer with dropout, a logit.

    Args:
        dropout: probability of dropping a hidden value.
        width: of the embeddings.
        seed: of the first values.
    """

    def __init__(self, dropout: float = 0.0, width: int = 4, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.user = nn.Embedding(USERS, width)
            self.item = nn.Embedding(ITEMS, width)
            self.hidden = nn.Linear(2 * width, 6)
            self.drop = nn.Dropout(dropout)
            self.logit = nn.Linear(6, 1)

    def forward(self, batch: Batch) -> Tensor:
        rows = torch.cat([self.user(batch["user_id"]), self.item(batch["item_id"])], dim=1)
        logits: Tensor = self.logit(self.drop(torch.tanh(self.hidden(rows))))
        return logits.squeeze(1)


class TiedTables(TwoTables):
    """Users and items looked up in one table that two embeddings share."""

    def __init__(self, dropout: float = 0.0, width: int = 4, seed: int = 0) -> None:
        super().__init__(dropout, width, seed)
        self.item = nn.Embedding(USERS, width)
        self.item.weight = self.user.weight


class NormedTables(TwoTables):
    """With batch normalisation, whose running statistics training moves."""

    def __init__(self, dropout: float = 0.0, width: int = 4, seed: int = 0) -> None:
        super().__init__(dropout, width, seed)
        self.norm = nn.BatchNorm1d(2 * width)

    def forward(self, batch: Batch) -> Tensor:
        rows = torch.cat([self.user(batch["user_id"]), self.item(batch["item_id"])], dim=1)
        logits: Tensor = self.logit(self.drop(torch.tanh(self.hidden(self.norm(rows)))))
        return logits.squeeze(1)


def lively(module: nn.Module, seed: int = 5) -> nn.Module:
    """The module with every parameter and statistic far from its start, in evaluation mode, in float64."""
    draw = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.5)
        for buffer in module.buffers():
            if buffer.is_floating_point():
                buffer.copy_(torch.rand(buffer.shape, generator=draw) + 0.5)
    return module
