"""Rows that are lists of ids, of any length each: a user's last clicks, an item's tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mamdr.data.vocabulary import PADDING

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Ragged:
    """N lists, one after another in one array.

    Args:
        values: [V], all lists' ids; int32 once they are rows of a table.
        starts: int64 [N + 1]; list n is values[starts[n]:starts[n + 1]].

    >>> lists = Ragged.of([[7, 8, 9], [], [5]])
    >>> len(lists), lists[np.array([2, 0])].last(2).to_lists()
    (3, [[5], [8, 9]])
    """

    values: Array
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> Ragged:
        """The same from lists of Python."""
        values = np.array([value for row in lists for value in row], dtype=np.int64)
        return cls.by_length(values, np.array([len(row) for row in lists], dtype=np.int64))

    @classmethod
    def by_length(cls, values: Array, lengths: Array) -> Ragged:
        """Lists of these lengths [N], cut from `values` one after another."""
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """[N]."""
        return np.diff(self.starts)

    def __getitem__(self, rows: Array) -> Ragged:
        """The lists at these rows: their numbers, or a mask [N]. Cost: one gather of their values."""
        picked = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return self._spans(self.starts[picked], self.starts[picked + 1])

    def last(self, count: int) -> Ragged:
        """The last `count` ids of each list."""
        return self._spans(np.maximum(self.starts[:-1], self.starts[1:] - count), self.starts[1:])

    def differs(self, other: Ragged) -> npt.NDArray[np.bool_]:
        """[N]: which lists are not the same, row by row, in as many lists."""
        differs: npt.NDArray[np.bool_] = self.lengths != other.lengths
        alike = ~differs
        mine, theirs = self[alike], other[alike]
        unequal = np.repeat(np.arange(len(mine)), mine.lengths)[mine.values != theirs.values]
        differs[np.flatnonzero(alike)[unequal]] = True
        return differs

    def to_lists(self) -> list[list[int]]:
        """Lists of Python."""
        return [row.tolist() for row in np.split(self.values, self.starts[1:-1])] if len(self) else []

    def _spans(self, begin: Array, end: Array) -> Ragged:
        """The lists values[begin:end]."""
        lengths = end - begin
        made = Ragged.by_length(self.values[:0], lengths)
        places = np.arange(made.starts[-1]) + np.repeat(begin - made.starts[:-1], lengths)
        return Ragged(self.values[places], made.starts)


Column = npt.NDArray[Any] | Ragged
"""A value a row, or a list a row."""


def joined(parts: Iterable[Column]) -> Column:
    """Columns one under another; all of numbers, or all of lists."""
    given = list(parts)
    lists = [part for part in given if isinstance(part, Ragged)]
    if not lists:
        return np.concatenate([part for part in given if not isinstance(part, Ragged)])
    values = np.concatenate([part.values for part in lists])
    return Ragged.by_length(values, np.concatenate([part.lengths for part in lists]))


class Lists:
    """A column of lists as training reads it.

    Args:
        lists: with int32 values.
    """

    def __init__(self, lists: Ragged) -> None:
        self.values, self.starts = torch.from_numpy(lists.values), torch.from_numpy(lists.starts)

    def padded(self, rows: Tensor) -> Tensor:
        """The lists at these rows [B] as int64 [B, L]: each from the left, then padding.

        L is the length of the longest, and 1 when all are empty. Cost: B · L values; 0.1 ms for 1024 lists of up to 20.
        """
        begin = self.starts.index_select(0, rows)
        lengths = self.starts.index_select(0, rows + 1) - begin
        steps = torch.arange(max(1, int(lengths.max())) if len(rows) else 1)
        outside: Tensor = steps >= lengths.unsqueeze(1)
        if not len(self.values):
            return torch.full(outside.shape, PADDING)
        places = (begin.unsqueeze(1) + steps).clamp_max_(len(self.values) - 1)
        found: Tensor = self.values.index_select(0, places.view(-1)).view(places.shape).to(torch.int64)
        return torch.where(outside, PADDING, found)

    def held(self, begin: int, end: int) -> Tensor:
        """The ids of rows begin to end, one after another."""
        return self.values[int(self.starts[begin]) : int(self.starts[end])]

    def unique(self, begin: int, end: int) -> Tensor:
        """The ids that rows begin to end hold, sorted, with padding (which a batch of unlike lists has)."""
        held = self.held(begin, end)
        padding = held.new_full((1 if end > begin else 0,), PADDING)
        ids: Tensor = torch.unique(torch.cat([held, padding]), sorted=True)
        return ids.to(torch.int64)
