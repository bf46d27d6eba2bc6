"""Which library multiplies float32 matrices on this CPU.

On AMD processors MKL leaves a part of what the core can do unused (half of it on Zen 5, a twentieth on Zen 4), and
oneDNN does not. Torch hands float32 products to oneDNN when it may use a lower internal precision; on a processor
without bfloat16 matrix units oneDNN does not lower anything, so the error stays that of float32. That is checked by
multiplying, not assumed. oneDNN compiles a kernel for each new shape (about 25 ms for a network), so only batches of
the full size go there.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

_TOLERANCE = 2e-6
"""Largest error, relative to the largest value, that still counts as float32 (bfloat16 gives about 2e-3)."""


class Matmul:
    """Switches float32 products between torch's default and oneDNN; `restore` puts back what was set before."""

    def __init__(self) -> None:
        self._backend: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
        self._before: str = self._backend.fp32_precision
        self._able = self._before in ("none", "ieee") and _wanted()
        self._on = False

    def use(self, fast: bool) -> None:
        """oneDNN from now on, where it is wanted, or torch's default. Cost: nothing unless it changes."""
        if self._able and fast != self._on:
            self._backend.fp32_precision = "bf16" if fast else self._before
            self._on = fast

    def restore(self) -> None:
        self.use(False)


@functools.cache
def _wanted() -> bool:
    """Decided by the kind of processor alone, never by timing: the same machine must give the same bits."""
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
