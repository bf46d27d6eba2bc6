"""The inner loop of `engine.walk` for many walks at once: step s of every walk is one step of them all.

A walk of a few rows is bound by what it costs to ask for its step, not by the step. So walks that do not depend on each
other are laid side by side: dense parts as one tensor [W, ...] for each parameter, each one's own under `torch.vmap`;
rows of all walks in one table (`engine.stacked`). Batches, their order, dropout masks and the inner optimizer are those
of the walk by itself, so what comes out is the same but for the order in which floats are added up.

Walks are sorted by their number of steps, so that those still under way are always the first ones: a walk that is done
is beyond the end of every tensor and no optimizer can move it. A mini-batch that is shorter than its neighbours' is
filled up with a row of its own walk, of weight zero. W walks, B rows of the longest mini-batch, P dense values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits

from mamdr.data.domains import Batch
from mamdr.engine.session import Session
from mamdr.engine.stacked import Masks, StackedRows
from mamdr.parameters import Ids, Moments, Point, Space
from mamdr.seeds import derive, generator
from mamdr.strategies.protocol import Outcome, Walk


class OutOfStepError(Exception):
    """These walks cannot be walked in lock-step after all (a signal to who tried, not to a user)."""


@dataclass(frozen=True)
class Course:
    """A walk and what it will meet: the stored rows of each of its mini-batches, and their domain."""

    walk: Walk
    ids: Ids
    batches: list[Tensor]
    domains: list[int]

    @classmethod
    def of(cls, session: Session, walk: Walk) -> Course:
        """Draw a walk's mini-batches, in the order in which `engine.walk` takes them."""
        size, batches, domains = session.options.batch_size, list[Tensor](), list[int]()
        for number, leg in enumerate(walk.legs):
            rows = session.data.train.order_of(leg.domains[0], generator(walk.seed, "batches", number))
            pieces = torch.split(rows, size)[: leg.steps] if len(rows) else ()
            batches += pieces
            domains += [leg.domains[0]] * len(pieces)
        return cls(walk, session.rows.union(d for leg in walk.legs for d in leg.domains), batches, domains)


class Lockstep:
    """Walks under way, side by side.

    Args:
        session: binds the module.
        courses: of one step count to start from and one set of buffers, longest first.

    Memory: as many times a walk's point as moments and three more, each walk its own, and a mini-batch of all.
    """

    def __init__(self, session: Session, courses: Sequence[Course]) -> None:
        self.session, self.courses, self.options = session, courses, session.options
        space, walks = session.space, [course.walk for course in courses]
        self.space = walks[0].store.space
        self.lengths = np.array([len(course.batches) for course in courses])
        self.tables = [
            StackedRows([course.ids[t] for course in courses], table.rows, space.device)
            for t, table in enumerate(space.tables)
        ]
        self.moves = [name not in self.space.frozen for name in space.names]
        points = [course.walk.store.pull(course.ids) for course in courses]
        self.base, self.work = _Stack(self.space, points), _Stack(self.space, points)
        known = [(walk.moments or Moments()) for walk in walks]
        self.count = self.first_count = known[0].step
        names = self.options.inner.moments
        each = [m.at(self.space, names, c.ids).points for m, c in zip(known, courses, strict=True)]
        self.moments = {name: _Stack(self.space, [points[name] for points in each]) for name in names}
        self.masks = Masks([derive(walk.seed, "torch") for walk in walks], space.device)
        self.loss = torch.zeros(len(courses), dtype=torch.float64, device=space.device)
        self.padding = [self._padding(t) for t in range(len(space.tables))]
        self.penalties = self._penalties()

    def _padding(self, table: int) -> Tensor:
        """Places of rows that are padding to the embeddings of a table, which no gradient moves; sorted, on the CPU."""
        owners = [self.session.module.get_submodule(owner) for owner in self.space.tables[table].owners]
        padding = self.session.binding.padding_of(owners[0])
        stacked = self.tables[table]
        if padding is None:
            return torch.empty(0, dtype=torch.int64)
        return torch.nonzero(stacked.keys.cpu() % stacked.table_rows == padding).squeeze(1)

    def _penalties(self) -> list[Tensor]:
        """λ of every walk's rows of each table, [n, 1]; none where there is no penalty."""
        if not self.options.embedding_l2:
            return []
        each = [
            [self.session.penalty(t, course.ids[t]) for course in self.courses]
            for t in range(len(self.tables))
        ]
        return [torch.cat([rows for rows in table if rows is not None]) for table in each]

    def run(self) -> Iterator[Outcome]:
        """Walk them all; then their outcomes, in the order of the courses.

        Raises:
            OutOfStepError: an id came that nobody foresaw, a buffer moved, or a loss is not finite.
        """
        session, device = self.session, self.space.device
        session.module.train()
        session.buffers.load(self.courses[0].walk.buffers)
        missed = torch.zeros((), dtype=torch.bool, device=device)
        with (
            torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]),
            session.binding.stacked(self.tables, self.masks),
        ):
            torch.manual_seed(derive(self.courses[0].walk.seed, "torch"))
            for step in range(int(self.lengths.max(initial=0))):
                live = int((self.lengths > step).sum())
                missed |= self._step([course.batches[step] for course in self.courses[:live]], step)
        if bool(missed):
            raise OutOfStepError("a module with ids that nobody foresees")
        if session.buffers.changed():
            raise OutOfStepError("a module whose buffers move")
        if not bool(torch.isfinite(self.loss).all()):
            raise OutOfStepError("a loss that is not finite")
        yield from self._outcomes()

    def _step(self, rows: list[Tensor], step: int) -> Tensor:
        """Make a step of the first walks, down the gradients of these rows; whether an id was missed."""
        live, device = len(rows), self.space.device
        counts = [len(each) for each in rows]
        batch, labels, weights = self._batch(rows, counts)
        domain = torch.tensor([[course.domains[step]] for course in self.courses[:live]])
        self.masks.counts = counts
        parts = zip(self.work.first(live), self.moves, strict=True)
        leaves = [part.detach().requires_grad_(moves) for part, moves in parts]
        dense = dict(zip((part.name for part in self.space.dense), leaves, strict=False))
        for table, leaf in zip(self.tables, leaves[len(dense) :], strict=True):
            table.weight = leaf
        losses, missed, touched = torch.vmap(self._loss, randomness="different")(
            dense, torch.arange(live, device=device), batch, domain.to(device), labels, weights
        )
        self._advance(live, leaves, losses.sum(), touched)
        self.loss[:live] += losses.detach() * torch.tensor(counts, device=device)
        return missed.any()

    def _batch(self, rows: list[Tensor], counts: list[int]) -> tuple[Batch, Tensor, Tensor]:
        """Columns, labels and weights [W, B]; a shorter batch is filled up with its first row, of weight zero."""
        device = self.space.device
        where = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
        real = where >= 0
        batch, labels = self.session.data.train.take(torch.where(real, where, where[:, :1]))
        weights = real.to(self.space.dtype) / torch.tensor(counts).unsqueeze(1)
        moved = {name: column.to(device) for name, column in batch.items()}
        return moved, labels.to(device, self.space.dtype), weights.to(device)

    def _loss(
        self,
        dense: dict[str, Tensor],
        walk: Tensor,
        batch: Batch,
        domain: Tensor,
        labels: Tensor,
        weights: Tensor,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """One walk's mean loss, whether an id was missed, and the places of each table's rows that were looked up (with
        a penalty): what `torch.vmap` makes of it goes for all walks."""
        self.masks.walk = walk
        for table in self.tables:
            table.walk, table.places, table.missed = walk, [], []
        # One value expanded, by which a model sees a batch of one domain.
        batch = {**batch, "domain": domain.expand(len(labels))}
        with torch.autocast(
            labels.device.type, dtype=torch.bfloat16, enabled=self.options.precision == "bfloat16"
        ):
            logits = functional_call(self.session.module, dense, (batch,))
        each = binary_cross_entropy_with_logits(logits.to(labels.dtype), labels, reduction="none")
        missed = [found for table in self.tables for found in table.missed]
        none = torch.zeros((), dtype=torch.bool, device=labels.device)
        touched = [torch.cat(table.places) if table.places else walk[None][:0] for table in self.tables]
        told = torch.stack(missed).any() if missed else none
        return (each * weights).sum(), told, touched if self.penalties else []

    def _advance(self, live: int, leaves: list[Tensor], loss: Tensor, touched: list[Tensor]) -> None:
        """Step the first walks' values down the gradients of the loss, and of the penalty on the rows touched."""
        moving = [leaf for leaf in leaves if leaf.requires_grad]
        found = torch.autograd.grad(loss, moving, allow_unused=True)
        # Contiguous, as a fused step goes through values and gradients side by side.
        grads = [
            torch.zeros_like(x) if g is None else g.contiguous() for x, g in zip(moving, found, strict=True)
        ]
        by_table = iter(grads[::-1])
        for t in reversed(range(len(self.tables))):
            leaf, padding = leaves[t - len(self.tables)], self.padding[t]
            grad = next(by_table) if leaf.requires_grad else None
            if grad is not None and len(padding):
                inside = padding[: int(torch.searchsorted(padding, len(leaf)))]
                grad.index_fill_(0, inside.to(leaf.device), 0)
            if grad is not None and touched:
                marks = torch.zeros_like(self.penalties[t][: len(leaf)])
                marks.index_fill_(0, touched[t].reshape(-1), 1)
                grad.addcmul_(leaf.detach(), marks.mul_(self.penalties[t][: len(leaf)]), value=2)
        self.count += 1
        moments = [
            [part for part, moves in zip(stack.first(live), self.moves, strict=True) if moves]
            for stack in self.moments.values()
        ]
        self.options.inner.step([leaf.detach() for leaf in moving], grads, moments, self.count)

    def _outcomes(self) -> Iterator[Outcome]:
        losses = self.loss.tolist()
        self.work.subtract(self.base)
        for w, course in enumerate(self.courses):
            samples = sum(map(len, course.batches))
            steps, kept = int(self.lengths[w]), course.walk.moments is not None
            moments = (
                {name: stack.point(w, course.ids) for name, stack in self.moments.items()} if kept else {}
            )
            yield Outcome(
                self.work.point(w, course.ids),
                losses[w] / samples if samples else math.nan,
                samples,
                steps,
                Moments(self.first_count + steps, moments) if kept else None,
                {},
                course.walk.memory,
            )


class _Stack:
    """The points of many walks side by side: one tensor [W, ...] for each dense parameter, and one for each table."""

    def __init__(self, space: Space, points: Sequence[Point]) -> None:
        self.space = space
        flat = torch.stack([point.dense for point in points])
        parts = ((part, flat[:, part.offset : part.offset + part.size]) for part in space.dense)
        self.dense = {part.name: cut.reshape(-1, *part.shape).clone() for part, cut in parts}
        self.tables = [torch.cat([point.rows(t) for point in points]) for t in range(len(space.tables))]
        counts = ([len(point.ids[t]) for point in points] for t in range(len(space.tables)))
        self.starts = [np.cumsum([0, *each]).tolist() for each in counts]

    def first(self, walks: int) -> list[Tensor]:
        """Views of the first walks' dense parameters and of their rows, table after table."""
        rows = [rows[: starts[walks]] for rows, starts in zip(self.tables, self.starts, strict=True)]
        return [*(values[:walks] for values in self.dense.values()), *rows]

    def subtract(self, other: _Stack) -> None:
        for name, values in self.dense.items():
            values.sub_(other.dense[name])
        for rows, theirs in zip(self.tables, other.tables, strict=True):
            rows.sub_(theirs)

    def point(self, walk: int, ids: Ids) -> Point:
        """A walk's values."""
        dense = [values[walk].reshape(-1) for values in self.dense.values()]
        rows = [t[s[walk] : s[walk + 1]].reshape(-1) for t, s in zip(self.tables, self.starts, strict=True)]
        return Point(self.space, ids, torch.cat([*dense, *rows]))
