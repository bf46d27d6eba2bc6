"""A mini-batch through hidden layers in one compiled call, and back in another.

What it comes to are the bits of the torch operations that it stands for (`engine.tower`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mamdr.engine import compiled
from mamdr.engine.dropout import kept, scale_of
from mamdr.models.layers import Dense

_SUMMED = 64
"""Columns that torch adds up side by side on every processor; fewer it adds in another order."""

_MOST_ROWS = 2**16
"""Up to here torch adds sixteen rows, then sixteen such sums, and so on; of more rows more at a time."""


def plan_of(
    rows: Tensor, constant: Tensor | None, dense: Sequence[Dense], rates: Sequence[float | None]
) -> Plan | None:
    """A plan, or None where layers are to be gone through one by one.

    Args:
        rows: [B, V].
        constant: [1, C], the same for all rows, or None.
        dense: the layers.
        rates: by layer, of dropout after a ReLU; None for no ReLU, which only the last may be without.
    """
    loops = compiled.loops()
    if loops is None or loops.through is None or not 0 < len(rows) <= _MOST_ROWS or rates[0] is None:
        return None
    if not rows.is_contiguous() or not (constant is None or constant.is_contiguous()):
        return None
    if any(layer.out_features % _SUMMED for layer, rate in zip(dense, rates, strict=True) if rate is not None):
        return None
    if torch.backends.mkldnn.matmul.fp32_precision not in ("none", "ieee"):  # type: ignore[attr-defined]
        return None
    return Plan(loops, rows, constant, dense, rates)


class Plan:
    """What the compiled loops are told of one mini-batch (see `engine.compiled_loops`)."""

    def __init__(
        self,
        loops: compiled.Loops,
        rows: Tensor,
        constant: Tensor | None,
        dense: Sequence[Dense],
        rates: Sequence[float | None],
    ) -> None:
        self.loops, self.rows, self.constant = loops, rows, constant
        self.weights: list[Any] = [layer._parameters["weight"] for layer in dense]
        self.biases: list[Any] = [layer._parameters["bias"] for layer in dense]
        self.sizes, self.rates = [layer.out_features for layer in dense], rates
        self.scales = np.array([scale_of(rate or 0.0) for rate in rates], dtype=np.float32)

    def forward(self) -> tuple[Tensor, Tensor]:
        """What all layers but the last make, one after another; and what the last makes, [B, its size]."""
        count, (*inner, last) = len(self.rows), self.sizes
        # Layer by layer [B, size]; and room for the first one's bias, with what is the same for all rows.
        made, out = torch.empty(count * sum(inner) + self.sizes[0]), torch.empty(count, last)
        drops = [layer for layer, rate in enumerate(self.rates) if rate]
        words = kept([(count * self.sizes[layer], self.rates[layer] or 0.0) for layer in drops])
        bits = dict(zip(drops, (drawn.data_ptr() for drawn in words), strict=True))
        given, width, at, plan = self.rows.data_ptr(), self.rows.shape[1], made.data_ptr(), []
        for layer, (weight, bias, size) in enumerate(zip(self.weights, self.biases, self.sizes, strict=True)):
            to = at if layer < len(inner) else out.data_ptr()
            relu = self.rates[layer] is not None
            plan.append(
                (weight.data_ptr(), weight.shape[1], bias.data_ptr(), given, width, width, to, size, bits.get(layer, 0), relu, 0, 0, 0, 0)
            )
            given, width, at = to, size, at + 4 * count * size
        self.plan = np.array(plan, dtype=np.int64)
        same = (0, 0, 0) if self.constant is None else (self.constant.data_ptr(), self.constant.shape[1], 0)
        self.same = np.array(same, dtype=np.int64)
        room = made.data_ptr() + 4 * count * sum(inner)
        assert self.loops.through is not None
        self.loops.through(*self._told(count), room)
        return made, out

    def backward(self, grad: Tensor, of_rows: bool, of_constant: bool) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of rows and constant; those of weights and biases are added to.

        Args:
            grad: of what the last layer made; changed, if that has a ReLU.
        """
        count, (*inner, _) = len(self.rows), self.sizes
        grad = grad.contiguous()
        if self.rates[-1] is None:
            self.biases[-1].grad.add_(grad.sum(0))
        grads = torch.empty(count * sum(inner) + 4 * max(self.sizes))
        rows = torch.empty_like(self.rows) if of_rows else None
        constant = torch.empty_like(self.constant) if of_constant and self.constant is not None else None
        at, before = grads.data_ptr(), 0 if rows is None else rows.data_ptr()
        told = self.plan
        for layer, size in enumerate(self.sizes):
            of = at if layer < len(inner) else grad.data_ptr()
            told[layer, 10:] = (self.weights[layer].grad.data_ptr(), self.biases[layer].grad.data_ptr(), of, before)
            before, at = at, at + 4 * count * size
        if constant is not None:
            self.same[2] = constant.data_ptr()
        room = grads.data_ptr() + 4 * count * sum(inner)
        assert self.loops.back is not None
        self.loops.back(*self._told(count), room)
        return rows, constant

    def _told(self, count: int) -> tuple[int, int, int, int, int]:
        return self.plan.ctypes.data, len(self.plan), count, self.scales.ctypes.data, self.same.ctypes.data
