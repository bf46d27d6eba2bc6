"""Rows of a table that a step looks up, changes and writes back where they lie.

Torch copies a batch's distinct rows and their moments out, brings the copies up to date, steps them, and writes them
back: some forty operations, each a pass over rows that do not stay in the cache. With numba it is three compiled calls
and no copy: rows are brought up to date as they are looked up, gradients are added up as they come back, and the rows
are stepped. Both come to the same bits.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mamdr.engine import compiled, idle
from mamdr.engine.inner import Adam, Inner
from mamdr.engine.lazy import LazyRows

_TOUCHED, _GRADS, _COUNT = 0, 2, 3
"""Where these stand in a plan, behind what it says of the table (`engine.compiled_row_loops`, which is not imported
without numba)."""


def fits(rows: Tensor, inner: Inner) -> bool:
    """Whether rows can be stepped in compiled loops: float32 ones on a CPU, by Adam with usual β."""
    return (
        isinstance(inner, Adam)
        and inner.beta1 > 0.5
        and idle.has_short_form(inner.beta1, inner.beta2)
        and rows.device.type == "cpu"
        and rows.dtype == torch.float32
        and rows.is_contiguous()
        and rows.shape[1] % compiled.LANES == 0
    )


class CompiledRows(LazyRows):
    """As `LazyRows`, and besides for lookups inside a plain step, which change rows where they lie.

    Args:
        loops: compiled.
        slots: from an id to its place, int32; -1 for none.
        others: as `LazyRows`, where `fits` says so.

    Memory: beside rows and moments 4 bytes a row, 8 if a step has several lookups, and the gradients of the rows that
    a step touches.
    """

    def __init__(
        self,
        loops: compiled.RowLoops,
        slots: Tensor,
        rows: Tensor,
        moments: list[Tensor],
        inner: Adam,
        step: int,
        last: Tensor,
        *,
        rest: bool,
        penalty: Tensor | None,
    ) -> None:
        super().__init__(rows, moments, inner, step, last, rest=rest, penalty=penalty)
        self.loops, self.adam, self.slots = loops, inner, slots
        self.leaf = rows.detach().requires_grad_()
        """What autograd takes the lookups' rows for; nothing is ever added to a gradient of its."""
        sums, powers = idle.tables(inner.beta1, inner.beta2)
        each = None if penalty is None else penalty.contiguous()
        self._kept = (*moments, sums, powers, each)
        self._table = [slots.data_ptr(), len(slots), rows.data_ptr(), *(m.data_ptr() for m in moments)]
        self._table += [last.data_ptr(), rows.shape[1], 0 if each is None else each.data_ptr()]
        self._table += [0 if self.rest else sums.data_ptr(), len(sums), powers.data_ptr(), len(powers)]
        beta1, beta2 = inner.beta1, inner.beta2
        self._rule = array("d", [inner.lr, inner.eps, beta2, 1 - beta1, 1 - beta2, 0.0, 0.0])
        self._told = self._rule.buffer_info()[0]
        self._sums = [_Sums(self._table, rows)]
        self.looked_up = 0
        self.came_back: list[tuple[int, Tensor, Tensor]] = []
        """Of the lookups since the last step: the how manieth it was, places, gradient."""

    def find(self, ids: Tensor, out: Tensor) -> Tensor | None:
        """The rows of ids [m], as they are now, to `out` [m, d], whose rows may lie apart: their places, int32.

        None if an id has no place, and then nothing is done.
        """
        ids = (ids if ids.dtype in (torch.int64, torch.int32) else ids.long()).contiguous()
        places = torch.empty(len(ids), dtype=torch.int32)
        missing = self.loops.look_up(
            *(self._sums[0].plan, self._told),
            *(ids.data_ptr(), int(ids.dtype == torch.int64), len(ids), places.data_ptr()),
            *(out.data_ptr(), out.stride(0), self.step_made),
        )
        return None if missing else places

    def step(self, count: int) -> None:
        super().step(count)
        if self.came_back:
            self._add_up()
            adam = self.adam
            self._rule[-2] = -adam.lr / (1 - adam.beta1**count)
            self._rule[-1] = math.sqrt(1 - adam.beta2**count)
            self.loops.step(self._sums[0].plan, self._told, count)
        self.looked_up = 0

    def _add_up(self) -> None:
        """Each row's gradients: the sum of the first lookup's, and to it, one by one, those of each later one."""
        for later, (_, places, grad) in enumerate(sorted(self.came_back, key=lambda back: back[0])):
            if later == 1 and len(self._sums) == 1:
                self._sums.append(_Sums(self._table, self.rows))
            sums = self._sums[min(later, 1)]
            sums.add(self.loops, places, grad)
            if later:
                self._sums[0].add(self.loops, *sums.taken())
        self.came_back.clear()


class _Sums:
    """Gradients of some rows of a table, summed.

    Args:
        table: what a plan says of the table.
        rows: its rows [n, d].
    """

    def __init__(self, table: Sequence[int], rows: Tensor) -> None:
        self._places = torch.empty(len(rows), dtype=torch.int32)
        self._touched, self._grads = torch.empty(0, dtype=torch.int32), rows.new_empty(0, rows.shape[1])
        self._end = len(table)
        self._told = array("q", [*table, 0, self._places.data_ptr(), 0, 0])
        self.plan = self._told.buffer_info()[0]

    def add(self, loops: compiled.RowLoops, places: Tensor, grad: Tensor) -> None:
        """Add a gradient [m, d] of the rows at these places (int32)."""
        grad = grad if grad.stride(1) == 1 else grad.contiguous()
        known = self._told[self._end + _COUNT]
        self._make_room(known, min(len(self._places), known + len(places)))
        loops.add(self.plan, places.data_ptr(), len(places), grad.data_ptr(), grad.stride(0))

    def taken(self) -> tuple[Tensor, Tensor]:
        """The places that have a gradient, and the sums; none has one then."""
        count = self._told[self._end + _COUNT]
        self._told[self._end + _COUNT] = 0
        return self._touched[:count], self._grads[:count]

    def _make_room(self, known: int, most: int) -> None:
        if most <= len(self._touched):
            return
        touched, grads = self._touched.new_empty(most), self._grads.new_empty(most, self._grads.shape[1])
        touched[:known], grads[:known] = self._touched[:known], self._grads[:known]
        self._touched, self._grads = touched, grads
        self._told[self._end + _TOUCHED] = touched.data_ptr()
        self._told[self._end + _GRADS] = grads.data_ptr()


def look_up(rows: CompiledRows, ids: Tensor) -> Tensor | None:
    """The rows of ids [...], to [..., d]; their gradients come back to `rows`. None as `find`."""
    flat = ids.reshape(-1)
    out = rows.rows.new_empty(len(flat), rows.rows.shape[1])
    places = rows.find(flat, out)
    return None if places is None else with_way_back(out, [(rows, places, 0)]).view(*ids.shape, out.shape[1])


Lookup = tuple[CompiledRows, Tensor, int]
"""A table, the places that `find` told, and the column from which on its rows lie."""


def with_way_back(out: Tensor, lookups: Sequence[Lookup]) -> Tensor:
    """`out` [m, any width], where these lookups, one or more, have put the rows that they found: its gradient's columns
    come back to their tables."""
    numbered = []
    for rows, places, column in lookups:
        numbered.append((rows, places, slice(column, column + rows.rows.shape[1]), rows.looked_up))
        rows.looked_up += 1
    return _WayBack.apply(lookups[0][0].leaf, [out], numbered)  # type: ignore[no-any-return, no-untyped-call]


class _WayBack(torch.autograd.Function):
    """Takes a gradient to the tables."""

    @staticmethod
    def forward(ctx: Any, leaf: Tensor, out: list[Tensor], lookups: Sequence[Any]) -> Tensor:
        ctx.lookups = lookups
        return out[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, ...]:
        for rows, places, columns, number in ctx.lookups:
            rows.came_back.append((number, places, grad[:, columns]))
        return None, None, None


def agree(loops: compiled.RowLoops) -> bool:
    """Whether these loops come to torch's bits on this processor: that it multiplies and adds in one as they do, and as
    torch does, is not assumed."""
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 2 * compiled.LANES, generator=draw, dtype=torch.float32)
    penalty = torch.rand(40, 1, generator=draw, dtype=torch.float32)
    slots, ids = torch.arange(40, dtype=torch.int32), torch.arange(40)
    made = []
    for compiled_too in (False, True):
        moments, last = [torch.zeros_like(rows), torch.zeros_like(rows)], torch.zeros(40, dtype=torch.int64)
        common = (rows.clone(), moments, Adam(beta2=0.996), 0, last)  # tables of that β₂ are short
        draw.manual_seed(1)
        if compiled_too:
            table: LazyRows = CompiledRows(loops, slots, *common, rest=False, penalty=penalty)
        else:
            table = LazyRows(*common, rest=False, penalty=penalty)
        for step in range(1, 9):
            some = ids[:: 1 + step % 3]
            found = look_up(table, some) if isinstance(table, CompiledRows) else table.gather(some)
            assert found is not None
            # Not `backward(grad)`, for which torch imports all that it has for symbolic shapes, 30 MB.
            (found * torch.randn(found.shape, generator=draw)).sum().backward()  # type: ignore[no-untyped-call]
            table.step(step)
        made.append([table.rows, *table.moments])
    return all(torch.equal(a, b) for a, b in zip(*made, strict=True))
