"""torch-rechub's multi-task models with a task for each domain: a case for worker.py, in its own environment.

Batch normalisation, which the other models do not have, is taken out; tasks are of "regression", which gives logits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks import multi
from benchmarks.shapes import Table


def prepare(folder: str, model: str, batch: int) -> Callable[[], dict[str, Any]]:
    from torch_rechub.basic.features import SparseFeature
    from torch_rechub.models.multi_task import MMOE, PLE, SharedBottom

    torch.set_num_threads(1)
    torch.manual_seed(0)
    table = Table.load(folder)
    features = [SparseFeature(name, size, multi.EMBEDDING) for name, size in multi.sizes(table).items()]
    tasks = ["regression"] * len(table.sizes)

    def layers(sizes: tuple[int, ...]) -> dict[str, Any]:
        return {"dims": list(sizes), "dropout": multi.DROPOUT}

    towers = [layers(multi.PLE_TOWER if model == "ple" else multi.TOWER)] * len(tasks)
    makes: dict[str, Callable[[], nn.Module]] = {
        "shared_bottom": lambda: SharedBottom(features, tasks, layers(multi.BOTTOM), towers),
        "mmoe": lambda: MMOE(features, tasks, multi.COUNT, layers(multi.EXPERTS), towers),
        "ple": lambda: PLE(features, tasks, multi.LEVELS, 1, 1, layers(multi.PLE_EXPERTS), towers),
    }
    module = makes[model]()
    for part in list(module.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.BatchNorm1d):
                setattr(part, name, nn.Identity())
    return multi.training(module, table, lambda x: multi.of_domain(module(x), x["domain"]), batch)
