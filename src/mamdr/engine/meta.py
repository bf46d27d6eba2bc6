"""The gradient of what a step on some rows does to others: the objective of MAML and of MLDG.

`strategies.protocol.Meta` says what is computed; here is how. Nothing of it moves the walk's point: the module computes
on values beside it, and what comes out lies where the gradient of a plain mini-batch would.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mamdr.data.domains import Batch
from mamdr.engine.virtual import Grads, Virtual
from mamdr.parameters import Point
from mamdr.strategies.protocol import Meta

if TYPE_CHECKING:
    from mamdr.engine.walk import Walked

Part = tuple[Batch, Tensor]
"""Inputs and labels [B]."""


class MetaStep:
    """Makes steps down the objective's gradient.

    Args:
        walked: the walk under way.
        meta: the objective.
        draw: where the parting of domains comes from.
    """

    def __init__(self, walked: Walked, meta: Meta, draw: np.random.Generator) -> None:
        self.walked, self.meta, self.draw = walked, meta, draw
        self._virtual: tuple[Point, Virtual] | None = None

    def __call__(self, batch: Batch, labels: Tensor, cut: int | None = None) -> Tensor:
        """Make a step; the losses' mean, weighted as they are in the objective.

        Args:
            cut: how many of the first rows are support; None parts the domains.
        """
        part = batch, labels
        parts = by_domain(part, self.meta.share, self.draw) if cut is None else _cut(part, cut)
        loss = self.walked.again(functools.partial(self._descend, parts))
        self.walked.advance()
        return loss

    def _descend(self, parts: Sequence[Part]) -> Tensor:
        with self._on_the_point() as virtual:
            return descend(self.meta, virtual, self._loss, parts)

    def _on_the_point(self) -> Virtual:
        """Values beside the walk's point, which may have grown."""
        if self._virtual is None or self._virtual[0] is not self.walked.work:
            self._virtual = self.walked.work, Virtual(self.walked.binding, self.walked.lazy)
        return self._virtual[1]

    def _loss(self, part: Part) -> Tensor:
        """The mean over the part's domains of the mean loss of each one's rows."""
        weights = domain_weights(part[0]["domain"])
        if weights is None:
            return self.walked.loss_once(*part)
        each = self.walked.loss_once(*part, "none")
        return each @ weights.to(each.dtype)


def descend(meta: Meta, virtual: Virtual, loss_of: Callable[[Part], Tensor], parts: Sequence[Part]) -> Tensor:
    """Leave the gradient of own · L(θ; support) + ahead · L(θ'; query) for the walk's step.

    Args:
        virtual: entered.
        loss_of: runs the module as it now is.
        parts: support and query; or support alone, when there is no query.

    Returns: the two losses' mean, weighted as they are in the objective.

    Cost: inner_steps + 1 passes forward and backward; with order 2 each backward pass is itself passed back through,
    which takes about as much again, and every θ' is kept: inner_steps times P values and the rows looked up.
    """
    second = meta.order == 2 and len(parts) == 2
    here = loss_of(parts[0])
    slopes = own = virtual.gradients(here, graph=second)
    if len(parts) == 1:
        virtual.put(_sum(own, meta.own))
        return here.detach()
    for step in range(meta.inner_steps):
        if step:
            slopes = virtual.gradients(loss_of(parts[0]), graph=second)
        virtual.step(slopes, meta.rate, graph=second)
    there = loss_of(parts[1])
    if second:
        virtual.put(virtual.gradients_at_start(meta.own * here + meta.ahead * there))
    else:
        virtual.put(_sum(own, meta.own, virtual.gradients(there), meta.ahead))
    return (meta.own * here.detach() + meta.ahead * there.detach()) / (meta.own + meta.ahead)


def by_domain(part: Part, share: float, draw: np.random.Generator) -> tuple[Part, ...]:
    """The domains of a mini-batch parted into support and query at random; as it is, if it has one domain alone."""
    domains = part[0]["domain"]
    present = torch.unique(domains)
    if len(present) < 2:
        return (part,)
    count = min(max(round(share * len(present)), 1), len(present) - 1)
    chosen = torch.from_numpy(draw.permutation(len(present))[:count])
    inside = torch.isin(domains, present[chosen])
    return _where(part, inside), _where(part, ~inside)


def domain_weights(domains: Tensor) -> Tensor | None:
    """For each row, float64, its share of the mean over domains of their mean losses; None for a single domain, whose
    mean is plain."""
    _, which, counts = torch.unique(domains, return_inverse=True, return_counts=True)
    return None if len(counts) == 1 else (counts[which] * len(counts)).double().reciprocal()


def _cut(part: Part, cut: int) -> tuple[Part, Part]:
    batch, labels = part
    first = {name: column[:cut] for name, column in batch.items()}
    return (first, labels[:cut]), ({name: column[cut:] for name, column in batch.items()}, labels[cut:])


def _where(part: Part, mask: Tensor) -> Part:
    return {name: column[mask] for name, column in part[0].items()}, part[1][mask]


def _sum(first: Grads, weight: float, second: Grads | None = None, second_weight: float = 0.0) -> Grads:
    """weight · first + second_weight · second, where second may have more pieces."""
    return [
        [_plus(a, weight, b, second_weight) for a, b in itertools.zip_longest(ours, theirs)]
        for ours, theirs in zip(first, [[]] * len(first) if second is None else second, strict=True)
    ]


def _plus(a: Tensor | None, weight: float, b: Tensor | None, other: float) -> Tensor | None:
    scaled = [grad * by for grad, by in ((a, weight), (b, other)) if grad is not None and by]
    return scaled[0] if len(scaled) == 1 else sum(scaled[1:], scaled[0]) if scaled else None
