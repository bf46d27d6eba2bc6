"""A table of a walk whose rows are stepped when a batch touches them, and only then."""

from __future__ import annotations

import torch
from torch import Tensor

from mamdr.engine.inner import Inner

_CHUNK = 1 << 18
"""Values settled at once: what is held beside the table stays in the cache, and no page of it is ever new."""


class LazyRows:
    """Steps the rows of a batch, and makes up for the steps that a row missed when it is next needed.

    A step costs the rows of its batch, however many rows the walk has, and comes to the same as stepping all of them
    (see `engine.idle`).

    Args:
        rows: the table's rows in the walk's point, [n, d], changed in place.
        moments: the inner optimizer's moments of these rows, each [n, d], changed in place.
        inner: the inner optimizer.
        step: the last step made.
        last: [n], the step that each row and its moments belong to.
        rest: let rows rest between the batches that touch them (`rows="sparse"`).
        penalty: [n, 1], each row's λ of Σ λ · ‖row‖² over the rows that a batch touches; None for none.
    """

    def __init__(
        self,
        rows: Tensor,
        moments: list[Tensor],
        inner: Inner,
        step: int,
        last: Tensor,
        *,
        rest: bool,
        penalty: Tensor | None,
    ) -> None:
        self.rows, self.moments, self.inner, self.step_made = rows, moments, inner, step
        self.rest = rest or not moments
        self.penalty = penalty
        self.last = last
        self.calls: list[tuple[Tensor, Tensor, list[Tensor]]] = []

    def gather(self, places: Tensor) -> Tensor:
        """The rows at these places (distinct), as they are now; with gradients on, a leaf that `step` will step."""
        if not torch.is_grad_enabled():
            return self._gather(places)[0]
        for (
            call
        ) in self.calls:  # a second lookup in one forward pass must see what the first one changed (max_norm)
            self._write(call[0], call[1].detach(), call[2], self.step_made)
        rows, moments = self._gather(places)
        rows.requires_grad_()
        self.calls.append((places, rows, moments))
        return rows

    def harvest(self) -> tuple[Tensor, Tensor]:
        """Places and gradients [n, d] of the rows gathered since the last step or harvest, each row once; no step."""
        calls = [call for call in self.calls if call[1].grad is not None]
        self.calls.clear()
        if not calls:
            return no_rows(self.rows)
        places, rows, moments, grad = self._joined(calls)
        self._write(places, rows, moments, self.step_made)
        return places, grad

    def give(self, places: Tensor, grad: Tensor) -> None:
        """Let the next step be down this gradient [n, d] of the rows at these places (distinct)."""
        rows, moments = self._gather(places)
        rows.grad = grad
        self.calls = [(places, rows, moments)]

    def step(self, count: int) -> None:
        """Make step number `count` with the gradients of the rows gathered since the last one."""
        calls = [call for call in self.calls if call[1].grad is not None]
        if calls:
            places, rows, moments, grad = self._joined(calls)
            if self.penalty is not None:
                grad.add_(rows * self.penalty.index_select(0, places), alpha=2)
            self.inner.step([rows], [grad], [[moment] for moment in moments], count)
            self._write(places, rows, moments, count)
        self.calls.clear()
        self.step_made = count

    def settle(self) -> None:
        """Bring every row to the step made last."""
        if self.rest:
            return
        count = max(1, _CHUNK // self.rows.shape[1])
        for start in range(0, len(self.rows), count):
            part = slice(start, start + count)
            moments = [moment[part] for moment in self.moments]
            self.inner.coast(self.rows[part], moments, self.last[part], self.step_made)
        self.last.fill_(self.step_made)

    def _gather(self, places: Tensor) -> tuple[Tensor, list[Tensor]]:
        rows = self.rows.index_select(0, places)
        moments = [moment.index_select(0, places) for moment in self.moments]
        if not self.rest:
            self.inner.coast(rows, moments, self.last.index_select(0, places), self.step_made)
        return rows, moments

    def _joined(
        self, calls: list[tuple[Tensor, Tensor, list[Tensor]]]
    ) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
        """Places, values, moments and gradients of the rows gathered, each row once."""
        if len(calls) == 1:
            places, rows, moments = calls[0]
            assert rows.grad is not None
            return places, rows.detach(), moments, rows.grad
        for places, rows, moments in calls:
            self._write(places, rows.detach(), moments, self.step_made)
        distinct, where = torch.unique(torch.cat([places for places, _, _ in calls]), return_inverse=True)
        joined, moments = self._gather(distinct)
        grads = torch.cat([rows.grad for _, rows, _ in calls if rows.grad is not None])
        return distinct, joined, moments, torch.zeros_like(joined).index_add_(0, where, grads)

    def _write(self, places: Tensor, rows: Tensor, moments: list[Tensor], step: int) -> None:
        put(self.rows, places, rows)
        for moment, stepped in zip(self.moments, moments, strict=True):
            put(moment, places, stepped)
        self.last.index_fill_(0, places, step)


class Leaves:
    """An eager table whose lookups are leaves of their own while a combiner tells domains' gradients apart.

    Args:
        rows: the table's rows in the walk's point, [n, d].
        grad: the gradient that the next step goes down, [n, d], zero.
        penalty: [n, 1], each row's λ of Σ λ · ‖row‖² over the rows that a batch touches; None for none.
    """

    def __init__(self, rows: Tensor, grad: Tensor, penalty: Tensor | None) -> None:
        self.rows, self.grad, self.penalty = rows, grad, penalty
        self.calls: list[tuple[Tensor, Tensor]] = []

    def gather(self, places: Tensor) -> Tensor:
        """The rows at these places (distinct), a leaf when gradients are on."""
        for before, rows in self.calls:  # a second lookup must see what the first one changed (max_norm)
            put(self.rows, before, rows.detach())
        rows = self.rows.index_select(0, places)
        if torch.is_grad_enabled():
            self.calls.append((places, rows.requires_grad_()))
        return rows

    def harvest(self) -> tuple[Tensor, Tensor]:
        """Places and gradients [n, d] of the rows gathered since the last harvest, each row once."""
        calls = [(places, rows, rows.grad) for places, rows in self.calls if rows.grad is not None]
        self.calls.clear()
        if not calls:
            return no_rows(self.rows)
        for places, rows, _ in calls:
            put(self.rows, places, rows.detach())
        return summed(
            torch.cat([places for places, _, _ in calls]), torch.cat([grad for _, _, grad in calls])
        )

    def give(self, places: Tensor, grad: Tensor) -> None:
        """Let the next step be down this gradient [n, d] of the rows at these places (distinct)."""
        if self.penalty is not None:
            grad = grad.addcmul(
                self.rows.index_select(0, places), self.penalty.index_select(0, places), value=2
            )
        put(self.grad, places, grad)


def put(table: Tensor, places: Tensor, rows: Tensor) -> None:
    """table[places] = rows, for distinct places.

    On a CPU as the largest of what is put there, which is one row: torch takes rows whole in this, and in
    `index_copy_` value by value, in twice the time.
    """
    if table.device.type == "cpu":
        table.scatter_reduce_(0, places.unsqueeze(1).expand_as(rows), rows, "amax", include_self=False)
    else:
        table.index_copy_(0, places, rows)


def summed(places: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct places, and for each the sum of its values [n, d]."""
    distinct, where = torch.unique(places, return_inverse=True)
    return distinct, values.new_zeros(len(distinct), values.shape[1]).index_add_(0, where, values)


def no_rows(table: Tensor) -> tuple[Tensor, Tensor]:
    """Places and values of no row of a table [n, d]."""
    return torch.empty(0, dtype=torch.int64, device=table.device), table.new_empty(0, table.shape[1])
