"""Why a module does not take the batches of a data set, in words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch
from mamdr.errors import ModelError

FAILURES = (KeyError, IndexError, RuntimeError, TypeError, AttributeError, ValueError)
"""What a forward pass raises that does not fit its batch."""


def misfit(module: nn.Module, batch: Batch, error: Exception) -> ModelError:
    """The error to raise where `module(batch)` raised this one: it names the column, embedding or domain, if any.

    Cost: up to two more forward passes.
    """
    if isinstance(error, KeyError) and error.args and error.args[0] not in batch:
        return ModelError(
            f"the module reads {error} from a batch",
            f"one of the columns {', '.join(sorted(batch))}",
            "Rename it in the module or the data",
        )
    return (
        _too_small(module, batch)
        or _no_such_domain(module, batch, error)
        or ModelError(
            f"the module's forward fails on a batch of this data: {type(error).__name__}: {error}",
            "forward(batch) with batch a dict of columns, embeddings with a row for each id",
            "Size embeddings by the data's schema (schema.ids) and read columns by name",
        )
    )


def column_of(ids: Tensor, batch: Batch) -> str | None:
    """The column that these ids are, if they are one as it is."""
    flat = ids.reshape(-1)
    same = (
        name
        for name, column in batch.items()
        if len(flat) == column.numel() and torch.equal(flat.to(column.dtype), column.reshape(-1))
    )
    return next(same, None)


def _too_small(module: nn.Module, batch: Batch) -> ModelError | None:
    """The error of an embedding that is given an id beyond its rows."""
    found: list[ModelError] = []

    def hook(embedding: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids: Tensor = args[0] if args else kwargs["input"]
        rows, largest = len(embedding.weight), int(ids.max()) if ids.numel() else -1
        if largest < rows:
            return
        name = column_of(ids, batch)
        source = "what the module makes of the columns" if name is None else f"column {name!r}"
        action = "len(schema.domains)" if name == "domain" else "schema.ids"
        found.append(
            ModelError(
                f"the embedding {paths[embedding]!r} has {rows} rows, and {source} holds ids up to {largest}",
                f"{largest + 1} rows or more",
                f"Size it by the data's schema ({action})",
            )
        )

    kinds = (nn.Embedding, nn.EmbeddingBag)
    paths = {part: path for path, part in module.named_modules() if isinstance(part, kinds)}
    handles = [part.register_forward_pre_hook(hook, with_kwargs=True) for part in paths]
    try:
        module(dict(batch))
    except FAILURES:
        pass  # what is wanted is what the hook saw before
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _no_such_domain(module: nn.Module, batch: Batch, error: Exception) -> ModelError | None:
    """The error of a module that takes the same rows in the first domain."""
    last = int(batch["domain"].max())
    try:
        module({**batch, "domain": torch.zeros_like(batch["domain"])})
    except FAILURES:
        return None
    return ModelError(
        f"the module takes rows of domain 0, but not of all domains: {type(error).__name__}: {error}",
        f"what it keeps by domain for each of the data's {last + 1}",
        "Build it for this data (len(schema.domains))",
    )
