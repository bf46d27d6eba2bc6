"""Walks in lock-step, as many at once as memory allows; what cannot be walked so is walked one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mamdr.engine.course import Course, domains_of
from mamdr.engine.lockstep import Lockstep, OutOfStepError
from mamdr.engine.look import looking, set_modes
from mamdr.engine.session import Session
from mamdr.engine.walk import Walker
from mamdr.memory import uncollected
from mamdr.parameters import Ids
from mamdr.strategies.chains import Chain, Together, turns
from mamdr.strategies.protocol import Outcome, Walk

BUDGET = 1 << 30
"""Bytes of walks side by side: points, moments, gradients and the rows' outputs in the module."""
_WIDE = 4
"""Bytes of a mini-batch for each of its rows and dense values of the module's square root, both ways (see `_bytes`)."""
_FEW = 8
_SOME = 4096
_ROWS = 1 << 23
"""Walks, and rows that they pass, whose mini-batches are drawn beforehand at most (but one walk's always)."""
_DROPOUTS = nn.modules.dropout._DropoutNd


class Batched:
    """Walks of a batch side by side on one device, with the outcomes that one after another would have.

    Equal to `Sequential` up to the order of float additions (relative 1e-6 after a few steps) for SGD, Adam and
    Adagrad: batches come in the same order. Packed dropout draws each walk's masks from the walk's own seed on a CPU
    and is equal there too; on a GPU, and where a module draws random numbers in another way, the draws are others.

    Walked one by one, with a word to `told` the first time: walks of one alone; legs that mix domains, combine
    gradients, look ahead or are a part of a pass; walks with a table that an Adam steps lazily (`WalkOptions.rows`);
    columns of lists; batch normalisation and other buffers that move; bags of embeddings, `max_norm`,
    `scale_grad_by_freq`, padding in some of a weight's embeddings alone; modules whose logit of a row depends on the
    batch's other rows (a batch is filled up with rows of weight zero) or on draws of their own; and modules that
    `torch.vmap` cannot take.

    Args:
        walker: walks what cannot be batched.
        budget: bytes that walks side by side may take, about; a walk larger than that goes alone.
        told: hears, once for each reason, what is walked one by one.

    Memory: `budget`, and the displacements of a window of walks.
    """

    def __init__(
        self, walker: Walker, budget: int = BUDGET, told: Callable[[str], None] = lambda reason: None
    ) -> None:
        self.walker, self.session, self.budget, self._told = walker, walker.session, budget, told
        self._reasons: set[str] = set()
        self._looked = False
        self._module, space = _unable(self.session.module, self.session), self.session.space
        self._wide = _WIDE * (int(space.dense_size**0.5) + sum(table.dim for table in space.tables))

    def __call__(self, walks: Sequence[Walk]) -> Iterator[Outcome]:
        for outcomes in self._walked(walks):
            yield from outcomes

    def chained(self, chains: Sequence[Chain], ordered: bool = False) -> Iterator[Together]:
        """The chains' walks by turns, those outcomes together that were walked together."""
        for numbers, walks in turns(chains):
            left = iter(numbers)
            for outcomes in self._walked(walks):
                yield [(next(left), outcome) for outcome in outcomes]

    def _walked(self, walks: Sequence[Walk]) -> Iterator[list[Outcome]]:
        """Outcomes in order, in lists of those that are valid side by side."""
        if len(walks) < 2:
            yield from ([self.walker(walk)] for walk in walks)
            return
        for some in self._portions(walks):
            window: list[Course] = []
            used = 0
            for walk, course in zip(some, self._courses(some), strict=True):
                reason = course if isinstance(course, str) else self._module
                size = 0 if isinstance(course, str) else self._bytes(course)
                if window and (reason or used + size > self.budget):
                    yield from self._window(window)
                    window, used = [], 0
                if isinstance(course, str) or reason:
                    self._tell(reason)
                    yield [self.walker(walk)]
                    continue
                if not self._looked and course.counts:
                    self._looked, self._module = True, self._mixed(course)
                window.append(course)
                used += size
            yield from self._window(window)

    def _portions(self, walks: Sequence[Walk]) -> Iterator[list[Walk]]:
        """The walks in order, as many at a time as may be described beforehand."""
        some: list[Walk] = []
        rows = 0
        for walk in walks:
            size = self.walker.cost(walk)
            if some and (len(some) == _SOME or rows + size > _ROWS):
                yield some
                some, rows = [], 0
            some.append(walk)
            rows += size
        yield some

    def _courses(self, walks: Sequence[Walk]) -> list[Course | str]:
        """Each walk's course, or why it is walked by itself."""
        found: list[Course | str] = [self._module or _why_not(walk) for walk in walks]
        fit = [index for index, reason in enumerate(found) if not reason]
        with uncollected():
            ids = self.session.rows.unions([domains_of(walks[index]) for index in fit])
            for index, rows in zip(fit, ids, strict=True):
                found[index] = self._lazily(rows)
            kept = [(index, rows) for index, rows in zip(fit, ids, strict=True) if not found[index]]
            courses = Course.of(self.session, [walks[i] for i, _ in kept], [rows for _, rows in kept])
        for (index, _), course in zip(kept, courses, strict=True):
            found[index] = course
        return found

    def _window(self, window: list[Course]) -> Iterator[list[Outcome]]:
        """Outcomes of a window of walks, in order; walks of like sizes are walked together."""
        groups: dict[tuple[int, int, int], list[int]] = {}
        for index, course in enumerate(window):
            walk = course.walk
            first = walk.moments.step if walk.moments else 0
            groups.setdefault((first, course.longest.bit_length(), id(walk.buffers)), []).append(index)
        done: dict[int, Outcome] = {}
        for members in groups.values():
            members.sort(key=lambda index: -len(window[index].counts))
            together = self._together([window[index] for index in members]) if len(members) > 1 else None
            if together is not None:
                done.update(zip(members, together, strict=True))
        if self._module and window:
            self._tell(self._module)
        for alone, indices in itertools.groupby(range(len(window)), key=lambda index: index not in done):
            if alone:
                yield from ([self.walker(window[index].walk)] for index in indices)
            else:
                yield [done.pop(index) for index in indices]

    def _together(self, courses: list[Course]) -> list[Outcome] | None:
        """Outcomes in the order of the courses; None where they have to be walked one by one."""
        try:
            with uncollected():
                return list(Lockstep(self.session, courses).run())
        except OutOfStepError as error:
            self._module = str(error)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, IndexError) as error:
            self._module = f"a module that torch.vmap cannot take ({str(error).splitlines()[0]})"
        return None

    def _tell(self, reason: str) -> None:
        if reason not in self._reasons:
            self._reasons.add(reason)
            self._told(f"The batched engine walks one by one what has {reason}")

    def _lazily(self, ids: Ids) -> str:
        """Why a walk with these rows cannot be walked in lock-step; empty when it can."""
        options, space = self.session.options, self.session.space
        sizes = [i.numel() * table.dim for i, table in zip(ids, space.tables, strict=True)]
        lazy = any(options.lazy(size, space.device) for size in sizes)
        return (
            "tables that are stepped lazily" if lazy and options.inner.moments == ("mean", "square") else ""
        )

    def _mixed(self, course: Course) -> str:
        """Why a batch may not be filled up; empty when a row's logit is the same beside other rows."""
        session, rows = self.session, course.rows[: min(_FEW, course.counts[0])]
        session.binding.load(course.walk.store.pull(course.ids))
        with looking(session.module):
            session.module.train()
            set_modes([(part, False) for part in session.module.modules() if isinstance(part, _DROPOUTS)])
            alone, beside = (self._logits(some, course) for some in (rows, torch.cat([rows, rows[:1]])))
        if torch.allclose(alone, beside[: len(rows)], rtol=1e-4, atol=1e-6):
            return ""
        return "a module whose logit of a row depends on other rows or on draws of its own"

    def _logits(self, rows: Tensor, course: Course) -> Tensor:
        device = self.session.space.device
        batch = {name: column.to(device) for name, column in self.session.data.train.take(rows)[0].items()}
        batch["domain"] = torch.tensor(course.domains[:1], device=device).expand(len(rows))
        logits: Tensor = self.session.module(batch)
        return logits

    def _bytes(self, course: Course) -> int:
        """What a walk takes beside others: its point with base and gradient, its moments, its mini-batch's outputs."""
        space, options = self.session.space, self.session.options
        values = space.size(course.ids)
        outputs = (
            _WIDE * course.longest * (int(space.dense_size**0.5) + sum(table.dim for table in space.tables))
        )
        return space.dtype.itemsize * (values * (3 + len(options.inner.moments)) + outputs)


def _why_not(walk: Walk) -> str:
    """Why a walk's legs cannot be walked in lock-step; empty when they can."""
    if any(leg.combiner is not None or leg.meta is not None for leg in walk.legs):
        return "legs that combine gradients or look ahead"
    if any(leg.part is not None for leg in walk.legs):
        return "legs that are a part of a pass"
    return "legs that mix domains" if any(len(leg.domains) != 1 for leg in walk.legs) else ""


def _unable(module: nn.Module, session: Session) -> str:
    """Why a module cannot be walked in lock-step; empty when nothing speaks against it beforehand."""
    if session.data.train.lists:
        return "columns of lists"
    if session.norms:
        return "batch normalisation"
    for table in session.space.tables:
        owners: list[Any] = [module.get_submodule(owner) for owner in table.owners]
        if any(isinstance(owner, nn.EmbeddingBag) for owner in owners):
            return "bags of embeddings"
        if any(owner.max_norm is not None or owner.scale_grad_by_freq for owner in owners):
            return "max_norm or scale_grad_by_freq"
        if len({session.binding.padding_of(owner) for owner in owners}) > 1:
            return "padding in some of a weight's embeddings alone"
    return ""
