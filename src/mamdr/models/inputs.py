"""Turns a batch into one vector a row. B rows, L ids of a list, E embedding width."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch, Schema
from mamdr.data.vocabulary import PADDING
from mamdr.errors import ModelError
from mamdr.models.features import Features, Pooling
from mamdr.models.pooling import Pooled


class Inputs(nn.Module):
    r"""A vector for each id column, numeric columns as they are, and the domain's own embedding, last.

    The vector of an id is its embedding v. That of a list x_1 .. x_n pools its ids' embeddings:

        mean: Σ_j v[x_j] / n,    sum: Σ_j v[x_j],    max: max_j v[x_j] in each place;    zero for an empty list

    Padding is no part of a list: it weighs nothing and is not trained. Columns that share their ids share one table
    (`schema.shared`). Where the data came with vectors (`schema.vectors`) they are the embeddings, of their own width:
    as they are, or trained on from there, as `Features` says.

    Args:
        schema: the data's columns; `Features` also says how lists are pooled (else by their mean).
        embedding: E, width of each trained embedding, >= 1.
        domain_embedding: whether the domain is a feature too, as in the authors' code (FIDELITY row 12).
        frozen: by id column, vectors [number of ids, any width] that are used as they are and not trained (the paper's
            Taobao features), besides those that came with the data.
        std: trained embeddings start from N(0, std²), as in the authors' code; that of padding in lists, from zero.

    Shapes: a batch of B rows to [B, width]; `widths` are those of the id columns.

    Raises:
        ModelError: frozen vectors for a column that the data lack, not one vector for each id, or of width 0.

    Cost: a list costs a lookup of its longest neighbour's length in the batch; nothing of B · L · E is held.
    """

    def __init__(
        self,
        schema: Schema,
        embedding: int,
        *,
        domain_embedding: bool = True,
        frozen: Mapping[str, Tensor] | None = None,
        std: float = 1e-4,
    ) -> None:
        super().__init__()
        features = Features.of(schema)
        fixed = {schema.shared.get(name, name): vectors for name, vectors in (frozen or {}).items()}
        _check(schema, fixed)
        given = schema.vectors | fixed
        self.columns, self.numeric, self.by_domain = tuple(schema.ids), schema.numeric, domain_embedding
        groups: dict[str, nn.Embedding] = {}
        # A colon or a dot in a feature's name cannot be part of a module's name, so tables are numbered.
        tables: list[nn.Embedding | Pooled] = []
        for name, size in schema.ids.items():
            group = schema.shared.get(name, name)
            if group not in groups:
                made, trained = group in given, group in features.trained and group not in fixed
                groups[group] = _made(given[group], trained) if made else _table(size, embedding, std)
            table = groups[group]
            pooling = features.pooling.get(name, "mean") if name in schema.lists else None
            tables.append(_pooled(table, pooling) if pooling else table)
        self.widths = [table.embedding_dim for table in tables]
        if domain_embedding:
            tables.append(_table(len(schema.domains), embedding, std))
        self.tables = nn.ModuleList(tables)
        self.width = sum(table.embedding_dim for table in tables) + len(schema.numeric)

    def forward(self, batch: Batch) -> Tensor:
        """[B, width]: embeddings, numbers, the domain's embedding."""
        return torch.cat(
            [self.rows(batch), *([self.tables[-1](batch["domain"])] if self.by_domain else [])], dim=1
        )

    def split(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The same in two parts: what differs from row to row [B, V], and, for a batch of one domain, what does not
        [1, width - V].

        A batch of one domain is known by its domain column, which is one value expanded (stride 0).
        """
        domain = batch["domain"]
        if self.by_domain and len(domain) and domain.stride(0) == 0:
            return self.rows(batch), self.tables[-1](domain[:1])
        return self(batch), None

    def rows(self, batch: Batch) -> Tensor:
        """[B, V]: embeddings and numbers, without the domain's; the engine gathers frozen ones at once
        (see `engine.gathered`)."""
        parts = [table(batch[name]) for name, table in zip(self.columns, self.tables, strict=False)]
        return torch.cat([*parts, *(batch[name].unsqueeze(1) for name in self.numeric)], dim=1)


def _check(schema: Schema, frozen: Mapping[str, Tensor]) -> None:
    for name, vectors in frozen.items():
        wanted = schema.ids.get(name)
        if vectors.ndim != 2 or len(vectors) != wanted or not vectors.shape[1]:
            raise ModelError(
                f"frozen vectors of shape {tuple(vectors.shape)} for {name!r}",
                f"[{wanted}, 1 or more]" if wanted else f"one of the columns {', '.join(schema.ids)}",
                "Give one vector for each id of the column",
            )


def _table(rows: int, width: int, std: float) -> nn.Embedding:
    table = nn.Embedding(rows, width)
    nn.init.normal_(table.weight, std=std)
    return table


def _made(vectors: Tensor, trained: bool) -> nn.Embedding:
    rows = vectors.clone() if trained else vectors
    table: nn.Embedding = nn.Embedding.from_pretrained(rows, freeze=not trained)  # type: ignore[no-untyped-call]
    return table


def _pooled(table: nn.Embedding, pooling: Pooling) -> Pooled:
    """A lookup of lists in the same weight."""
    bag = Pooled(
        table.num_embeddings, table.embedding_dim, mode=pooling, padding_idx=PADDING, _weight=table.weight
    )
    bag.weight = table.weight
    if table.weight.requires_grad:
        nn.init.zeros_(table.weight.detach()[PADDING])
    return bag
