"""Which library multiplies float32 matrices on this CPU.

On AMD processors MKL runs at about half of what the core can do, and oneDNN does not. Torch hands float32 products to
oneDNN when it may use a lower internal precision; on a processor without bfloat16 matrix units oneDNN does not lower
anything, so the error stays that of float32 and the time halves. That is checked by multiplying, not assumed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TOLERANCE = 2e-6
"""Largest error, relative to the largest value, that still counts as float32 (bfloat16 gives about 2e-3)."""


@contextmanager
def fast_matmul() -> Iterator[None]:
    """Use oneDNN for float32 products while inside, where it is exact to float32 and the processor is AMD's."""
    backend = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = backend.fp32_precision
    if before not in ("none", "ieee") or not _wanted():
        yield
        return
    backend.fp32_precision = "bf16"
    try:
        yield
    finally:
        backend.fp32_precision = before


@functools.cache
def _wanted() -> bool:
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and _is_amd() and _keeps_float32()


def _is_amd() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return "AuthenticAMD" in file.read(4096)
    except OSError:
        return False


def _keeps_float32() -> bool:
    """Multiply at a few shapes with the setting on, and compare with float64."""
    random = torch.Generator().manual_seed(0)
    backend = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = backend.fp32_precision
    backend.fp32_precision = "bf16"
    try:
        for rows, inner, columns in ((1024, 384, 256), (64, 64, 64), (256, 1024, 128)):
            a, b = torch.randn(rows, inner, generator=random), torch.randn(inner, columns, generator=random)
            exact = a.double() @ b.double()
            if float(((a @ b).double() - exact).abs().max() / exact.abs().max()) > _TOLERANCE:
                return False
    finally:
        backend.fp32_precision = before
    return True
