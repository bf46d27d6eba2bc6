"""DeepCTR-Torch's multi-task models with a task for each domain: a case for worker.py, in its own environment.

Its penalties are off; tasks are of "regression", which gives logits.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import multi
from benchmarks.shapes import Table


def prepare(folder: str, model: str, batch: int) -> Callable[[], dict[str, Any]]:
    # On import the package asks the network for its newest version through requests. An empty module answers.
    sys.modules.setdefault("requests", types.ModuleType("requests"))
    from deepctr_torch.inputs import SparseFeat
    from deepctr_torch.models import MMOE, PLE, SharedBottom

    torch.set_num_threads(1)
    table = Table.load(folder)
    columns = [SparseFeat(name, size, multi.EMBEDDING) for name, size in multi.sizes(table).items()]
    count = len(table.sizes)
    common: dict[str, Any] = {
        "task_types": ["regression"] * count,
        "task_names": [str(domain) for domain in range(count)],
        "l2_reg_linear": 0,
        "l2_reg_embedding": 0,
        "dnn_dropout": multi.DROPOUT,
    }
    linear = {"gate_dnn_hidden_units": ()}
    makes: dict[str, Callable[[], nn.Module]] = {
        "shared_bottom": lambda: SharedBottom(columns, multi.BOTTOM, multi.TOWER, **common),
        "mmoe": lambda: MMOE(
            columns, multi.COUNT, multi.EXPERTS, tower_dnn_hidden_units=multi.TOWER, **linear, **common
        ),
        "ple": lambda: PLE(
            columns,
            shared_expert_num=1,
            specific_expert_num=1,
            num_levels=multi.LEVELS,
            expert_dnn_hidden_units=multi.PLE_EXPERTS,
            tower_dnn_hidden_units=multi.PLE_TOWER,
            **linear,
            **common,
        ),
    }
    module = makes[model]()
    names = list(multi.sizes(table))

    def logits(x: dict[str, Tensor]) -> Tensor:
        return multi.of_domain(module(torch.stack([x[name] for name in names], 1).float()), x["domain"])

    return multi.training(module, table, logits, batch)
