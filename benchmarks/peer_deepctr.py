"""DeepCTR-Torch on a table: a case for worker.py that runs in its own virtual environment.

Its WDL without wide columns is the same MLP over the same three embeddings; l2 penalties off, Adam at 0.001.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.shapes import WIDTH, Table


def prepare(folder: str, trainable: bool, dropout: float) -> Callable[[], dict[str, Any]]:
    # On import the package asks the network for its newest version through requests. An empty module answers.
    sys.modules.setdefault("requests", types.ModuleType("requests"))
    from deepctr_torch.inputs import SparseFeat
    from deepctr_torch.models import WDL

    torch.set_num_threads(1)
    table = Table.load(folder)
    rows = {"user_id": table.users, "item_id": table.items, "domain": len(table.sizes)}
    columns = [SparseFeat(name, count, embedding_dim=WIDTH) for name, count in rows.items()]
    model = WDL(
        [], columns, (256, 128, 64), l2_reg_linear=0, l2_reg_embedding=0, dnn_dropout=dropout, device="cpu"
    )
    features = {"user_id": table.user_features, "item_id": table.item_features}
    for name, values in features.items():
        if values is not None and not trainable:
            model.embedding_dict[name].weight.data.copy_(torch.from_numpy(values))
            model.embedding_dict[name].weight.requires_grad_(False)
    model.compile("adam", "binary_crossentropy")
    x = {"user_id": table.user, "item_id": table.item, "domain": table.domain}
    label = table.label.astype(np.float32)

    def run() -> dict[str, Any]:
        model.fit(dict(x), label, batch_size=1024, epochs=1, verbose=0)
        return {"samples": len(table)}

    return run
