"""The way from raw ids (strings or integers) to rows of an embedding table, and back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mamdr.errors import DataError

if TYPE_CHECKING:  # 30 MB that training on arrays does without
    import polars as pl

PADDING, UNKNOWN, FIRST = 0, 1, 2
"""Id 0 pads, id 1 stands for every value that train did not hold, real values start at 2."""


class Vocabulary:
    """The distinct values of one column, sorted; value number k has id k + 2.

    Args:
        values: distinct, sorted, without nulls; strings or integers.

    >>> import polars as pl
    >>> words = Vocabulary.fit(pl.Series(["pear", "apple", "pear"]))
    >>> words.size, words.encode(pl.Series(["apple", "fig", "pear"])).tolist(), words.decode(3)
    (4, [2, 1, 3], 'pear')
    """

    def __init__(self, values: pl.Series) -> None:
        self.values = values.alias("value")

    @classmethod
    def fit(cls, column: pl.Series) -> Vocabulary:
        """The vocabulary of a column (of train, so that nothing of val or test is known before its time)."""
        return cls(column.drop_nulls().unique().sort())

    @property
    def size(self) -> int:
        """Rows that an embedding of this column needs, padding and unknown included."""
        return len(self.values) + FIRST

    def encode(self, column: pl.Series) -> npt.NDArray[np.int32]:
        """Ids, int32 [N]; values that are not in the vocabulary become 1. Cost: one hash join."""
        import polars as pl

        if column.dtype != self.values.dtype:
            column = column.cast(self.values.dtype)
        known = pl.DataFrame({"value": self.values, "id": np.arange(FIRST, self.size, dtype=np.int32)})
        joined = column.alias("value").to_frame().join(known, on="value", how="left", maintain_order="left")
        ids: npt.NDArray[np.int32] = joined["id"].fill_null(UNKNOWN).to_numpy().astype(np.int32, copy=False)
        return ids

    def decode(self, identity: int) -> Any:
        """The raw value of an id; None for padding and unknown."""
        return self.values[identity - FIRST] if FIRST <= identity < self.size else None

    def to_bytes(self) -> bytes:
        """A Parquet file with the one column `value`; the same values give the same bytes."""
        buffer = io.BytesIO()
        self.values.to_frame().write_parquet(buffer, compression="zstd", statistics=False)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read what `to_bytes` wrote."""
        import polars as pl

        try:
            return cls(pl.read_parquet(path, memory_map=False)["value"])
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(
                f"{path} cannot be read ({error})", "a vocabulary that mamdr wrote", "Build the data again"
            ) from error
