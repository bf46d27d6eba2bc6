"""Layers that several models share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def dense(width: int, size: int) -> nn.Linear:
    """A fully connected layer; kernel Glorot normal, bias zero (FIDELITY row 13)."""
    linear = nn.Linear(width, size)
    nn.init.xavier_normal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class ReLUDropout(nn.Dropout):
    """ReLU and then dropout with probability p; the engine makes both in one go (see `engine.dropout`)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(F.relu(input), self.p, self.training)


def affine(layer: nn.Linear, rows: Tensor, constant: Tensor | None) -> Tensor:
    """`layer` on [rows | constant], the constant part multiplied once instead of B times.

    Args:
        layer: from V + C values.
        rows: [B, V].
        constant: [1, C], the same for every row; None when C is 0.

    Cost: B · V products for each output instead of B · (V + C), forward and backward.
    """
    if constant is None:
        return F.linear(rows, layer.weight, layer.bias)
    cut = rows.shape[1]
    bias = F.linear(constant, layer.weight[:, cut:], layer.bias).squeeze(0)
    return F.linear(rows, layer.weight[:, :cut], bias)
