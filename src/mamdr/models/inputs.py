"""Turns a batch into one vector a row. B rows, F features, E embedding width."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch, Schema
from mamdr.errors import ModelError


class Inputs(nn.Module):
    """An embedding for each id column, numeric columns as they are, and the domain's own embedding, last.

    Args:
        schema: the data's columns.
        embedding: E, width of each trained embedding, >= 1.
        domain_embedding: whether the domain is a feature too, as in the authors' code (FIDELITY row 12).
        frozen: by id column, vectors [number of ids, any width] that are used as they are and not trained (the paper's
            Taobao features).
        std: trained embeddings start from N(0, std²), as in the authors' code.

    Shapes: a batch of B rows to [B, width].

    Raises:
        ModelError: frozen vectors for a column that the data lack, or not one vector for each id.
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
        frozen = frozen or {}
        for name, vectors in frozen.items():
            wanted = schema.ids.get(name)
            if vectors.ndim != 2 or len(vectors) != wanted:
                raise ModelError(
                    f"frozen vectors of shape {tuple(vectors.shape)} for {name!r}",
                    f"[{wanted}, any width]" if wanted else f"one of the columns {', '.join(schema.ids)}",
                    "Give one vector for each id of the column",
                )
        self.columns, self.numeric, self.by_domain = tuple(schema.ids), schema.numeric, domain_embedding
        # A colon or a dot in a feature's name cannot be part of a module's name, so tables are numbered.
        tables = [
            nn.Embedding.from_pretrained(frozen[name]) if name in frozen else _table(size, embedding, std)  # type: ignore[no-untyped-call]
            for name, size in schema.ids.items()
        ]
        if domain_embedding:
            tables.append(_table(len(schema.domains), embedding, std))
        self.tables = nn.ModuleList(tables)
        self.width = sum(table.embedding_dim for table in tables) + len(schema.numeric)

    def forward(self, batch: Batch) -> Tensor:
        """[B, width]: embeddings, numbers, the domain's embedding."""
        return torch.cat(
            [self._rows(batch), *([self.tables[-1](batch["domain"])] if self.by_domain else [])], dim=1
        )

    def split(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The same in two parts: what differs from row to row [B, V], and, for a batch of one domain, what does not
        [1, width - V].

        A batch of one domain is known by its domain column, which is one value expanded (stride 0).
        """
        domain = batch["domain"]
        if self.by_domain and len(domain) and domain.stride(0) == 0:
            return self._rows(batch), self.tables[-1](domain[:1])
        return self(batch), None

    def _rows(self, batch: Batch) -> Tensor:
        parts = [table(batch[name]) for name, table in zip(self.columns, self.tables, strict=False)]
        return torch.cat([*parts, *(batch[name].unsqueeze(1) for name in self.numeric)], dim=1)


def _table(rows: int, width: int, std: float) -> nn.Embedding:
    table = nn.Embedding(rows, width)
    nn.init.normal_(table.weight, std=std)
    return table
