"""Running a module only to look at it: whatever a forward pass changes is as before afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

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
    """Inside, forward passes leave no trace: what `without_trace` says, modes, and the random state come back.

    Random draws inside are the same at every call.
    """
    before = modes(module)
    try:
        with torch.random.fork_rng(devices=[]), without_trace(module):
            torch.default_generator.manual_seed(derive(0, "look"))
            yield
    finally:
        set_modes(before)


@contextmanager
def without_trace(module: nn.Module) -> Iterator[None]:
    """Inside, forward passes have no gradients and change neither buffers nor rows that are held to `max_norm`."""
    buffers = Buffers(module)
    held = [(m, m.max_norm) for m in module.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))]
    for embedding, _ in held:
        embedding.max_norm = None
    try:
        with torch.no_grad():
            yield
    finally:
        for embedding, norm in held:
            embedding.max_norm = norm
        buffers.restore()


def drawn(device: torch.device) -> list[Tensor]:
    """The state of the random generators that a module on this device draws from."""
    states = [torch.get_rng_state()]
    return states if device.type == "cpu" else [*states, torch.cuda.get_rng_state(device)]


@contextmanager
def drawing_again(states: list[Tensor], device: torch.device) -> Iterator[None]:
    """Inside, draws are those that followed these states; afterwards the generators are as they were before."""
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        torch.set_rng_state(states[0])
        if device.type != "cpu":
            torch.cuda.set_rng_state(states[1], device)
        yield
