"""Adam for what combiners learn: a value for each domain, stepped where the domain has rows in the mini-batch."""

from __future__ import annotations

import torch
from torch import Tensor

from mamdr.combiners.protocol import Seen


def adam(seen: Seen, slope: Tensor) -> Tensor:
    """The direction m̂ / (√v̂ + 1e-8) of Adam (β 0.9 and 0.999; Kingma and Ba 2015) for the domains of the mini-batch.

    Each domain has moments and a count of steps of its own, and those of absent domains rest.

    Args:
        seen: its memory takes "steps", "first" and "second", [D] each.
        slope: [G], the gradient.
    """
    domains = seen.domains.cpu()
    steps, first, second = (seen.remembered(n, torch.zeros(seen.total)) for n in ("steps", "first", "second"))
    steps[domains] += 1
    first[domains] += 0.1 * (slope - first[domains])
    second[domains] += 0.001 * (slope.square() - second[domains])
    mean = first[domains] / (1 - 0.9 ** steps[domains])
    square = second[domains] / (1 - 0.999 ** steps[domains])
    return mean / (square.sqrt() + 1e-8)
