"""Several modules as one."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from mamdr.data.domains import Batch


class Ensemble(nn.Module):
    """A module whose click probability is the mean of its members'.

    >>> one, other = nn.Identity(), nn.Flatten(0)
    >>> Ensemble([one, other])(torch.tensor([0.0, 2.0]))
    tensor([0., 2.])
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B] of the members' mean probability."""
        logits = torch.stack([member(batch) for member in self.members])
        clicked: Tensor = torch.logsumexp(logsigmoid(logits), 0)
        return clicked - torch.logsumexp(logsigmoid(-logits), 0)
