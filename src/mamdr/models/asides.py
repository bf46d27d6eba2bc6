"""A domain's embedding beside a row's features. B rows, E embedding width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mamdr.models.routing import DomainRows


def embeddings(domains: int, width: int) -> DomainRows:
    """An embedding of E values for each domain, from N(0, 1e-4²) as those of ids (see `Inputs`)."""
    table = DomainRows(domains, width)
    nn.init.normal_(table.weight, std=1e-4)
    return table


def aside(table: DomainRows, domain: Tensor) -> Tensor:
    """The embeddings of a batch's domains: [1, E] for a batch of one domain (see `Routing`), else [B, E]."""
    found: Tensor = table(domain[:1] if len(domain) and domain.stride(0) == 0 else domain)
    return found


def beside(rows: Tensor, others: Tensor) -> tuple[Tensor, ...]:
    """What layers take for [rows | others] (see `layers.Dense`), where others are [B, C], or [1, C] for all rows alike.

    Cost: what is the same for all rows is multiplied once, not B times.

    >>> from mamdr.models.layers import Dense
    >>> layer, rows, same = Dense(3, 1), torch.ones(2, 1), torch.tensor([[3.0, 4.0]])
    >>> torch.allclose(layer(*beside(rows, same)), layer(*beside(rows, same.expand(2, 2))))
    True
    """
    return (rows, others) if len(others) == 1 else (torch.cat([rows, others], dim=1),)
