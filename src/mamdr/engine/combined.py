"""Steps down a gradient that a combiner makes of the gradients of a mini-batch's domains.

    for each domain i that has rows in the mini-batch:   g_i = gradient of the mean loss of i's rows
    step down Σ_i w_i · g_i,   w = the combiner's weights

B rows of the mini-batch, G domains of it, P dense values, d a table's width.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mamdr.combiners import Combiner, Seen
from mamdr.data.domains import Batch
from mamdr.engine.lazy import summed
from mamdr.engine.look import drawing_again, drawn, without_trace
from mamdr.errors import TrainingError
from mamdr.parameters.gram import dense_gram, rows_gram

if TYPE_CHECKING:
    from mamdr.engine.walk import Walked


class CombinedStep:
    """Makes steps of mixed mini-batches.

    For a combiner that needs losses alone a step is one forward and one backward pass of the mini-batch, down
    Σ_i w_i · loss_i. For one that needs inner products it is a pass for each domain, on its rows; what is kept of it
    is its dense gradient, and the gradients of the table rows that it touched.

    Args:
        walked: the walk under way.
        combiner: makes one gradient of many.
        draw: where the combiner's random draws come from.

    Memory: G · P values and each domain's touched rows, beside the walk's own.
    """

    def __init__(self, walked: Walked, combiner: Combiner, draw: np.random.Generator) -> None:
        self.walked, self.combiner, self.draw = walked, combiner, draw
        self.memory = walked.memory.setdefault(type(combiner).__name__, {})
        self.apart = combiner.needs == "gram"
        walked.hold_apart(self.apart)

    def __call__(self, batch: Batch, labels: Tensor) -> Tensor:
        """Make a step; the mean loss of the rows.

        Raises:
            TrainingError: a loss or a weight is not a finite number.
        """
        mixed, before = _Mixed(batch, labels), drawn(labels.device)
        if self.apart:
            gradients = _Gradients(self.walked, len(mixed.domains))
            losses = torch.stack([gradients.take(*part) for part in mixed.parts])
        else:
            losses = self._losses(mixed)
        seen = self._seen(mixed, losses.detach())
        if self.apart:
            seen.gram = gradients.gram().cpu()
        weights = self.combiner.weights(seen)
        self._check(weights)
        if self.apart:
            gradients.give(weights)
        else:
            (losses * weights.to(losses)).sum().backward()  # type: ignore[no-untyped-call]
        self.walked.advance()
        self.combiner.learn(seen, weights, self._after(mixed, before) if self.combiner.looks_back else None)
        mean: Tensor = (seen.losses * seen.counts).sum() / len(labels)
        return mean

    def _losses(self, mixed: _Mixed) -> Tensor:
        """Each domain's mean loss, [G]."""
        if self.apart:
            return torch.stack([self.walked.loss(*part) for part in mixed.parts])
        each = self.walked.loss(mixed.batch, mixed.labels, "none")
        sums = each.new_zeros(len(mixed.counts)).index_add(0, mixed.which, each)
        means: Tensor = sums / mixed.counts
        return means

    def _after(self, mixed: _Mixed, before: list[Tensor]) -> Tensor:
        """The losses of the same rows under the same dropout, now that the step is made."""
        with without_trace(self.walked.session.module), drawing_again(before, mixed.labels.device):
            return self._losses(mixed).to("cpu", torch.float64)

    def _seen(self, mixed: _Mixed, losses: Tensor) -> Seen:
        for domain, loss in zip(mixed.domains.tolist(), losses.tolist(), strict=True):
            if not math.isfinite(loss):
                raise diverged(loss, (domain,))
        total = len(self.walked.session.data.schema.domains)
        known = (mixed.domains.cpu(), mixed.counts.cpu(), losses.to("cpu", torch.float64))
        return Seen(*known, gram=None, total=total, draw=self.draw, memory=self.memory)

    def _check(self, weights: Tensor) -> None:
        if not bool(torch.isfinite(weights).all()):
            raise TrainingError(
                f"{type(self.combiner).__name__} gave a weight that is no finite number",
                "finite weights",
                "Lower the inner lr, or the combiner's own rates",
            )


class _Mixed:
    """A mini-batch and its domains, ascending: [G] ids, [G] numbers of rows, and which one each row is of, [B]."""

    def __init__(self, batch: Batch, labels: Tensor) -> None:
        self.batch, self.labels = batch, labels
        self.domains, self.which, self.counts = torch.unique(
            batch["domain"], return_inverse=True, return_counts=True
        )

    @functools.cached_property
    def parts(self) -> list[tuple[Batch, Tensor]]:
        """Each domain's rows; their domain column is one value expanded, as in a mini-batch of one domain."""
        if len(self.domains) == 1:
            return [(self.batch, self.labels)]
        order, counts = torch.argsort(self.which, stable=True), self.counts.tolist()
        columns = {name: torch.split(column[order], counts) for name, column in self.batch.items()}
        labels = torch.split(self.labels[order], counts)
        parts = [{name: column[part] for name, column in columns.items()} for part in range(len(counts))]
        for part, domain, count in zip(parts, torch.split(self.domains, 1), counts, strict=True):
            part["domain"] = domain.expand(count)
        return list(zip(parts, labels, strict=True))


class _Gradients:
    """The gradients of a mini-batch's domains: dense ones [G, P], and by table the rows that each touched."""

    def __init__(self, walked: Walked, count: int) -> None:
        self.walked, size = walked, walked.work.space.dense_size
        self.dense = walked.session.arena.take("domains", count * size).view(count, size)
        self.ids: dict[int, list[Tensor]] = {t: [] for t in walked.leaves}
        self.values: dict[int, list[Tensor]] = {t: [] for t in self.ids}
        self.taken = 0

    def take(self, batch: Batch, labels: Tensor) -> Tensor:
        """Take the gradient of the next domain's mean loss, which is returned."""
        walked = self.walked
        loss = walked.loss(batch, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.dense[self.taken].copy_(walked.grads[0])
        walked.grads[0].zero_()
        for t, rows in walked.leaves.items():
            places, values = rows.harvest()
            # By id: places move when a later domain misses a row and the walk's point grows.
            self.ids[t].append(walked.work.ids[t][places.cpu()])
            self.values[t].append(values)
        self.taken += 1
        return loss.detach()

    def _table(self, t: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of a table's touched rows: whose they are [E], their ids [E] and gradients [E, d]."""
        owners = torch.repeat_interleave(torch.tensor([len(ids) for ids in self.ids[t]]))
        return owners, torch.cat(self.ids[t]), torch.cat(self.values[t])

    def gram(self) -> Tensor:
        """Their inner products, [G, G] float64."""
        result = dense_gram(list(self.dense))
        for t in self.ids:
            result += rows_gram(*self._table(t), len(self.dense))
        return result

    def give(self, weights: Tensor) -> None:
        """Let the walk's next step be down Σ_i w_i · g_i."""
        walked, weights = self.walked, weights.to(self.dense)
        torch.mv(self.dense.T, weights, out=walked.grads[0])
        for t, rows in walked.leaves.items():
            owners, ids, values = self._table(t)
            slots = walked.binding.held[t].slots
            places = slots[ids.to(slots.device)].long()
            rows.give(*summed(places, values * weights[owners.to(weights.device), None]))


def diverged(loss: float, domains: tuple[int, ...]) -> TrainingError:
    """Training that has left the finite numbers."""
    return TrainingError(
        f"the training loss became {loss} in domain {domains}",
        "a finite number",
        "Lower the inner lr, or look at the module and its numeric inputs",
    )
