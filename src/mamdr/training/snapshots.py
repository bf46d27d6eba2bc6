"""Which rounds serve a domain together: an ensemble of snapshots, chosen as rounds come.

Rounds far apart err on different rows. The mean of their scores errs less, where the mean of their parameters, which
are far apart as well, is no good model. So a domain's score may be the mean probability of several rounds of one
training (snapshot ensembles: Huang et al. 2017), each taken in where its validation AUC rises by it (ensemble
selection: Caruana et al. 2004), and no round is kept that is not in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from mamdr.engine.predict import mean_score
from mamdr.evaluation.auc import grouped_auc


class Seating(NamedTuple):
    """The seat that a round gets, whether the others lose theirs, and the AUC of who then has seats."""

    number: int
    alone: bool
    auc: float


def seating(held: Sequence[Tensor], found: Tensor, labels: Tensor, most: int) -> Seating:
    """Where a round is worth most: in a free seat, in that of a round it replaces, or alone.

    Args:
        held: click probabilities [n] of the rounds that have seats, in their order.
        found: those of the new round.
        labels: [n], 0 or 1, of both classes.
        most: seats, at least 1.

    Returns: of what is equally good the free seat, then the lowest, then to be alone. Whether that is better than to
        leave all as they are is the caller's to see; who always takes what is better has the AUC of the best round by
        itself at least.
    Cost: an AUC of n rows for each seat, and one.

    >>> import torch
    >>> held, labels = [torch.tensor([0.2, 0.3, 0.9])], torch.tensor([0, 1, 0])
    >>> seating(held, torch.tensor([0.1, 0.9, 0.1]), labels, 2)
    Seating(number=1, alone=False, auc=1.0)
    >>> seating(held, torch.tensor([0.1, 0.5, 0.1]), labels, 2)
    Seating(number=0, alone=False, auc=1.0)
    """
    groups, own = np.zeros(len(labels), np.int64), labels.numpy()

    def with_seat(number: int, alone: bool = False) -> Seating:
        scores = [found] if alone else [*held[:number], found, *held[number + 1 :]]
        return Seating(number, alone, float(grouped_auc(mean_score(scores).numpy(), own, groups, 1)[0]))

    free = [with_seat(len(held))] if len(held) < most else []
    taken = [with_seat(number) for number in range(len(held))]
    alone = [with_seat(0, alone=True)] if len(held) > 1 else []
    return max((*free, *taken, *alone), key=lambda tried: tried.auc)
