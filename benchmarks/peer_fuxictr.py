"""FuxiCTR on a table: a case for worker.py that runs in its own virtual environment.

Its FeatureEmbedding and MLP_Block under its BaseModel, fed by its NpzDataLoader: what its DNN model is. Regularizers
off, Adam at 0.001; gradients are clipped at norm 10, as it always does, and its learning rate stays, as nothing is
evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.shapes import WIDTH, Table

_NEVER = 1 << 62


def prepare(folder: str, trainable: bool, dropout: float) -> Callable[[], dict[str, Any]]:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.dataloaders.npz_dataloader import NpzDataLoader
    from fuxictr.pytorch.layers import FeatureEmbedding, MLP_Block
    from fuxictr.pytorch.models import BaseModel

    class DNN(BaseModel):  # type: ignore[misc]
        def __init__(self, columns: Any) -> None:
            super().__init__(columns, model_root=folder, verbose=0, metrics=[])
            self.embedding_layer = FeatureEmbedding(columns, WIDTH)
            self.mlp = MLP_Block(
                len(columns.features) * WIDTH,
                [256, 128, 64],
                output_dim=1,
                output_activation="Sigmoid",
                dropout_rates=dropout,
            )

        def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
            rows = self.embedding_layer(self.get_inputs(inputs), flatten_emb=True)
            return {"y_pred": self.mlp(rows)}

    torch.set_num_threads(1)
    table = Table.load(folder)
    x = {"user_id": table.user, "item_id": table.item, "domain": table.domain}
    sizes = {"user_id": table.users, "item_id": table.items, "domain": len(table.sizes)}
    columns = FeatureMap("table", folder)
    columns.features.update(
        {name: {"type": "categorical", "source": "", "vocab_size": size} for name, size in sizes.items()}
    )
    columns.labels = ["label"]
    columns.set_column_index()
    path = Path(folder) / "fuxictr.npz"
    np.savez(path, label=table.label, **x)
    model = DNN(columns)
    for name, values in {"user_id": table.user_features, "item_id": table.item_features}.items():
        if values is not None and not trainable:
            weight = model.embedding_layer.embedding_layer.embedding_layers[name].weight
            weight.data.copy_(torch.from_numpy(values))
            weight.requires_grad_(False)
    model.compile("adam", "binary_crossentropy", 1e-3)
    model._eval_steps, model._total_steps, model._max_gradient_norm, model._stop_training = (
        _NEVER,
        0,
        10.0,
        False,
    )
    loader = NpzDataLoader(columns, str(path), batch_size=1024, shuffle=True, num_workers=0)

    def run() -> dict[str, Any]:
        model.train_epoch(loader)
        return {"samples": len(table)}

    return run
