"""Scores rows with the parameters of a store: what evaluation and serving do."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from mamdr.data.domains import DomainData
from mamdr.engine.binding import RowMiss
from mamdr.engine.rows import Rows
from mamdr.engine.session import Session
from mamdr.parameters import Ids, Store

_BATCH = 8192


class Predictor:
    """Scores a split's rows, domain by domain.

    Args:
        session: the bound module.
        data: the split.
        buffers: values of the module's buffers (running statistics).
    """

    def __init__(self, session: Session, data: DomainData, buffers: dict[str, Tensor]) -> None:
        self.session, self.data, self.buffers = session, data, buffers
        self._rows = Rows(session.module, session.space, data)

    def __call__(self, store: Store, domain: int) -> Tensor:
        """Click probabilities [n] of a domain's rows, in their stored order, float32.

        Cost: a pull of the rows that the domain's data touch, and one forward pass.
        """
        session = self.session
        session.module.eval()
        session.buffers.load(self.buffers)
        self._load(store, self._known(domain))
        scores = []
        with torch.no_grad():
            for batch, labels in self.data.batches([domain], _BATCH, None):
                session.matmul.use(len(labels) == _BATCH)
                batch = {name: column.to(session.space.device) for name, column in batch.items()}
                scores.append(torch.sigmoid(self._forward(store, batch)).float().cpu())
        return torch.cat(scores) if scores else torch.empty(0)

    def _known(self, domain: int) -> Ids:
        """The rows known beforehand; ids that the module computes itself are pulled when they come."""
        tables = self.session.space.tables
        if all(table.columns is not None for table in tables):
            return self._rows.of(domain)
        return self.session.rows.of(domain)

    def _load(self, store: Store, ids: Ids) -> None:
        self.session.binding.load(store.pull(ids, functools.partial(self.session.arena.take, "work")))

    def _forward(self, store: Store, batch: dict[str, Tensor]) -> Tensor:
        while True:
            try:
                logits: Tensor = self.session.module(batch)
                return logits
            except RowMiss as miss:
                held = list(self.session.binding.point.ids)
                held[miss.table] = torch.unique(torch.cat([held[miss.table], miss.ids.cpu()]))
                self._load(store, tuple(held))
