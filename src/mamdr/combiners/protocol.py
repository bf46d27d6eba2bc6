"""What a combiner is told and what it answers. G domains of a batch, D domains in all.

A combiner makes one gradient of many: Σ_i w_i · g_i over the domains of a mini-batch. Every method here finds its
weights w from the domains' losses, or from the inner products of their gradients (their Gram matrix), so that none
of them ever sees a gradient, and none costs more memory than the gradients themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor


@dataclass
class Seen:
    """What is known of a mini-batch before the step.

    Args:
        domains: [G] int64, the domains that have rows in the batch, ascending.
        counts: [G] int64, their rows.
        losses: [G] float64, the mean loss of each domain's rows.
        gram: [G, G] float64, inner products of the gradients of those losses; None where losses are enough.
        total: D.
        draw: where random draws come from.
        memory: what the combiner remembers from step to step, and across rounds and checkpoints; empty at the very
            start. Only the combiner writes to it. Tensors by name.
    """

    domains: Tensor
    counts: Tensor
    losses: Tensor
    gram: Tensor | None
    total: int
    draw: np.random.Generator
    memory: dict[str, Tensor] = field(default_factory=dict)

    def remembered(self, name: str, start: Tensor) -> Tensor:
        """A tensor of the memory, which is `start` before anything was remembered."""
        return self.memory.setdefault(name, start.to(torch.float64))


class Combiner(Protocol):
    """A way of making one gradient of many. Its settings are its fields; what it learns is in the memory."""

    needs: ClassVar[Literal["losses", "gram"]]
    """Whether losses suffice (one backward pass a batch) or each domain's gradient is taken (one a domain)."""

    looks_back: ClassVar[bool]
    """Whether `learn` is given the losses of the same batch after the step, for one more forward pass."""

    def weights(self, seen: Seen) -> Tensor:
        """w, [G] float64, of the gradient Σ_i w_i · g_i to step down."""
        ...

    def learn(self, seen: Seen, weights: Tensor, after: Tensor | None) -> None:
        """Take in what came of the step. `after` are the losses [G] after it, if the combiner looks back."""
        ...
