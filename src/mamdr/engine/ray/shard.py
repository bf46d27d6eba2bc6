"""A share of the shared parameters, with its outer optimizer's memory: some rows of every table, or the dense part.

Displacements are staged under (key, unit) and committed together, units in order; repeating either changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mamdr.engine.ray import slices
from mamdr.engine.ray.buckets import Buckets
from mamdr.engine.ray.wire import Key, Rows, Values, tensor
from mamdr.engine.units import Combine, combined
from mamdr.parameters import LocalStore, Moments, Point, Space
from mamdr.parameters.outer import Outer

DENSE: Literal["dense"] = "dense"


@dataclass(frozen=True)
class Job:
    """What a shard has to know.

    Args:
        space: of the whole module.
        buckets: where rows live.
        index: which rows; "dense" is the dense part and no rows.
    """

    space: Space
    buckets: Buckets
    index: int | Literal["dense"]

    @property
    def share(self) -> Space:
        """The space of what the shard holds, all rows of its tables still counted."""
        if self.index == DENSE:
            return replace(self.space, tables=())
        return replace(self.space, dense=())


class Shard:
    """Holds a share, answers pulls, takes displacements in.

    Memory: its rows once, their ids (8 bytes a row), what the outer optimizer remembers, and what is staged.
    """

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)  # as the process that trains alone has it
        self.job = job
        self.ids: list[Tensor] = []
        self.moments = Moments()
        self.staged: dict[Key, dict[int, Point]] = {}
        self.committed: set[Key] = set()

    def load(self, folder: Path, files: Sequence[str]) -> None:
        """Take this shard's share of what a checkpoint's files hold, and forget all that came after."""
        self.ids, values, self.moments = slices.load(folder, files, self.job)
        share = self.job.share
        tables = tuple(
            replace(table, rows=len(ids)) for table, ids in zip(share.tables, self.ids, strict=True)
        )
        self.space = replace(share, tables=tables)
        sizes = [self.space.dense_size, *(table.rows * table.dim for table in tables)]
        dense, *rows = torch.split(values, sizes)
        self.store = LocalStore(
            self.space, dense, [r.view(-1, t.dim) for r, t in zip(rows, tables, strict=True)]
        )
        self.moments.points = {n: Point(self.space, p.ids, p.flat) for n, p in self.moments.points.items()}
        self.staged, self.committed = {}, set()

    def pull(self, wanted: Rows) -> Values:
        """The values of these rows (of the dense part), [dense | rows of table 0 | ...]."""
        values: Values = self.store.pull(tuple(self._places(wanted))).flat.numpy()
        return values

    def stage(self, key: Key, unit: int, rows: Rows, values: Values) -> None:
        """Keep a unit's displacement until it is committed.

        It comes in pieces of distinct rows, of which there may be none; a piece that comes again replaces itself.
        """
        if key in self.committed:
            return
        piece = Point(self.space, tuple(self._places(rows)), tensor(values).clone())
        known = self.staged.setdefault(key, {}).get(unit)
        self.staged[key][unit] = piece if known is None else known.take_rows(piece)

    def units_staged(self, key: Key) -> list[int]:
        """The units that have staged something."""
        return sorted(self.staged.get(key, {}))

    def fetch(self, key: Key, units: Sequence[int], combine: Combine) -> tuple[Rows, Values]:
        """What would be committed, without doing so."""
        point = combined([self.staged[key][unit] for unit in units], combine)
        rows = [ids[places].numpy() for ids, places in zip(self.ids, point.ids, strict=True)]
        return rows, point.flat.numpy()

    def commit(
        self, key: Key, units: Sequence[int], combine: Combine, rule: Outer | float, frozen: frozenset[str]
    ) -> list[int]:
        """Take in what units have staged, in this order, by an outer optimizer (or at a rate); only once.

        Returns: the units of which nothing was staged. If there are any, nothing has been committed.
        """
        if key in self.committed:
            return []
        staged = self.staged.get(key, {})
        if missing := [unit for unit in units if unit not in staged]:
            return missing
        point = combined([staged[unit] for unit in units], combine)
        if len(units) == 1:
            point = point.copy()  # the rule may work in place
        store = self.store.freezing(frozen)
        point = Point(store.space, point.ids, point.flat)
        if isinstance(rule, float):
            store.push(point, rule)
        else:
            store.push_by(rule, point, self.moments)
        del self.staged[key]
        self.committed.add(key)
        return []

    def save(self, folder: Path, name: str) -> dict[str, Any]:
        """Write the share as a file of a checkpoint; what the manifest says of it."""
        return slices.save(folder, name, self.ids, self.store.dense, self.store.tables, self.moments)

    def touch(self, rows: Rows, values: Values) -> int:
        """Take rows in and forget them: what a walk without caches sends back."""
        return sum(map(len, rows)) + len(values)

    def facts(self) -> dict[str, int]:
        """Rows held, bytes of values held, bytes staged."""
        held = sum(table.numel() for table in self.store.tables) + self.store.dense.numel()
        staged = sum(len(p.flat) for units in self.staged.values() for p in units.values())
        size = self.space.dtype.itemsize
        return {"rows": sum(map(len, self.ids)), "bytes": held * size, "staged_bytes": staged * size}

    def _places(self, wanted: Rows) -> list[Tensor]:
        """Where rows lie among the shard's own."""
        places = []
        for ids, rows, table in zip(self.ids, wanted, self.job.share.tables, strict=True):
            asked = tensor(rows)
            whole = (
                len(ids) == table.rows
            )  # then ids are places; they are copied out of what others may still read
            places.append(asked.clone() if whole else torch.searchsorted(ids, asked))
        return places
