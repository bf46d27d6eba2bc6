"""Vectors of a mini-batch, each looked up where it belongs in the rows that a model is given.

Looked up and then pasted together, every value is written twice; here once. So are gradients of rows that are trained
where they lie (`engine.compiled_rows`), which come back from where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch
from mamdr.engine.compiled_rows import CompiledRows, Lookup, with_way_back
from mamdr.engine.lookup import plain
from mamdr.models.inputs import Inputs

InPlace = Callable[[nn.Module], CompiledRows | None]
"""The rows that an embedding's lookups now change where they lie; None where they do not."""


def is_gathered(module: nn.Module) -> TypeGuard[Inputs]:
    """Whether a module's rows are vectors of one type and nothing else."""
    if not isinstance(module, Inputs) or type(module).rows is not Inputs.rows or module.numeric:
        return False
    tables = [*module.tables][: len(module.columns)]
    return bool(tables) and all(map(plain, tables)) and len({table.weight.dtype for table in tables}) == 1


def gather(inputs: Inputs, in_place: InPlace, batch: Batch) -> Tensor:
    """What `inputs.rows` comes to. Where somebody may look in between (a hook), or a trained table's rows are not
    changed where they lie, it is `inputs.rows`."""
    tables: list[Any] = [*inputs.tables][: len(inputs.columns)]
    trained = [in_place(table) for table in tables]
    for table, own in zip(tables, trained, strict=True):
        # A trained table has one hook of the engine's own, which makes places of ids.
        watched = table._forward_hooks or len(table._forward_pre_hooks) > (own is not None)
        if watched or (own is None and table.weight.requires_grad):
            return Inputs.rows(inputs, batch)
    columns = [batch[name] for name in inputs.columns]
    rows: Tensor = tables[0].weight.new_empty(len(columns[0]), sum(inputs.widths))
    begin, lookups = 0, list[Lookup]()
    for column, table, own, part in zip(
        columns, tables, trained, torch.split(rows, inputs.widths, dim=1), strict=True
    ):
        if own is None:
            torch.index_select(table.weight, 0, column, out=part)
        elif (places := own.find(column, part)) is not None:
            lookups.append((own, places, begin))
        else:  # rows that nobody foresaw, which the embedding asks for
            return Inputs.rows(inputs, batch)
        begin += part.shape[1]
    return with_way_back(rows, lookups) if lookups else rows
