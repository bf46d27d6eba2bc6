"""Lists of ids to one vector a row, without holding a vector for each id. B rows, L ids of a list, E width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Pooled(nn.EmbeddingBag):
    """`nn.EmbeddingBag` for lists padded to one length, that can be differentiated twice.

    torch can differentiate its own once alone, which second-order methods (MAML, MLDG) stumble over. The first
    derivative is torch's; where a second one may be wanted, the first is made of operations that have one.

    Shapes: ids [B, L] to [B, E]; padding is left out, and a list of nothing else is zero.
    """

    def forward(
        self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        if not (torch.is_grad_enabled() and self.weight.requires_grad):
            return super().forward(input)
        pooled: Tensor = _Pool.apply(self.weight, input, self.mode, self.padding_idx)  # type: ignore[no-untyped-call]
        return pooled


class _Pool(torch.autograd.Function):
    """F.embedding_bag, linear in the table but for the choice that "max" makes."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, mode: str, padding: int | None) -> Tensor:
        with torch.enable_grad():
            leaf = weight.detach().requires_grad_()
            pooled = F.embedding_bag(ids, leaf, mode=mode, padding_idx=padding)
        ctx.leaf, ctx.pooled, ctx.ids, ctx.mode, ctx.padding = leaf, pooled, ids, mode, padding
        return pooled.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():
            (found,) = torch.autograd.grad(ctx.pooled, ctx.leaf, grad, retain_graph=True)
            return found, None, None, None
        ids, weight = ctx.ids, ctx.leaf.detach()
        inside = torch.ones_like(ids, dtype=torch.bool) if ctx.padding is None else ids != ctx.padding
        if ctx.mode == "max":
            where = weight[ids].masked_fill(~inside.unsqueeze(2), -torch.inf).argmax(1)
            given = grad * inside.any(1, keepdim=True)
            return torch.zeros_like(weight).scatter_add(0, ids.gather(1, where), given), None, None, None
        shares = inside.to(grad.dtype)
        if ctx.mode == "mean":
            shares = shares / shares.sum(1, keepdim=True).clamp_min(1)
        each = (shares.unsqueeze(2) * grad.unsqueeze(1)).flatten(0, 1)
        return torch.zeros_like(weight).index_add(0, ids.flatten(), each), None, None, None
