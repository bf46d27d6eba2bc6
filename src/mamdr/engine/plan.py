"""A mini-batch through hidden layers in one compiled call, and back in another.

What it comes to are the bits of the torch operations that it stands for (`engine.tower`). Importing this imports numba.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mamdr.engine import compiled
from mamdr.engine import compiled_loops as field
from mamdr.engine.arena import Workspace
from mamdr.engine.dropout import kept, scale_of
from mamdr.models.layers import Dense

_SUMMED = 64
"""Columns that torch adds up side by side on every processor; fewer it adds in another order."""

_MOST_ROWS = 2**16
"""Up to here torch adds sixteen rows, then sixteen such sums, and so on; of more rows more at a time."""


def plan_of(
    rows: Tensor,
    constant: Tensor | None,
    dense: Sequence[Dense],
    rates: Sequence[float | None],
    workspace: Workspace,
) -> Plan | None:
    """A plan, or None where layers are to be gone through one by one.

    Args:
        rows: [B, V].
        constant: [1, C], the same for all rows, or None.
        dense: the layers.
        rates: by layer, of dropout after a ReLU; None for no ReLU, which only the last may be without.
        workspace: where values and gradients are kept until the step is over.
    """
    loops = compiled.loops()
    if loops is None or not 0 < len(rows) <= _MOST_ROWS or rates[0] is None:
        return None
    if not rows.is_contiguous() or not (constant is None or constant.is_contiguous()):
        return None
    if any(
        layer.out_features % _SUMMED for layer, rate in zip(dense, rates, strict=True) if rate is not None
    ):
        return None
    if torch.backends.mkldnn.matmul.fp32_precision not in ("none", "ieee"):  # type: ignore[attr-defined]
        return None
    return Plan(loops, rows, constant, dense, rates, workspace)


class Plan:
    """What the compiled loops are told of one mini-batch (see `engine.compiled_loops`)."""

    def __init__(
        self,
        loops: compiled.Loops,
        rows: Tensor,
        constant: Tensor | None,
        dense: Sequence[Dense],
        rates: Sequence[float | None],
        workspace: Workspace,
    ) -> None:
        self.loops, self.rows, self.constant, self.workspace = loops, rows, constant, workspace
        self.weights: list[Any] = [layer.weight for layer in dense]
        self.biases: list[Any] = [layer.bias for layer in dense]
        self.sizes, self.rates = [layer.out_features for layer in dense], rates
        self.scales = np.array([scale_of(rate or 0.0) for rate in rates], dtype=np.float32)
        self.told = np.zeros((len(dense), field.FIELDS), dtype=np.int64)
        self.same = np.zeros(3, dtype=np.int64)
        if constant is not None:
            self.same[:2] = constant.data_ptr(), constant.shape[1]

    def forward(self) -> Tensor:
        """What the last layer makes, [B, its size]."""
        count, (*inner, last) = len(self.rows), self.sizes
        # Layer by layer [B, size]; and room for the first one's bias, with what is the same for all rows.
        made, out = self.workspace.take(count * sum(inner) + self.sizes[0]), torch.empty(count, last)
        drops = {layer: rate for layer, rate in enumerate(self.rates) if rate}
        drawn = kept([(count * self.sizes[layer], rate) for layer, rate in drops.items()])
        words = dict(zip(drops, (bits.data_ptr() for bits in drawn), strict=True))
        given, width, to = self.rows.data_ptr(), self.rows.shape[1], made.data_ptr()
        for layer, (weight, bias, size) in enumerate(zip(self.weights, self.biases, self.sizes, strict=True)):
            to = to if layer < len(inner) else out.data_ptr()
            relu, bits = self.rates[layer] is not None, words.get(layer, 0)
            self.told[layer, : field.FORWARD] = (
                *(weight.data_ptr(), weight.shape[1], bias.data_ptr()),
                *(given, width, to, size, bits, relu),
            )
            given, width, to = to, size, to + 4 * count * size
        self._call(self.loops.through, made, count * sum(inner))
        return out

    def backward(self, grad: Tensor, of_rows: bool, of_constant: bool) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of rows and constant; those of weights and biases are added to.

        Args:
            grad: of what the last layer made; changed, if that has a ReLU.
        """
        count, (*inner, _), grad = len(self.rows), self.sizes, grad.contiguous()
        if self.rates[-1] is None:
            self.biases[-1].grad.add_(grad.sum(0))
        grads = self.workspace.take(count * sum(inner) + 4 * max(self.sizes))
        rows = torch.empty_like(self.rows) if of_rows else None
        constant = torch.empty_like(self.constant) if of_constant and self.constant is not None else None
        self.same[field.CONSTANT_GRAD] = 0 if constant is None else constant.data_ptr()
        of_given, of = 0 if rows is None else rows.data_ptr(), grads.data_ptr()
        for layer, (weight, bias, size) in enumerate(zip(self.weights, self.biases, self.sizes, strict=True)):
            of = of if layer < len(inner) else grad.data_ptr()
            self.told[layer, field.FORWARD :] = weight.grad.data_ptr(), bias.grad.data_ptr(), of, of_given
            of_given, of = of, of + 4 * count * size
        self._call(self.loops.back, grads, count * sum(inner))
        return rows, constant

    def _call(self, loop: Callable[..., None] | None, block: Tensor, room: int) -> None:
        """Call a loop, with the room that begins at a value of a block."""
        assert loop is not None
        told = (self.told.ctypes.data, len(self.told), len(self.rows), self.scales.ctypes.data)
        loop(*told, self.same.ctypes.data, block.data_ptr() + 4 * room)
