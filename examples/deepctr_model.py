"""A model of DeepCTR-Torch, trained with MAMDR and with plain training beside it.

    pip install 'mamdr[peers]'
    python examples/deepctr_model.py

What the adapter has to do: name the columns as features, hand them over as one matrix in the model's own order, and
see that a logit comes back. Task "regression" leaves the sigmoid out.
"""

from __future__ import annotations

import sys
import types

import torch
from torch import Tensor, nn

import mamdr

# When imported, DeepCTR-Torch asks the network for its newest version. It does so by a package that it does not
# install; an empty one in its place keeps it from asking.
sys.modules.setdefault("requests", types.ModuleType("requests"))
from deepctr_torch.inputs import SparseFeat  # noqa: E402
from deepctr_torch.models import DeepFM  # noqa: E402


class Adapter(nn.Module):
    """Takes a batch of mamdr, gives one logit a row."""

    def __init__(self, schema: mamdr.Schema, width: int = 16) -> None:
        super().__init__()
        sizes = schema.ids | {"domain": len(schema.domains)}
        features = [SparseFeat(name, size, width) for name, size in sizes.items()]
        self.model = DeepFM(features, features, (32, 16), init_std=0.01, task="regression")

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        columns = [batch[name] for name in self.model.feature_index]
        logits: Tensor = self.model(torch.stack(columns, dim=1).float())
        return logits.squeeze(1)


def main(samples_per_domain: int = 4000, rounds: int = 6) -> dict[str, float | None]:
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
        module = Adapter(data.schema)
        run = mamdr.fit(module, data, strategy, lr=0.005, rounds=rounds, patience=0, batch_size=128, seed=1)
        results[name] = run.evaluate("test").mean_auc
    return results


if __name__ == "__main__":
    for name, auc in main().items():
        print(f"{name:10} test mean AUC {auc:.4f}")
