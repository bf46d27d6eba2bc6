"""torch-rechub on a table: a case for worker.py that runs in its own virtual environment.

Its EmbeddingLayer and MLP under its CTRTrainer, fed by its DataGenerator. The MLP's batch normalisation, which the
other models do not have, is taken out; weight decay is off, Adam at 0.001.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.shapes import WIDTH, Table


def prepare(folder: str, trainable: bool, dropout: float) -> Callable[[], dict[str, Any]]:
    from torch_rechub.basic.features import SparseFeature
    from torch_rechub.basic.initializers import Pretrained, RandomNormal
    from torch_rechub.basic.layers import MLP, EmbeddingLayer
    from torch_rechub.trainers import CTRTrainer
    from torch_rechub.utils.data import DataGenerator

    class Tower(nn.Module):
        def __init__(self, features: list[Any]) -> None:
            super().__init__()
            self.features = features
            self.embedding = EmbeddingLayer(features)
            self.mlp = MLP(WIDTH * len(features), dims=[256, 128, 64], dropout=dropout)
            layers = [nn.Identity() if isinstance(m, nn.BatchNorm1d) else m for m in self.mlp.mlp]
            self.mlp.mlp = nn.Sequential(*layers)

        def forward(self, x: dict[str, Tensor]) -> Tensor:
            return torch.sigmoid(self.mlp(self.embedding(x, self.features, squeeze_dim=True)).squeeze(1))

    torch.set_num_threads(1)
    table = Table.load(folder)
    rows = {"user_id": table.users, "item_id": table.items, "domain": len(table.sizes)}
    frozen = {"user_id": table.user_features, "item_id": table.item_features}
    features = []
    for name, count in rows.items():
        values = frozen.get(name)
        start = RandomNormal(0, 0.01) if values is None or trainable else Pretrained(values, freeze=True)
        features.append(SparseFeature(name, count, WIDTH, initializer=start))
    x = {"user_id": table.user, "item_id": table.item, "domain": table.domain}
    few = {name: values[:4] for name, values in x.items()}
    loader, *_ = DataGenerator(x, table.label).generate_dataloader(
        x_val=few, y_val=table.label[:4], x_test=few, y_test=table.label[:4], batch_size=1024
    )
    trainer = CTRTrainer(Tower(features), optimizer_params={"lr": 1e-3})

    def run() -> dict[str, Any]:
        trainer.train_one_epoch(loader)
        return {"samples": len(table)}

    return run
