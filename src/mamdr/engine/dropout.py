"""Dropout masks made from packed random bits.

`torch.nn.Dropout` draws one random number for each value and takes about a third of a training step of a small
network on a CPU. Here one random bit serves each binary digit of the keep probability, 32 values to a word: a mask
costs three vector passes whatever p is, with p rounded to 1/256 (0.5, 0.25 and so on are exact).
"""

from __future__ import annotations

import struct
from typing import Any

import torch
from torch import Tensor, nn

from mamdr.models.layers import ReLUDropout

_DIGITS = 8
_SHIFTS = torch.arange(32, dtype=torch.int32)


def mask(size: int, p: float, generator: torch.Generator | None = None) -> Tensor:
    """`size` independent values, 0 with probability p and 1 / (1 − p) otherwise; float32, drawn on the CPU, by torch's
    own generator when none is given.

    A word's bits are kept with the probability whose binary digits, from the last to the first, choose between "or a
    fair bit" (digit 1) and "and a fair bit" (digit 0).
    """
    if p == 1:
        return torch.zeros(size)
    keep = _kept(p)
    scale = struct.unpack("<i", struct.pack("<f", _scale(p)))[0]
    words = -(-size // 32)
    if keep == 1 << _DIGITS:
        return torch.ones(size)
    lowest = (keep & -keep).bit_length() - 1
    bits = _random(words, generator)
    for digit in range(lowest + 1, _DIGITS):
        fair = _random(words, generator)
        bits = bits.bitwise_or_(fair) if keep >> digit & 1 else bits.bitwise_and_(fair)
    spread = torch.bitwise_left_shift(bits.unsqueeze(1), _SHIFTS)
    spread.bitwise_right_shift_(31).bitwise_and_(scale)
    return spread.view(torch.float32).view(-1)[:size]


def _kept(p: float) -> int:
    """Of 256, how many values a mask keeps on average."""
    return max(1, round((1 - p) * (1 << _DIGITS)))


def _scale(p: float) -> float:
    """What values that are kept are multiplied by."""
    return (1 << _DIGITS) / _kept(p)


def _random(words: int, generator: torch.Generator | None) -> Tensor:
    pairs = torch.empty(-(-words // 2), dtype=torch.int64)
    pairs.random_(torch.iinfo(torch.int64).min, None, generator=generator)
    return pairs.view(torch.int32)[:words]


def packed(module: nn.Dropout, x: Tensor) -> Tensor:
    """What `module` (dropout, or ReLU and dropout) does to x, with a mask of packed bits."""
    fused = isinstance(module, ReLUDropout)
    if not module.training or module.p == 0:
        return torch.relu(x) if fused else x
    drawn = mask(x.numel(), module.p).view(x.shape).to(x.device, x.dtype)
    return _MaskedReLU.apply(x, drawn, _scale(module.p)) if fused else x * drawn  # type: ignore[no-untyped-call]


class _MaskedReLU(torch.autograd.Function):
    """relu(x) · mask, with two passes over memory forward and one backward; the two layers take twice that."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, drawn: Tensor, scale: float) -> Tensor:
        out = x.clamp_min(0).mul_(drawn)
        ctx.scale = scale
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (out,) = ctx.saved_tensors
        # Where out is positive, x was and the mask is `scale`; elsewhere nothing came through. That is what an ELU of
        # slope `scale` on the right and 0 on the left has as its way back, in one pass.
        return torch.ops.aten.elu_backward(grad, 0.0, ctx.scale, 0.0, True, out), None, None
