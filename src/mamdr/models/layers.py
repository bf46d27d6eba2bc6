"""Layers that several models share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dense(nn.Linear):
    """A fully connected layer that may be given apart what is the same for every row (see `multiply`).

    Every layer of the models' is called, never only read, so that hooks see what it is given and gives.
    """

    def forward(self, input: Tensor, constant: Tensor | None = None) -> Tensor:
        return multiply(self.weight, self.bias, input, constant)


def dense(width: int, size: int) -> Dense:
    """A fully connected layer; kernel Glorot normal, bias zero (FIDELITY row 13)."""
    linear = Dense(width, size)
    nn.init.xavier_normal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class ReLUDropout(nn.Dropout):
    """ReLU and then dropout with probability p; the engine makes both in one go (see `engine.dropout`)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(F.relu(input), self.p, self.training)


class Layered(nn.Module):
    """A first layer, and layers after it; the engine trains them in one go where it can (see `engine.tower`).

    Attributes:
        first: is given apart what is the same for every row.
        layers: what comes after it.
    """

    first: Dense
    layers: nn.Sequential

    def through(self, rows: Tensor, constant: Tensor | None = None) -> Tensor:
        """[rows | constant] through all layers, [B, size of the last]."""
        out: Tensor = self.layers(affine(self.first, rows, constant))
        return out


class Hidden(Layered):
    """Hidden layers: each fully connected, then ReLU, then dropout (FIDELITY row 14: after the last as well).

    Args:
        width: values a row.
        sizes: of the layers, one or more.
        dropout: in [0, 1).

    Shapes: [B, V] and what is the same for every row, [1, C] (see `affine`), to [B, sizes[-1]]; V + C = width.
    """

    def __init__(self, width: int, sizes: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.first = dense(width, sizes[0])
        layers: list[nn.Module] = [ReLUDropout(dropout)]
        for before, size in itertools.pairwise(sizes):
            layers += [dense(before, size), ReLUDropout(dropout)]
        self.layers = nn.Sequential(*layers)

    def forward(self, rows: Tensor, constant: Tensor | None = None) -> Tensor:
        return self.through(rows, constant)


def affine(layer: Dense, rows: Tensor, constant: Tensor | None) -> Tensor:
    """`layer` on [rows | constant] (see `multiply`)."""
    out: Tensor = layer(rows, constant)
    return out


def multiply(weight: Tensor, bias: Tensor | None, rows: Tensor, constant: Tensor | None = None) -> Tensor:
    """[rows | constant] · weightᵀ + bias, the constant part multiplied once instead of B times.

    Args:
        weight: [size, V + C]; or several layers' at once, [g, size, V].
        bias: [size]; or [g, size]; None for none.
        rows: [B, V]; or [g, b, V], for each layer its own.
        constant: [1, C], the same for every row; None when C is 0, and for several layers.

    Cost: B · V products for each output instead of B · (V + C), forward and backward.
    """
    if weight.ndim == 3:
        if bias is None:
            return torch.bmm(rows, weight.transpose(1, 2))
        return torch.baddbmm(bias.unsqueeze(1), rows, weight.transpose(1, 2))
    if constant is None:
        return F.linear(rows, weight, bias)
    # One split, not two slices: each slice's way back fills a whole weight of zeros.
    varying, fixed = torch.split(weight, [rows.shape[1], constant.shape[1]], dim=1)
    return F.linear(rows, varying, F.linear(constant, fixed, bias).squeeze(0))
