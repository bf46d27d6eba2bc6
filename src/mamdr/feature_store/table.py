"""What a store holds of an owner: one row for each user or item, in columns coded as training's are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mamdr.data.ragged import Column, Lists, Ragged, joined
from mamdr.data.rows import Batch, read_one
from mamdr.data.vocabulary import FIRST

Ints = npt.NDArray[np.int64]


class Table:
    """Columns of one length.

    Args:
        columns: name -> int32 [R] ids, float32 [R] numbers, or R lists of int32 ids; at least the owner's own ids.
        owner: "user" or "item".
    """

    def __init__(self, owner: str, columns: Mapping[str, Column]) -> None:
        self.owner, self.columns = owner, dict(columns)
        self._plain = {
            name: column for name, column in self.columns.items() if not isinstance(column, Ragged)
        }
        self._lists = {n: Lists(column) for n, column in self.columns.items() if isinstance(column, Ragged)}

    def __len__(self) -> int:
        return len(self._plain[f"{self.owner}_id"])

    def batch(self, rows: Ints) -> Batch:
        """Rows [N] as a model reads them, by the code that training reads with (`mamdr.data.rows`)."""
        return read_one(self._plain, self._lists, rows)

    def known(self, rows: Ints) -> npt.NDArray[np.bool_]:
        """[N]: whether training had the id of a row."""
        own = self.columns[f"{self.owner}_id"]
        assert not isinstance(own, Ragged)
        mask: npt.NDArray[np.bool_] = own[rows] >= FIRST
        return mask

    def pick(self, rows: Ints) -> Table:
        """A table of these rows."""
        return Table(self.owner, {name: column[rows] for name, column in self.columns.items()})

    def replaced(self, name: str, column: Column) -> Table:
        """The same with another column."""
        return Table(self.owner, {**self.columns, name: column})

    @staticmethod
    def joined(tables: Sequence[Table]) -> Table:
        """Tables of the same columns, one under another."""
        first = tables[0]
        columns = {name: joined([table.columns[name] for table in tables]) for name in first.columns}
        return Table(first.owner, columns)
