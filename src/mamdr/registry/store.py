"""Parameters that are read from files when they are asked for: no table is copied, no part loaded before its turn."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mamdr.errors import CheckpointError
from mamdr.parameters import Ids, LocalStore, Point, Space
from mamdr.parameters.point import Allocate


class Grown(LocalStore):
    """Shared parameters that also have a row for ids that came after training.

    Args:
        space, dense, tables: as in `LocalStore`.
        beyond: for each table the row [d_t] that every id past its end stands for.
    """

    def __init__(self, space: Space, dense: Tensor, tables: list[Tensor], beyond: list[Tensor]) -> None:
        super().__init__(space, dense, tables)
        self.beyond = beyond

    def pull(self, ids: Ids, allocate: Allocate | None = None) -> Point:
        """Cost: as of `LocalStore`."""
        inside = tuple(i.clamp_max(len(table) - 1) for i, table in zip(ids, self.tables, strict=True))
        pulled = super().pull(inside, allocate)
        for t, wanted in enumerate(ids):
            known = int(torch.searchsorted(wanted, len(self.tables[t])))  # ids are sorted
            pulled.rows(t)[known:] = self.beyond[t]
        return Point(self.space, ids, pulled.flat)


@dataclass(frozen=True, eq=False)
class Parts(MutableMapping[int, Point]):
    """Specific parts of many domains, one after another in one array; read-only.

    Args:
        space: theirs, `Space.part` of the module's.
        places: domain -> its place in the arrays.
        flat: their values, one part after another.
        starts: int64 [n + 1], where each begins in `flat`.
        ids: for each table the rows' ids, one part after another.
        id_starts: for each table int64 [n + 1].
        skip: values at the beginning of each part that are left out (its dense ones, for who wants rows alone).
    """

    space: Space
    places: dict[int, int]
    flat: Tensor
    starts: list[int]
    ids: list[Tensor]
    id_starts: list[list[int]]
    skip: int = 0

    def __getitem__(self, domain: int) -> Point:
        place = self.places[domain]
        ids = tuple(i[s[place] : s[place + 1]] for i, s in zip(self.ids, self.id_starts, strict=True))
        return Point(self.space, ids, self.flat[self.starts[place] + self.skip : self.starts[place + 1]])

    def __iter__(self) -> Iterator[int]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __setitem__(self, domain: int, part: Point) -> None:
        raise self._refused()

    def __delitem__(self, domain: int) -> None:
        raise self._refused()

    def _refused(self) -> CheckpointError:
        return CheckpointError("a published part was to be changed", "a read", "Publish a new version")
