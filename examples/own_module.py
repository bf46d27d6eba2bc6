"""A module of your own, trained on many domains with MAMDR and with plain training beside it.

    python examples/own_module.py

The module knows nothing of mamdr: it takes a dict of columns and returns one logit a row. Its embeddings may be of any
size; a step costs the rows that its batch touches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import mamdr


class TwoTowers(nn.Module):
    """A user tower and an item tower, and a bias for each domain."""

    def __init__(self, schema: mamdr.Schema, width: int = 32) -> None:
        super().__init__()
        self.user = nn.Sequential(
            nn.Embedding(schema.ids["user_id"], width), nn.Linear(width, width), nn.ReLU()
        )
        self.item = nn.Sequential(
            nn.Embedding(schema.ids["item_id"], width), nn.Linear(width, width), nn.ReLU()
        )
        self.domain = nn.Embedding(len(schema.domains), 1)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        match = (self.user(batch["user_id"]) * self.item(batch["item_id"])).sum(1)
        return match + self.domain(batch["domain"]).squeeze(1)


def main(samples_per_domain: int = 6000, rounds: int = 8) -> dict[str, float | None]:
    """Test mean AUC by strategy."""
    data = mamdr.synthetic_market(
        domains=8, users=800, items=300, samples_per_domain=samples_per_domain, conflict=0.5
    )
    strategies = {
        "alternate": mamdr.strategies.Alternate(),
        "mamdr": mamdr.strategies.MAMDR(num_helpers=1, outer_lr=0.8, specific_lr=0.8),
    }
    results = {}
    for name, strategy in strategies.items():
        torch.manual_seed(0)
        module = TwoTowers(data.schema)
        run = mamdr.fit(module, data, strategy, lr=0.003, rounds=rounds, patience=0, batch_size=64, seed=1)
        results[name] = run.evaluate("test").mean_auc
    return results


if __name__ == "__main__":
    for name, auc in main().items():
        print(f"{name:10} test mean AUC {auc:.4f}")
