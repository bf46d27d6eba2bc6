"""A model of torch-rechub, trained with MAMDR and with plain training beside it.

    pip install 'mamdr[peers]'
    python examples/rechub_model.py

Its multi-task MMOE with a task for each domain. What the adapter has to do: name the columns as features, pick for
each row the output of its domain, and see that it is a logit. A task of "regression" leaves the sigmoid out; where a
model has it built in (`torch_rechub.models.ranking`), `torch.logit(probabilities, eps=1e-6)` takes it back.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_rechub.basic.features import SparseFeature
from torch_rechub.models.multi_task import MMOE

import mamdr


class Adapter(nn.Module):
    """Takes a batch of mamdr, gives one logit a row."""

    def __init__(self, schema: mamdr.Schema, width: int = 16) -> None:
        super().__init__()
        features = [SparseFeature(name, size, width) for name, size in schema.ids.items()]
        towers = [{"dims": [16]}] * len(schema.domains)
        tasks = ["regression"] * len(schema.domains)
        self.model = MMOE(features, tasks, 3, {"dims": [32]}, towers)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        of_each_domain: Tensor = self.model(batch)
        return of_each_domain.gather(1, batch["domain"].long().unsqueeze(1)).squeeze(1)


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
