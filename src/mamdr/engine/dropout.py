"""Dropout masks made from packed random bits.

`torch.nn.Dropout` draws one random number for each value and takes about a third of a training step of a small
network on a CPU. Here one random bit serves each binary digit of the keep probability, 32 values to a word: a mask
costs three vector passes whatever p is, with p rounded to 1/256 (0.5, 0.25 and so on are exact).
"""

from __future__ import annotations

import functools
import operator
import struct
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mamdr.engine.compiled import loops
from mamdr.models.layers import ReLUDropout

_DIGITS = 8
_SHIFTS = torch.arange(32, dtype=torch.int32)


def mask(size: int, p: float, generator: torch.Generator | None = None) -> Tensor:
    """`size` independent values, 0 with probability p and 1 / (1 − p) otherwise; float32, drawn on the CPU, by torch's
    own generator when none is given.

    Cost: three passes over 4 · size bytes, and `size` random bits for each binary digit of p.
    """
    scale = struct.unpack("<i", struct.pack("<f", scale_of(p)))[0]
    drawn = _spread(_kept(size, p, generator), size)
    return drawn.bitwise_right_shift_(31).bitwise_and_(scale).view(torch.float32)


def dropped(size: int, p: float, generator: torch.Generator | None = None) -> Tensor:
    """`size` independent int32, negative with probability p, drawn as by `mask`; of their other bits nothing is said.

    Cost: a pass over 4 · size bytes, and `size` random bits for each binary digit of p.
    """
    return _spread(_kept(size, p, generator).bitwise_not_(), size)


def kept(wanted: Sequence[tuple[int, float]], generator: torch.Generator | None = None) -> list[Tensor]:
    """For each size and p of dropout words of 32 bits, `size` bits at least, each set with probability 1 − p.

    A word's bits are set with the probability whose binary digits, from the last to the first, choose between "or a
    fair bit" (digit 1) and "and a fair bit" (digit 0). All are drawn at once, as one after another would be.
    """
    digits = [_digits(p) for _, p in wanted]
    pairs = [-(-size // 64) for size, _ in wanted]
    drawn = torch.empty(sum(map(operator.mul, map(len, digits), pairs)), dtype=torch.int64)
    drawn.random_(torch.iinfo(torch.int64).min, None, generator=generator)
    words, done, made = drawn.view(torch.int32), 0, []
    for (size, p), chosen, count in zip(wanted, digits, pairs, strict=True):
        bits = None if chosen else torch.full((2 * count,), 0 if p == 1 else -1, dtype=torch.int32)
        for digit in chosen:
            fair, done = words[done : done + 2 * count], done + 2 * count
            bits = fair if bits is None else bits.bitwise_or_(fair) if digit else bits.bitwise_and_(fair)
        assert bits is not None
        made.append(bits[: -(-size // 32)])
    return made


def _kept(size: int, p: float, generator: torch.Generator | None) -> Tensor:
    return kept([(size, p)], generator)[0]


@functools.cache
def _digits(p: float) -> tuple[int, ...]:
    """The binary digits of the probability 1 − p, the last that is set first; none where it is 0 or 1."""
    keep = _of_256(p)
    if p == 1 or keep == 1 << _DIGITS:
        return ()
    lowest = (keep & -keep).bit_length() - 1
    return tuple(keep >> digit & 1 for digit in range(lowest, _DIGITS))


def _spread(words: Tensor, size: int) -> Tensor:
    """Each bit of the words as the sign of an int32 of its own, [size]."""
    return torch.bitwise_left_shift(words.unsqueeze(1), _SHIFTS).view(-1)[:size]


def _of_256(p: float) -> int:
    """How many values a mask keeps of 256, on average."""
    return max(1, round((1 - p) * (1 << _DIGITS)))


def scale_of(p: float) -> float:
    """What values that are kept are multiplied by."""
    return (1 << _DIGITS) / _of_256(p)


def packed(module: nn.Dropout, x: Tensor) -> Tensor:
    """What `module` (dropout, or ReLU and dropout) does to x, with a mask of packed bits."""
    fused = isinstance(module, ReLUDropout)
    if not module.training or module.p == 0:
        return torch.relu(x) if fused else x
    if not fused:
        return x * mask(x.numel(), module.p).view(x.shape).to(x.device, x.dtype)
    drawn = dropped(x.numel(), module.p).view(x.shape).to(x.device)
    out: Tensor = _MaskedReLU.apply(x, drawn, scale_of(module.p))  # type: ignore[no-untyped-call]
    return out


def relu_dropout_(x: Tensor, bias: Tensor, p: float) -> None:
    """In place: add a bias [C] to x [B, C], then ReLU and dropout with probability p, 0 for none; float32 on a CPU, x's
    values one after another. The masks are those of `packed`."""
    if p and x.shape[1] % 32 == 0 and (compiled := loops()):
        words = _kept(x.numel(), p, None)
        compiled.relu_dropout(x.data_ptr(), bias.data_ptr(), words.data_ptr(), scale_of(p), *x.shape)
        return
    x.add_(bias)
    if p == 0:
        x.relu_()
    else:
        bits, drawn = x.view(torch.int32), dropped(x.numel(), p).view(x.shape)
        torch.ops.aten.threshold_backward.grad_input(bits, drawn, -1, grad_input=bits)
        _scale_positive_(x, x, scale_of(p))


def pass_back_(grad: Tensor, out: Tensor, p: float) -> None:
    """In place the gradient of what `relu_dropout_` was given, from that of what it made (`out`)."""
    if p == 0:
        torch.ops.aten.threshold_backward.grad_input(grad, out, 0, grad_input=grad)
    elif compiled := loops():
        compiled.pass_back(grad.data_ptr(), out.data_ptr(), scale_of(p), grad.numel())
    else:
        _scale_positive_(grad, out, scale_of(p))


def _scale_positive_(values: Tensor, where: Tensor, scale: float) -> None:
    """In place values · scale where `where` is positive, else 0: the way back of an ELU of slope `scale` on the right
    and 0 on the left."""
    torch.ops.aten.elu_backward.grad_input(values, 0.0, scale, 0.0, True, where, grad_input=values)


class _MaskedReLU(torch.autograd.Function):
    """relu(x) · scale, or 0 where `drawn` is negative: two passes over memory forward and one backward.

    One of each is the way back of an ELU (see `_scale_positive_`).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, drawn: Tensor, scale: float) -> Tensor:
        out = _without(x, drawn)
        _scale_positive_(out, out, scale)
        ctx.scale = scale
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        # Where out is positive, x was and was not dropped; elsewhere nothing came through.
        (out,) = ctx.saved_tensors
        return torch.ops.aten.elu_backward(grad, 0.0, ctx.scale, 0.0, True, out), None, None


def _without(x: Tensor, drawn: Tensor) -> Tensor:
    """x, and 0 where `drawn` is negative; in the memory of `drawn` when x is float32 and on a CPU."""
    if x.dtype == torch.float32 and x.device.type == "cpu":
        bits = x.view(torch.int32)
        torch.ops.aten.threshold_backward.grad_input(bits, drawn, -1, grad_input=drawn)
        return drawn.view(torch.float32)
    return torch.where(drawn < 0, 0, x)
