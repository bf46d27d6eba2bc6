"""One module at work on one data set: bound on entering, given back on leaving."""

from __future__ import annotations

from types import TracebackType

import torch
from torch import nn

from mamdr.data.domains import Dataset
from mamdr.engine.arena import Arena
from mamdr.engine.binding import Binding
from mamdr.engine.matmul import fast_matmul
from mamdr.engine.options import WalkOptions
from mamdr.engine.rows import Rows
from mamdr.parameters import Space


class Session:
    """What walks and predictions share. A context manager; the module is its own again afterwards.

    Args:
        module: any module with `forward(batch) -> logits [B]`.
        space: its parameters, as `engine.trace` sorted them.
        data: the data set.
        options: how walks are walked.
    """

    def __init__(self, module: nn.Module, space: Space, data: Dataset, options: WalkOptions) -> None:
        self.module, self.space, self.data, self.options = module, space, data, options
        self.rows = Rows(module, space, data.train)
        self.arena = Arena(space.dtype, space.device)
        self._binding: Binding | None = None
        self._training = module.training

    def __enter__(self) -> Session:
        if any(table.columns is None for table in self.space.tables):
            for domain in range(len(self.data.schema.domains)):  # before binding: a bound module sees positions, not ids
                self.rows.of(domain)
        self._training = self.module.training
        self._binding = Binding(self.module, self.space, packed_dropout=self.options.dropout == "packed")
        self._matmul = fast_matmul()
        self._matmul.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._matmul.__exit__(kind, error, traceback)
        self.binding.release()
        self._binding = None
        self.module.train(self._training)
        self.module.zero_grad(set_to_none=True)

    @property
    def binding(self) -> Binding:
        if self._binding is None:
            raise RuntimeError("a session binds its module on entering: use it in a with statement")
        return self._binding

    def load_buffers(self, values: dict[str, torch.Tensor]) -> None:
        """Set the module's buffers (running statistics) to these values."""
        for name, buffer in self.module.named_buffers():
            if name in values:
                buffer.copy_(values[name])
