"""Frozen vectors of a mini-batch, each looked up where it belongs in the rows that a model is given.

Looked up and then pasted together, every value is written twice; here once.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch
from mamdr.engine.lookup import plain
from mamdr.models.inputs import Inputs


def is_gathered(module: nn.Module) -> TypeGuard[Inputs]:
    """Whether a module's rows are frozen vectors and nothing else."""
    if not isinstance(module, Inputs) or type(module).rows is not Inputs.rows or module.numeric:
        return False
    tables = [*module.tables][: len(module.columns)]
    return (
        bool(tables)
        and all(plain(table) and not table.weight.requires_grad for table in tables)
        and len({table.weight.dtype for table in tables}) == 1
    )


def gather(inputs: Inputs, batch: Batch) -> Tensor:
    """What `inputs.rows` comes to. Where somebody may look in between (a hook), it is `inputs.rows`."""
    tables: list[Any] = [*inputs.tables][: len(inputs.columns)]
    if any(table._forward_hooks or table._forward_pre_hooks for table in tables):
        return Inputs.rows(inputs, batch)
    columns = [batch[name] for name in inputs.columns]
    rows: Tensor = tables[0].weight.new_empty(len(columns[0]), sum(inputs.widths))
    for column, table, part in zip(columns, tables, torch.split(rows, inputs.widths, dim=1), strict=True):
        torch.index_select(table.weight, 0, column, out=part)
    return rows
