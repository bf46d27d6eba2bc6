"""The inner loop, the only one: pull a point, train it over the legs, and say how far it came.

    base = store.pull(rows that the legs touch)      the paper's static-cache
    work = copy of base                              the paper's dynamic-cache
    for each leg, for each mini-batch:  step work down the gradient of the mean loss (or of what the leg says)
    displacement = work − base

Reference: MAMDR, Algorithms 1 and 2 (inner loops) and section IV-E (caches).
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mamdr.data.domains import Batch
from mamdr.engine import compiled
from mamdr.engine.binding import RowMiss
from mamdr.engine.combined import CombinedStep, diverged
from mamdr.engine.compiled_rows import CompiledRows, fits
from mamdr.engine.inner import Adam
from mamdr.engine.lazy import LazyRows, Leaves
from mamdr.engine.look import set_modes
from mamdr.engine.meta import MetaStep
from mamdr.engine.session import Session
from mamdr.parameters import Moments, Point
from mamdr.parameters.point import Allocate, positions
from mamdr.seeds import derive, generator
from mamdr.strategies.protocol import Leg, Outcome, Walk

T = TypeVar("T")

_CHEAPER = 4
"""How many rows are zeroed one after another in the time of one that is looked for, at least."""

Drawn = tuple[Batch, Tensor, *tuple[int, ...]]
"""A mini-batch and its labels; and how many of its first rows are support, where the rows are parted."""


class Walker:
    """Walks walks, with a module that a session has bound.

    Memory: beside the store and the data, four times the walk's point with Adam (base, work, two moments) and a
    gradient of its dense part and eager tables; kept from walk to walk.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        many = len(session.data.train) >= compiled.WORTHWHILE
        if many and session.space.device.type == "cpu":
            compiled.load()  # here, for processes that are forked from this one have it then

    def __call__(self, walk: Walk) -> Outcome:
        """Walk. The outcome's displacement lives in buffers that the next walk uses again.

        Raises:
            TrainingError: the loss is not a finite number.
        """
        session = self.session
        session.module.train()
        session.buffers.load(walk.buffers)
        device = session.space.device
        with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
            # torch.manual_seed notes its caller's stack, for a GPU that may be there: a sixth of a tiny walk.
            seed = torch.default_generator.manual_seed if device.type == "cpu" else torch.manual_seed
            seed(derive(walk.seed, "torch"))
            walked = Walked(session, walk)
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
            walked.memory,
        )

    def cost(self, walk: Walk) -> int:
        """Rows that a walk trains on: what sharing walks out fairly needs to know."""
        sizes = self.session.data.train.size
        whole = [sum(map(sizes, leg.domains)) // (leg.part.count if leg.part else 1) for leg in walk.legs]
        caps = [leg.steps and leg.steps * self.session.options.batch_size for leg in walk.legs]
        return sum(min(rows, cap) if cap else rows for rows, cap in zip(whole, caps, strict=True))


class Walked:
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
        self.memory = copy.deepcopy(walk.memory)
        self.apart = False
        self._bind({t: self._last(len(rows)) for t, rows in enumerate(ids)})

    def _last(self, rows: int) -> Tensor:
        """For rows that no step has moved, the step that they belong to."""
        return torch.full((rows,), self.first_step, dtype=torch.int64, device=self.base.space.device)

    def _bind(self, last: Mapping[int, Tensor]) -> None:
        """Bind the module to `work`, with a gradient for its dense part and its eager tables, but for what is frozen.

        Args:
            last: by table, the step that each row belongs to, for those that are held lazily.
        """
        space, point, options = self.work.space, self.work, self.options
        states = list(self.moments.points.values())
        self.penalties = [self.session.penalty(t, ids, self.walk.hold) for t, ids in enumerate(point.ids)]
        self.lazy = {
            t: self._lazy(t, [state.rows(t) for state in states], last[t])
            for t, ids in enumerate(point.ids)
            if options.lazy(point.rows(t).numel(), space.device) and space.tables[t].name not in space.frozen
        }
        self.eager = [
            t for t, table in enumerate(space.tables) if t not in self.lazy and table.name not in space.frozen
        ]
        sizes = [space.dense_size, *(point.rows(t).numel() for t in self.eager)]
        self.grad = self.session.arena.take("grad", sum(sizes))
        self.grad.zero_()
        self.grads = list(torch.split(self.grad, sizes))
        self.hold_apart(self.apart)
        self.values, *self.states = (
            [*(held.dense[part] for part in space.moving), *(held.rows(t).view(-1) for t in self.eager)]
            for held in (point, *states)
        )
        self.slopes = [*(self.grads[0][part] for part in space.moving), *self.grads[1:]]

    def _lazy(self, table: int, moments: list[Tensor], last: Tensor) -> LazyRows:
        """A table whose rows are stepped when a batch touches them; in compiled loops, where they can be."""
        rows, inner, held = self.work.rows(table), self.options.inner, self.binding.held[table]
        loops, made = compiled.loops(), self.moments.step
        rest, penalty = self.options.rows == "sparse", self.penalties[table]
        if loops and loops.rows and held.plain and isinstance(inner, Adam) and fits(rows, inner):
            return CompiledRows(
                loops.rows, held.slots, rows, moments, inner, made, last, rest=rest, penalty=penalty
            )
        return LazyRows(rows, moments, inner, made, last, rest=rest, penalty=penalty)

    def hold_apart(self, apart: bool) -> None:
        """Let every lookup be a leaf of its own, so that domains' gradients can be told apart; or as usual again."""
        self.apart, space = apart, self.work.space
        eager = zip(self.eager, self.grads[1:], strict=True)
        leaves = {
            t: Leaves(self.work.rows(t), g.view(-1, space.tables[t].dim), self.penalties[t]) for t, g in eager
        }
        self.leaves: dict[int, LazyRows | Leaves] = {**self.lazy, **leaves}
        held = self.leaves if apart else self.lazy
        self.binding.load(self.work, self.grad, held, frozen=space.frozen)

    def run(self) -> tuple[float, int]:
        """Train over the legs; the summed loss and the number of samples."""
        total, samples = torch.zeros((), dtype=torch.float64, device=self.work.space.device), 0
        for number, leg in enumerate(self.walk.legs):
            make_step, loss = self._stepper(leg, number), None
            for step, drawn in enumerate(self._batches(leg, number)):
                if leg.steps is not None and step >= leg.steps:
                    break
                loss = make_step(*drawn)
                total += loss * len(drawn[1])
                samples += len(drawn[1])
            if loss is not None and not math.isfinite(float(total)):
                raise diverged(float(loss), leg.domains)
        for rows in self.lazy.values():
            rows.settle()
        return float(total), samples

    def _batches(self, leg: Leg, number: int) -> Iterator[Drawn]:
        device = self.work.space.device
        part = leg.part
        draw = generator(self.walk.seed, "batches", number) if part is None else generator(part.seed, "part")
        drawn = self._drawn(leg, draw)
        for batch, labels, *cut in drawn if part is None else islice(drawn, part.index, None, part.count):
            if device.type != "cpu":
                batch, labels = {name: c.to(device) for name, c in batch.items()}, labels.to(device)
            yield (batch, labels, *cut)

    def _drawn(self, leg: Leg, draw: np.random.Generator) -> Iterator[Drawn]:
        train, size = self.session.data.train, self.options.batch_size
        if leg.meta is None or leg.meta.split != "rows":
            yield from train.batches(leg.domains, size, draw)
            return
        for domain in leg.domains:
            yield from train.support_and_query(domain, leg.meta.share, leg.meta.seed, size, draw)

    def _stepper(self, leg: Leg, number: int) -> Callable[..., Tensor]:
        """What makes a step of a mini-batch and tells the mean loss of its rows."""
        if leg.combiner is not None:
            return CombinedStep(self, leg.combiner, generator(self.walk.seed, "combiner", number))
        if self.apart:
            self.hold_apart(False)
        if leg.meta is not None:
            return MetaStep(self, leg.meta, generator(self.walk.seed, "virtual", number))
        return self._step

    def _step(self, batch: Batch, labels: Tensor) -> Tensor:
        with self.binding.in_one_go():
            loss = self.loss(batch, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.advance()
        return loss.detach()

    def advance(self) -> None:
        """Make a step down the gradient at hand."""
        self.moments.step += 1
        if self.options.embedding_l2 and not self.apart:
            self._penalise()
        self.options.inner.step(self.values, self.slopes, self.states, self.moments.step)
        for rows in self.lazy.values():
            rows.step(self.moments.step)
        self._forget_gradient()

    def _forget_gradient(self) -> None:
        """Zero the gradient; of a large eager table the rows that the batch touched."""
        self.grads[0].zero_()
        for t, grad in zip(self.eager, self.grads[1:], strict=True):
            rows, touched = grad.view(-1, self.work.space.tables[t].dim), self.binding.held[t].touched
            if self.apart or sum(map(len, touched)) * _CHEAPER > len(rows):
                grad.zero_()
            else:
                for places in touched:
                    rows.index_fill_(0, places, 0)
            touched.clear()

    def loss(self, batch: Batch, labels: Tensor, reduction: str = "mean") -> Tensor:
        """The mean loss of a mini-batch's rows, or each row's (`reduction="none"`)."""
        return self.again(functools.partial(self.loss_once, batch, labels, reduction))

    def loss_once(self, batch: Batch, labels: Tensor, reduction: str = "mean") -> Tensor:
        """The same, for who makes up for rows that nobody foresaw."""
        # One row has no variance: batch normalisation goes by its running statistics for that batch.
        set_modes([(norm, len(labels) > 1) for norm in self.session.norms])
        self.session.matmul.use(len(labels) == self.options.batch_size)
        if self.options.precision == "bfloat16":
            with torch.autocast(self.work.space.device.type, dtype=torch.bfloat16):
                logits = self.session.module(batch)
            logits = logits.to(labels.dtype)
        else:
            logits = self.session.module(batch)
        labels = labels.to(logits.dtype)
        return binary_cross_entropy_with_logits(logits, labels, reduction=reduction)

    def again(self, compute: Callable[[], T]) -> T:
        """What `compute` comes to, computed again after each pull of rows that nobody foresaw."""
        drawn = torch.default_generator.get_state()
        while True:
            try:
                return compute()
            except RowMiss as miss:
                torch.default_generator.set_state(
                    drawn
                )  # the same random ids and dropout as without the miss
                self._grow(miss)

    def _grow(self, miss: RowMiss) -> None:
        """Pull rows that nobody foresaw, once, into base and work (section IV-E: "query the latest embedding")."""
        wanted = list(self.work.space.no_ids())
        wanted[miss.table] = miss.ids.cpu()
        pulled = self.walk.store.pull(tuple(wanted))
        before = self.work.ids
        self.base, self.work = self.base.take_rows(pulled), self.work.take_rows(pulled)
        remembered = (self.walk.moments or Moments()).at(
            self.work.space, self.options.inner.moments, pulled.ids
        )
        for name, point in remembered.points.items():
            self.moments.points[name] = self.moments.points[name].take_rows(point)
        last = {t: self._last(len(rows)) for t, rows in enumerate(self.work.ids)}
        for t, known in last.items():  # a table that was eager so far has been stepped whole
            made = self.lazy[t].last if t in self.lazy else self.moments.step
            known[positions(self.work.ids[t], before[t])[0]] = made
        self._bind(last)

    def _penalise(self) -> None:
        """Add the gradient of λ · Σ‖row‖² over the rows that the batch touched (lazy tables do it themselves)."""
        for t, grad in zip(self.eager, self.grads[1:], strict=True):
            touched = self.binding.held[t].touched
            if touched:
                places = torch.unique(torch.cat(touched))
                rows = self.work.rows(t)
                penalty = self.penalties[t]
                assert penalty is not None
                pull = rows.index_select(0, places).mul_(penalty.index_select(0, places))
                grad.view(rows.shape).index_add_(0, places, pull, alpha=2)
