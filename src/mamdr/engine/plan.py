"""A mini-batch through hidden layers in one compiled call, and back in another.

What it comes to are the bits of the torch operations that it stands for (`engine.tower`). Importing this imports numba.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mamdr.engine import compiled
from mamdr.engine import compiled_loops as field
from mamdr.engine.dropout import kept, scale_of
from mamdr.engine.tower import Tower

_SUMMED = 64
"""Columns that torch adds up side by side on every processor; fewer it adds in another order."""

_MOST_ROWS = 2**16
"""Up to here torch adds sixteen rows, then sixteen such sums, and so on; of more rows more at a time."""


def plan_of(
    loops: compiled.Loops, tower: Tower, rows: Tensor, constant: Tensor | None, rates: Sequence[float | None]
) -> Plan | None:
    """A plan, or None where layers are to be gone through one by one.

    Args:
        rows: [B, V].
        constant: [1, C], the same for all rows, or None.
        rates: those of `tower`.
    """
    if not 0 < len(rows) <= _MOST_ROWS or rates[0] is None:
        return None
    if not rows.is_contiguous() or not (constant is None or constant.is_contiguous()):
        return None
    if any(size % _SUMMED for size, rate in zip(tower.sizes, rates, strict=True) if rate is not None):
        return None
    if torch.backends.mkldnn.matmul.fp32_precision not in ("none", "ieee"):  # type: ignore[attr-defined]
        return None
    return Plan(loops, tower, rows, constant, rates)


class Plan:
    """What the compiled loops are told of one mini-batch (see `engine.compiled_loops`)."""

    def __init__(
        self,
        loops: compiled.Loops,
        tower: Tower,
        rows: Tensor,
        constant: Tensor | None,
        rates: Sequence[float | None],
    ) -> None:
        self.loops, self.tower, self.rows, self.constant, self.rates = loops, tower, rows, constant, rates
        self.scales = array("f", [scale_of(rate or 0.0) for rate in rates])
        self.told: list[int] = []
        self.same = (0, 0) if constant is None else (constant.data_ptr(), constant.shape[1])

    def forward(self) -> Tensor:
        """What the last layer makes, [B, its size]."""
        count, tower = len(self.rows), self.tower
        *inner, last = tower.sizes
        # Layer by layer [B, size]; and room for the first one's bias, with what is the same for all rows.
        made = tower.workspace.take(count * sum(inner) + tower.sizes[0])
        out = torch.empty(count, last, dtype=torch.float32)
        drops = [layer for layer, rate in enumerate(self.rates) if rate]
        drawn = kept([(count * tower.sizes[layer], self.rates[layer] or 0.0) for layer in drops])
        words = {layer: bits.data_ptr() for layer, bits in zip(drops, drawn, strict=True)}
        given, width, to = self.rows.data_ptr(), self.rows.shape[1], made.data_ptr()
        layers = zip(tower.weights, tower.biases, tower.sizes, self.rates, strict=True)
        for layer, (weight, bias, size, rate) in enumerate(layers):
            to = to if layer < len(inner) else out.data_ptr()
            self.told += (weight.data_ptr(), weight.shape[1], bias.data_ptr(), given, width, to, size)
            self.told += (words.get(layer, 0), rate is not None, 0, 0, 0, 0)
            given, width, to = to, size, to + 4 * count * size
        self._call(self.loops.through, 0, made.data_ptr() + 4 * count * sum(inner))
        return out

    def backward(self, grad: Tensor, of_rows: bool, of_constant: bool) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of rows and constant; those of weights and biases are added to.

        Args:
            grad: of what the last layer made; changed, if that has a ReLU.
        """
        count, tower, grad = len(self.rows), self.tower, grad.contiguous()
        inner = tower.sizes[:-1]
        if self.rates[-1] is None:
            tower.biases[-1].grad.add_(grad.sum(0))
        grads = tower.workspace.take(count * sum(inner) + 4 * max(tower.sizes))
        rows = torch.empty_like(self.rows) if of_rows else None
        constant = torch.empty_like(self.constant) if of_constant and self.constant is not None else None
        of_given, of = 0 if rows is None else rows.data_ptr(), grads.data_ptr()
        layers = zip(tower.weights, tower.biases, tower.sizes, strict=True)
        for layer, (weight, bias, size) in enumerate(layers):
            of, at = of if layer < len(inner) else grad.data_ptr(), layer * field.FIELDS
            self.told[at + field.WEIGHT_GRAD : at + field.FIELDS] = (
                weight.grad.data_ptr(),
                bias.grad.data_ptr(),
                of,
                of_given,
            )
            of_given, of = of, of + 4 * count * size
        back_to = 0 if constant is None else constant.data_ptr()
        self._call(self.loops.back, back_to, grads.data_ptr() + 4 * count * sum(inner))
        return rows, constant

    def _call(self, loop: Callable[..., None] | None, of_constant: int, room: int) -> None:
        assert loop is not None
        told, same = array("q", self.told), array("q", (*self.same, of_constant))
        layers, scales = len(self.rates), self.scales.buffer_info()[0]
        loop(told.buffer_info()[0], layers, len(self.rows), scales, same.buffer_info()[0], room)
