"""Layers that several models share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def tower(width: int, hidden: Sequence[int], dropout: float) -> nn.Sequential:
    """Fully connected layers, each with ReLU and dropout; kernels Glorot normal, biases zero (FIDELITY rows 13, 14).

    Args:
        width: size of the input, >= 1.
        hidden: size of each layer's output.
        dropout: probability of dropping a value after each layer, in [0, 1).
    """
    layers: list[nn.Module] = []
    for size in hidden:
        linear = nn.Linear(width, size)
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU(), nn.Dropout(dropout)]
        width = size
    return nn.Sequential(*layers)


def logit(width: int) -> nn.Linear:
    """The last layer: one logit; kernel Glorot normal, bias zero."""
    linear = nn.Linear(width, 1)
    nn.init.xavier_normal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
