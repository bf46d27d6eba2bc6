"""What a module computes on while many walks are walked in lock-step: each walk's rows, and each walk's dropout.

Inside `torch.vmap` a module sees one walk, and everything here answers for the walk at hand. W walks, n rows of all of
them in one table, B rows of a mini-batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mamdr.engine.dropout import mask
from mamdr.models.layers import ReLUDropout


class StackedRows:
    """The rows of one table of all walks in one tensor [n, d], a walk's after those of the walk before it.

    An id of walk w is found by its key, w · R + id: walks come one after another and each one's ids are sorted, so all
    keys are.

    Args:
        keys: of all rows, as `parameters.Layout` has them.
        table_rows: R.
        device: where keys are kept.
    """

    def __init__(self, keys: Tensor, table_rows: int, device: torch.device) -> None:
        self.keys, self.table_rows = keys.to(device), table_rows
        self.weight: Tensor | None = None
        self.walk: Tensor | None = None
        self.places: list[Tensor] = []
        self.missed: list[Tensor] = []

    def look_up(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Where these ids of the walk at hand lie in the weight, and that weight. The places are noted, and whether an
        id has no row."""
        assert self.weight is not None
        assert self.walk is not None
        wanted = ids.long() + self.walk * self.table_rows
        # Rows of walks that are done lie behind the weight, so no walk under way has its own there.
        places = torch.searchsorted(self.keys, wanted).clamp(0, max(len(self.weight) - 1, 0))
        self.places.append(places.reshape(-1))
        self.missed.append((self.keys[places] != wanted).any())
        return places, self.weight


class Masks:
    """Dropout masks that every walk draws from its own seed, as it would if it were walked alone.

    Args:
        seeds: of each walk.
        device: of the values that are masked. On a CPU each walk has a generator of its own, and its masks are those of
            the sequential engine to the bit (where the values' first dimension is the batch's rows); elsewhere one
            generator, seeded by the first walk, draws all masks at once.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.device, own = device, device.type == "cpu"
        self._each = [torch.Generator().manual_seed(seed) for seed in seeds] if own else []
        self._all = None if own else torch.Generator(device).manual_seed(seeds[0])
        self.counts: list[int] = []
        self.walk: Tensor | None = None

    def __call__(self, module: nn.Dropout, x: Tensor) -> Tensor:
        """What `module` (dropout, or ReLU and dropout) does to the values x [B, ...] of the walk at hand."""
        assert self.walk is not None
        kept = torch.relu(x) if isinstance(module, ReLUDropout) else x
        if not module.training or module.p == 0:
            return kept
        drawn: Tensor = _Draw.apply(self.walk, self, tuple(x.shape), module.p)  # type: ignore[no-untyped-call]
        return kept * drawn.to(x.dtype)

    def draw(self, shape: tuple[int, ...], p: float) -> Tensor:
        """Masks of all walks, [W, B, ...]; those of rows beyond a walk's own count are zero on a CPU."""
        if self._all is not None:
            if p == 1:
                return torch.zeros(shape, device=self.device)
            kept = torch.empty(shape, device=self.device).bernoulli_(1 - p, generator=self._all)
            return kept.div_(1 - p)
        drawn = torch.zeros(shape)
        for walk, count in enumerate(self.counts):
            own = drawn[walk][:count] if len(shape) > 1 else drawn[walk]
            own.copy_(mask(own.numel(), p, self._each[walk]).view(own.shape))
        return drawn


class _Draw(torch.autograd.Function):
    """Masks.draw for all walks, seen from one of them: what a `torch.vmap` refuses to draw is drawn below it."""

    @staticmethod
    def forward(walk: Tensor, masks: Masks, shape: tuple[int, ...], p: float) -> Tensor:
        return masks.draw((1, *shape), p).squeeze(0)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[None, None, None, None]:
        return None, None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, walk: Tensor, masks: Masks, shape: tuple[int, ...], p: float
    ) -> tuple[Tensor, int]:
        return masks.draw((info.batch_size, *shape), p), 0
