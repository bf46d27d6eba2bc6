"""A row's features and its domain's embedding, kept apart. B rows, V values a row, E embedding width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch
from mamdr.models.inputs import Inputs
from mamdr.models.layers import affine


def apart(inputs: Inputs, batch: Batch, width: int) -> tuple[Tensor, Tensor]:
    """Features [B, V] and the domain's embedding: [1, E] for a batch of one domain, else [B, E].

    Args:
        inputs: with a domain embedding.
        batch: of B rows.
        width: V.
    """
    rows, constant = inputs.split(batch)
    return rows[:, :width], rows[:, width:] if constant is None else constant


def beside(layer: nn.Linear, rows: Tensor, domain: Tensor) -> Tensor:
    """`layer` on [rows | domain], with `domain` as `apart` gives it.

    Cost: the embedding of a batch of one domain is multiplied once, not B times.

    >>> layer, rows = nn.Linear(3, 1), torch.ones(2, 1)
    >>> one = torch.tensor([[3.0, 4.0]])
    >>> torch.allclose(beside(layer, rows, one), beside(layer, rows, one.expand(2, 2)))
    True
    """
    if len(domain) == 1:
        return affine(layer, rows, domain)
    return affine(layer, torch.cat([rows, domain], dim=1), None)
