"""Turns a batch into one vector a row. B rows, F features, E embedding width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch, Schema


class Inputs(nn.Module):
    """An embedding for each id column, numeric columns as they are, and the domain's own embedding.

    Args:
        schema: the data's columns.
        embedding: E, width of each embedding, >= 1.
        domain_embedding: whether the domain is a feature too, as in the authors' code (FIDELITY row 12).
        std: embeddings start from N(0, std²), as in the authors' code.

    Shapes: a batch of B rows to [B, width], width = F · E + number of numeric columns.
    """

    def __init__(
        self, schema: Schema, embedding: int, *, domain_embedding: bool = True, std: float = 1e-4
    ) -> None:
        super().__init__()
        sizes = dict(schema.ids)
        if domain_embedding:
            sizes["domain"] = len(schema.domains)
        self.columns, self.numeric = tuple(sizes), schema.numeric
        # A colon or a dot in a feature's name cannot be part of a module's name.
        self.tables = nn.ModuleList(nn.Embedding(size, embedding) for size in sizes.values())
        self.width = len(sizes) * embedding + len(schema.numeric)
        for table in self.tables:
            nn.init.normal_(table.weight, std=std)  # type: ignore[arg-type]

    def forward(self, batch: Batch) -> Tensor:
        parts = [table(batch[name]) for name, table in zip(self.columns, self.tables, strict=True)]
        parts += [batch[name].unsqueeze(1) for name in self.numeric]
        return torch.cat(parts, dim=1)
