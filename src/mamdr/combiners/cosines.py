"""A Gram matrix as lengths and angles, so that gradients of very different lengths make no solver stumble."""

from __future__ import annotations

import torch
from torch import Tensor

from mamdr.combiners.protocol import Seen
from mamdr.errors import TrainingError


def gram_of(seen: Seen) -> Tensor:
    """The Gram matrix of a mini-batch, [G, G] float64 on the CPU.

    Raises:
        TrainingError: where it holds something that is no finite number.
    """
    assert seen.gram is not None, "the combiner needs the Gram matrix"
    gram = seen.gram.to("cpu", torch.float64)
    if not bool(torch.isfinite(gram).all()):
        raise TrainingError(
            "an inner product of two domains' gradients is no finite number",
            "finite gradients",
            "Lower the learning rate, or look for values out of range in the data",
        )
    return (gram + gram.T) / 2


def split(gram: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lengths and cosines of the gradients that are not zero.

        gram[i, j] = lengths_i · lengths_j · cosines[i, j]

    Args:
        gram: [G, G] float64.

    Returns:
        moving [M] int64, the gradients that are not zero; their lengths [M]; their cosines [M, M] in [-1, 1], ones
        on the diagonal.

    >>> moving, lengths, cosines = split(torch.tensor([[4.0, 0.0, 3.0], [0.0, 0.0, 0.0], [3.0, 0.0, 9.0]]).double())
    >>> moving.tolist(), lengths.tolist(), cosines.tolist()
    ([0, 2], [2.0, 3.0], [[1.0, 0.5], [0.5, 1.0]])
    """
    moving = (gram.diagonal() > 0).nonzero()[:, 0]
    lengths = gram.diagonal()[moving].sqrt()
    cosines = (gram[moving][:, moving] / lengths[:, None] / lengths[None, :]).clamp(-1.0, 1.0)
    cosines.fill_diagonal_(1.0)
    return moving, lengths, cosines


def even(count: int) -> Tensor:
    """The same weight for everyone, 1 together."""
    return torch.full((count,), 1.0 / max(1, count), dtype=torch.float64)
