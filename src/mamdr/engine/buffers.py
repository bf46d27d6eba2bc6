"""A module's buffers (running statistics) as walks find and leave them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Buffers:
    """Sets a module's buffers before a walk and says afterwards which ones it changed.

    Changes are found by comparing values: batch normalisation changes its statistics without moving the tensor's
    version. A large table of constants is therefore better a frozen parameter, which nothing compares or copies.

    Args:
        module: its values now are the ones that hold where nothing else is said, and that `restore` gives back.

    Cost: a copy of the buffers; a walk costs one comparison, and copies of those that changed.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._held = list(module.named_buffers())
        self._own = {name: buffer.clone() for name, buffer in self._held}
        self._loaded = dict(self._own)

    def load(self, values: dict[str, Tensor]) -> None:
        """Set every buffer: to its value here, or to the module's own."""
        for name, buffer in self._held:
            self._put_back(name, buffer)
            wanted = values.get(name, self._own[name])
            if self._loaded.get(name) is not wanted:
                buffer.copy_(wanted)
                self._loaded[name] = wanted

    def changed(self) -> dict[str, Tensor]:
        """Copies of the buffers that are not as they were loaded."""
        changed = {}
        for name, now in self.module.named_buffers():
            if name in self._loaded and not torch.equal(now, self._loaded[name].to(now.device)):
                changed[name] = now.detach().clone()
        for name in changed:
            del self._loaded[name]
        return changed

    def restore(self) -> None:
        """Set every buffer to what it was at first."""
        self._loaded.clear()
        self.load({})

    def _put_back(self, name: str, buffer: Tensor) -> None:
        """Undo an assignment (`self.mean = ...` in forward) that put another tensor in a buffer's place."""
        owner, _, leaf = name.rpartition(".")
        module = self.module.get_submodule(owner)
        if module._buffers.get(leaf) is not buffer:
            module._buffers[leaf] = buffer
            self._loaded.pop(name, None)
