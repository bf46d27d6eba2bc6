"""From what a store gives to the batch that a model scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mamdr.data.rows import Batch
from mamdr.errors import DataError
from mamdr.feature_store.protocol import Entities, FeatureStore


def batch_of(
    store: FeatureStore,
    users: Entities,
    items: Entities,
    domain: int,
    context: Mapping[str, Sequence[object]] | None = None,
) -> Batch:
    """The batch that a model scores: B rows.

    Args:
        users: B of them, or one for all rows.
        items: B of them.
        domain: its number for the model; the column is one value expanded, as in training.
        context: raw values of context columns, B of each, or one for all. What is left out is unknown: id 1, the mean
            of train, or an empty list.

    Raises: DataError for context that is no column of the context, or not one value a row.
    """
    rows = len(items)
    columns = {
        **_spread("users", users.columns, rows),
        **items.columns,
        **_context(store, rows, context or {}),
    }
    return {**columns, "domain": torch.tensor([domain]).expand(rows)}


def _context(store: FeatureStore, rows: int, given: Mapping[str, Sequence[object]]) -> Batch:
    """The columns of the context [B]."""
    names = [name for name in store.schema.features if store.schema.owner(name) == "context"]
    for name in given:
        if name not in names:
            there = ", ".join(names) or "there is none"
            raise DataError(f"context {name!r}", f"a column of the context ({there})", "Correct the name")
    return _spread("context", {name: store.encode(name, given.get(name, [None])) for name in names}, rows)


def _spread(what: str, columns: Mapping[str, Tensor], rows: int) -> Batch:
    """Columns of B rows, from as many or from one."""
    for name, column in columns.items():
        if len(column) not in (1, rows):
            raise DataError(
                f"{what}: {len(column)} values of {name!r} for {rows} rows", f"1 or {rows}", "Give one a row"
            )
    return {name: column.expand(rows, *column.shape[1:]) for name, column in columns.items()}
