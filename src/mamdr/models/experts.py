"""Experts, and what mixes them. B rows, N experts, S values that an expert gives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mamdr.models.layers import ReLUDropout, multiply
from mamdr.models.routing import Routing, kernels, unpack


class Experts(nn.Module):
    """N networks over the same rows, which all domains share: hidden layers, each with ReLU and dropout.

    Args:
        width: values a row.
        sizes: of the layers.
        count: N.
        dropout: after each layer.

    Shapes: [B, V] and what is the same for every row, [1, C], to [B, N, S].
    """

    def __init__(self, width: int, sizes: Sequence[int], count: int, dropout: float) -> None:
        super().__init__()
        shapes = [(size, before) for before, size in itertools.pairwise([width, *sizes])]
        self.weights = nn.ParameterList(_glorot(count, *shape) for shape in shapes)
        self.biases = nn.ParameterList(torch.zeros(count, size) for size, _ in shapes)
        self.after = ReLUDropout(dropout)

    def forward(self, rows: Tensor, constant: Tensor | None = None) -> Tensor:
        return run(zip(self.weights, self.biases, strict=True), self.after, rows, constant)


class DomainExperts(nn.Module):
    """N networks of each domain's own over its rows; else as `Experts`.

    Args:
        domains: D.
    """

    def __init__(self, domains: int, width: int, sizes: Sequence[int], count: int, dropout: float) -> None:
        super().__init__()
        self.shapes = [(size, before, count) for before, size in itertools.pairwise([width, *sizes])]
        self.tables = nn.ModuleList(kernels(domains, *shape) for shape in self.shapes)
        self.after = ReLUDropout(dropout)

    def forward(self, routing: Routing, rows: Tensor, constant: Tensor | None = None) -> Tensor:
        def experts(rows: Tensor, *kept: Tensor) -> Tensor:
            layers = (unpack(values, *shape) for values, shape in zip(kept, self.shapes, strict=True))
            return run(layers, self.after, rows, constant)

        return routing.each(experts, rows, *self.tables)


def run(
    layers: Iterable[tuple[Tensor, Tensor]], after: nn.Module, rows: Tensor, constant: Tensor | None
) -> Tensor:
    """N networks over the same rows: [B, V] to [B, N, S]; or for g domains at once, [g, b, V] to [g, b, N, S].

    Args:
        layers: kernels [N, size, before] and biases [N, size], from the first layer to the last; or [g, N, ...].
        after: applied after each layer.
        rows, constant: as in `layers.multiply`.

    Cost: the first layers are one product, as wide as all of them.
    """
    out: Tensor | None = None
    for weight, bias in layers:
        if out is None:
            first = multiply(weight.flatten(-3, -2), bias.flatten(-2), rows, constant)
            out = after(first).view(*rows.shape[:-1], *bias.shape[-2:])
        else:
            deeper = out.transpose(-3, -2) @ weight.transpose(-2, -1) + bias.unsqueeze(-2)
            out = after(deeper).transpose(-3, -2)
    assert out is not None
    return out


def mix(gate: Tensor, experts: Tensor) -> Tensor:
    """Σ_n softmax(gate)_n · expert_n: [B, N] and [B, N, S] to [B, S].

    >>> mix(torch.zeros(1, 2), torch.tensor([[[1.0, 2.0], [3.0, 6.0]]]))
    tensor([[2., 4.]])
    """
    return torch.bmm(torch.softmax(gate, dim=1).unsqueeze(1), experts).squeeze(1)


def _glorot(count: int, size: int, before: int) -> Tensor:
    return torch.randn(count, size, before) * math.sqrt(2 / (size + before))
