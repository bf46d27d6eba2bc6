"""Memory that is asked of the system once and used again: by walk after walk, and by step after step."""

from __future__ import annotations

import torch
from torch import Tensor


class Arena:
    """Named buffers that grow and never shrink.

    A fresh buffer costs a page fault for every 4 KiB at first touch: 818 ms for the 200 MB of a large walk, where a
    used one costs 71 ms.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype, self._device = dtype, device
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, size: int) -> Tensor:
        """`size` values of buffer `name`, content not defined; they alias what was taken under this name before."""
        held = self._buffers.get(name)
        if held is None or len(held) < size:
            self._buffers.pop(name, None)
            held = self._buffers[name] = torch.empty(size, dtype=self._dtype, device=self._device)
        return held[:size]


class Workspace:
    """Float32 values of one step on a CPU, in memory that the next step uses again."""

    def __init__(self) -> None:
        self._blocks: list[Tensor] = []
        self._taken = 0

    def begin(self) -> None:
        """Nothing that was taken so far is needed any more."""
        self._taken = 0

    def take(self, size: int) -> Tensor:
        """A block of at least `size` values, content not defined."""
        self._taken += 1
        if self._taken > len(self._blocks):
            self._blocks.append(torch.empty(size, dtype=torch.float32))
        elif len(self._blocks[self._taken - 1]) < size:
            self._blocks[self._taken - 1] = torch.empty(size, dtype=torch.float32)
        return self._blocks[self._taken - 1]


_LARGEST = 32 * 2**20 - 2**13
"""Bytes, a little less than the most that glibc learns from."""


def keep_freed_memory() -> None:
    """Let the C library keep the memory that a step frees for the step that follows, up to 64 MiB of it.

    A step's activations and gradients are freed, and asked for again by the next one. Between the two glibc gives what
    lies at the end of its heap back to the system, once that is more than twice the largest buffer that was ever freed,
    and every 4 KiB of it then costs a page fault: 500 of them on a network of 256, 128 and 64 with 1,024 rows, 5 to
    10 % of a step. It raises that limit when it sees a larger buffer go; here is one, of which no page is touched.

    Elsewhere (another C library, or limits set by the user through glibc's own variables) nothing changes.
    """
    torch.empty(_LARGEST, dtype=torch.uint8)
