"""The inner loop, the only one: pull a point, train it over the legs, and say how far it came.

    base = store.pull(rows that the legs touch)      the paper's static-cache
    work = copy of base                              the paper's dynamic-cache
    for each leg, for each mini-batch:  step work down the gradient of the mean loss
    displacement = work − base

Reference: MAMDR, Algorithms 1 and 2 (inner loops) and section IV-E (caches).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mamdr.data.domains import Batch
from mamdr.engine.binding import RowMiss
from mamdr.engine.look import set_modes
from mamdr.engine.session import Session
from mamdr.errors import TrainingError
from mamdr.parameters import Moments, Point
from mamdr.parameters.point import Allocate
from mamdr.seeds import derive, generator
from mamdr.strategies.protocol import Outcome, Walk


class Walker:
    """Walks walks, with a module that a session has bound.

    Memory: beside the store and the data, four times the walk's point with Adam (base, work, two moments) and a
    gradient of its dense part and eager tables; kept from walk to walk.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def __call__(self, walk: Walk) -> Outcome:
        """Walk. The outcome's displacement lives in buffers that the next walk uses again.

        Raises:
            TrainingError: the loss is not a finite number.
        """
        session = self.session
        session.module.train()
        session.buffers.load(walk.buffers)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(walk.seed, "torch"))
            walked = _Walked(session, walk)
            loss, samples = walked.run()
        displacement = walked.work
        displacement.flat.sub_(walked.base.flat)
        return Outcome(
            displacement,
            loss / samples if samples else math.nan,
            samples,
            walked.moments.step - walked.first_step,
            walked.moments if walk.moments is not None else None,
            session.buffers.changed(),
        )

    def cost(self, walk: Walk) -> int:
        """Rows that a walk trains on: what sharing walks out fairly needs to know."""
        sizes = self.session.data.train.size
        whole = [sum(map(sizes, leg.domains)) for leg in walk.legs]
        caps = [leg.steps and leg.steps * self.session.options.batch_size for leg in walk.legs]
        return sum(min(rows, cap) if cap else rows for rows, cap in zip(whole, caps, strict=True))


class _Walked:
    """One walk under way."""

    def __init__(self, session: Session, walk: Walk) -> None:
        self.session, self.walk = session, walk
        self.binding, self.options, take = session.binding, session.options, session.arena.take
        ids = session.rows.union(domain for leg in walk.legs for domain in leg.domains)
        self.base = walk.store.pull(ids, functools.partial(take, "base"))
        flat = take("work", len(self.base.flat))
        self.work = Point(self.base.space, ids, flat.copy_(self.base.flat))
        known = walk.moments or Moments()
        names = self.options.inner.moments
        taking: dict[str, Allocate] = {name: functools.partial(take, name) for name in names}
        self.moments = known.at(self.base.space, names, ids, taking)
        self.first_step = self.moments.step
        self._bind()

    def _bind(self) -> None:
        """Bind the module to `work`, with a gradient for its dense part and its eager tables."""
        space, point = self.work.space, self.work
        self.lazy = tuple(self.options.lazy(len(ids)) for ids in point.ids)
        eager = [t for t, lazy in enumerate(self.lazy) if not lazy]
        sizes = [space.dense_size, *(point.rows(t).numel() for t in eager)]
        self.grad = self.session.arena.take("grad", sum(sizes))
        self.grad.zero_()
        self.binding.load(point, self.grad, self.lazy, watch=self.options.embedding_l2 > 0)
        grads = torch.split(self.grad, sizes)
        self.values = [point.dense, *(point.rows(t).view(-1) for t in eager)]
        self.grads = list(grads)
        self.states = [
            [kept.dense, *(kept.rows(t).view(-1) for t in eager)] for kept in self.moments.points.values()
        ]

    def run(self) -> tuple[float, int]:
        """Train over the legs; the summed loss and the number of samples."""
        total, samples = torch.zeros((), dtype=torch.float64), 0
        for number, leg in enumerate(self.walk.legs):
            draw = generator(self.walk.seed, "batches", number)
            loss = None
            for step, (batch, labels) in enumerate(self._batches(leg.domains, draw)):
                if leg.steps is not None and step >= leg.steps:
                    break
                loss = self._step(batch, labels)
                total += loss * len(labels)
                samples += len(labels)
            if loss is not None and not math.isfinite(float(total)):
                raise TrainingError(
                    f"the training loss became {float(loss)} in domain {leg.domains}",
                    "a finite number",
                    "Lower the inner lr, or look at the module and its numeric inputs",
                )
        return float(total), samples

    def _batches(self, domains: tuple[int, ...], draw: np.random.Generator) -> Iterator[tuple[Batch, Tensor]]:
        device = self.work.space.device
        for batch, labels in self.session.data.train.batches(domains, self.options.batch_size, draw):
            if device.type != "cpu":
                batch, labels = {name: c.to(device) for name, c in batch.items()}, labels.to(device)
            yield batch, labels

    def _step(self, batch: Batch, labels: Tensor) -> Tensor:
        # One row has no variance: batch normalisation goes by its running statistics for that batch.
        set_modes([(norm, len(labels) > 1) for norm in self.session.norms])
        loss = self._loss(batch, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.moments.step += 1
        if self.options.embedding_l2:
            self._penalise()
        self.options.inner.step(self.values, self.grads, self.states, self.moments.step)
        for t, lazy in enumerate(self.lazy):
            if lazy:
                self._step_rows(t)
        self.grad.zero_()
        for held in self.binding.held:
            held.touched.clear()
        return loss.detach()

    def _loss(self, batch: Batch, labels: Tensor) -> Tensor:
        drawn = torch.default_generator.get_state()
        while True:
            try:
                if self.options.precision == "bfloat16":
                    with torch.autocast(self.work.space.device.type, dtype=torch.bfloat16):
                        logits = self.session.module(batch)
                    logits = logits.to(labels.dtype)
                else:
                    logits = self.session.module(batch)
                return binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
            except RowMiss as miss:
                torch.default_generator.set_state(
                    drawn
                )  # the same dropout, the same random ids as without the miss
                self._grow(miss)

    def _grow(self, miss: RowMiss) -> None:
        """Pull rows that nobody foresaw, once, into base and work (section IV-E: "query the latest embedding")."""
        wanted = list(self.work.space.no_ids())
        wanted[miss.table] = miss.ids.cpu()
        pulled = self.walk.store.pull(tuple(wanted))
        self.base, self.work = self.base.take_rows(pulled), self.work.take_rows(pulled)
        remembered = (self.walk.moments or Moments()).at(
            self.work.space, self.options.inner.moments, pulled.ids
        )
        for name, point in remembered.points.items():
            self.moments.points[name] = self.moments.points[name].take_rows(point)
        self._bind()

    def _penalise(self) -> None:
        """Add the gradient of λ · Σ‖row‖² over the rows that the batch touched (lazy tables: see `_row_gradient`)."""
        eager = [t for t, lazy in enumerate(self.lazy) if not lazy]
        for t, grad in zip(eager, self.grads[1:], strict=True):
            touched = [places for places, _ in self.binding.held[t].touched]
            if touched:
                places = touched[0] if len(touched) == 1 else torch.unique(torch.cat(touched))
                rows = self.work.rows(t)
                penalty = rows.index_select(0, places)
                grad.view(rows.shape).index_add_(0, places, penalty, alpha=2 * self.options.embedding_l2)

    def _step_rows(self, table: int) -> None:
        """Step the rows of a lazy table that the batch touched: gather, one fused update, scatter."""
        gathered = self._row_gradient(table)
        if gathered is None:
            return
        places, rows, grad = gathered
        if self.options.embedding_l2:
            grad.add_(rows, alpha=2 * self.options.embedding_l2)
        kept = [point.rows(table) for point in self.moments.points.values()]
        states = [state.index_select(0, places) for state in kept]
        self.options.inner.step([rows], [grad], [[state] for state in states], self.moments.step)
        self.work.rows(table).index_copy_(0, places, rows)
        for state, stepped in zip(kept, states, strict=True):
            state.index_copy_(0, places, stepped)

    def _row_gradient(self, table: int) -> tuple[Tensor, Tensor, Tensor] | None:
        """Positions, values and gradients of the rows that the batch touched, each row once."""
        calls = [(p, rows) for p, rows in self.binding.held[table].touched if rows.grad is not None]
        if len(calls) == 1:
            places, rows = calls[0]
            return places, rows.detach(), rows.grad  # type: ignore[return-value]
        if not calls:
            return None
        for places, rows in calls:  # a lookup with max_norm has changed its rows
            self.work.rows(table).index_copy_(0, places, rows.detach())
        places, where = torch.unique(torch.cat([p for p, _ in calls]), return_inverse=True)
        rows = self.work.rows(table).index_select(0, places)
        grads = torch.cat([r.grad for _, r in calls if r.grad is not None])
        return places, rows, torch.zeros_like(rows).index_add_(0, where, grads)
