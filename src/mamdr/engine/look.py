"""Running a module only to look at it: whatever a forward pass changes is as before afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mamdr.engine.buffers import Buffers
from mamdr.seeds import derive

Modes = list[tuple[nn.Module, bool]]


def modes(module: nn.Module) -> Modes:
    """Each part of a module, and whether it is in training mode."""
    return [(part, part.training) for part in module.modules()]


def set_modes(before: Modes) -> None:
    """Undo calls of `train` and `eval`, part by part."""
    for part, training in before:
        part.training = training


@contextmanager
def looking(module: nn.Module) -> Iterator[None]:
    """Inside, forward passes leave no trace: modes, buffers, the random state and rows held to `max_norm` come back.

    Random draws inside are the same at every call.
    """
    before, buffers = modes(module), Buffers(module)
    held = [(m, m.max_norm) for m in module.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))]
    for embedding, _ in held:
        embedding.max_norm = None
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.default_generator.manual_seed(derive(0, "look"))
            yield
    finally:
        for embedding, norm in held:
            embedding.max_norm = norm
        set_modes(before)
        buffers.restore()
