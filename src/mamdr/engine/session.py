"""One module at work on one data set: bound on entering, given back on leaving."""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor, nn

from mamdr.data.domains import Dataset
from mamdr.engine.arena import Arena, keep_freed_memory
from mamdr.engine.binding import Binding
from mamdr.engine.buffers import Buffers
from mamdr.engine.look import Modes, modes, set_modes
from mamdr.engine.matmul import Matmul
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
        self._modes: Modes = []

    def __enter__(self) -> Session:
        if any(table.columns is None for table in self.space.tables):
            # Before binding: a bound module sees positions, not ids.
            for domain in range(len(self.data.schema.domains)):
                self.rows.of(domain)
        self._modes, self.buffers = modes(self.module), Buffers(self.module)
        self.norms = [m for m in self.module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._binding = Binding(self.module, self.space, packed_dropout=self.options.dropout == "packed")
        self.matmul = Matmul()
        keep_freed_memory()
        # Moments of rows that rest fade to denormal numbers, with which a processor is many times slower.
        torch.set_flush_denormal(True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.matmul.restore()
        torch.set_flush_denormal(False)
        self.binding.release()
        self._binding = None
        self.buffers.restore()
        set_modes(self._modes)
        self.module.zero_grad(set_to_none=True)

    def penalty(self, table: int, ids: Tensor, hold: float) -> Tensor | None:
        """λ of Σ λ · ‖row‖² for each of these rows of a table, [n, 1]; None where there is none.

        Args:
            hold: share of `embedding_l2` that holds them back (`Walk.hold`).
        """
        strength, space = self.options.embedding_l2 * hold, self.space
        if not strength:
            return None
        if self.options.embedding_l2_per == "touch":
            return torch.full((1, 1), strength, dtype=space.dtype, device=space.device).expand(len(ids), 1)
        a_pass = self.options.embedding_l2_per == "pass"
        times = self.rows.touches(table, self.options.batch_size) if a_pass else self.rows.samples(table)
        return (
            (strength / times.index_select(0, ids).clamp_(min=1)).to(space.device, space.dtype).unsqueeze(1)
        )

    @property
    def binding(self) -> Binding:
        if self._binding is None:
            raise RuntimeError("a session binds its module on entering: use it in a with statement")
        return self._binding
