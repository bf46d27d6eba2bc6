"""Raw features to the numbers that training made of them, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from mamdr.data.coding import scaled
from mamdr.data.lists import INTEGER, is_list
from mamdr.data.ragged import Column, Lists, Ragged
from mamdr.data.schema import Schema
from mamdr.data.vocabulary import UNKNOWN, Vocabulary
from mamdr.errors import DataError

_NO_SCALE = (0.0, 1.0)


class Coder:
    """Codes columns with a data set's vocabularies, scales and lengths of lists.

    Args:
        schema: the data's.
        words: id column -> vocabulary, for every id column.

    Raises: DataError for an id column without a vocabulary.

    >>> words = Vocabulary.fit(pl.Series(["red", "blue"]))
    >>> coder = Coder(Schema((), {"item:colour": words.size}), {"item:colour": words})
    >>> coder.column("item:colour", pl.Series(["red", "green", None])).tolist()
    [3, 1, 1]
    """

    def __init__(self, schema: Schema, words: Mapping[str, Vocabulary]) -> None:
        for name in schema.ids:
            if name not in words:
                raise DataError(
                    f"the data have no vocabulary for {name!r}",
                    "raw values for every column of ids",
                    "Make the data with `mamdr data build` or `import`",
                )
        self.schema, self.words = schema, words

    def empty(self, name: str, rows: int) -> Column:
        """What a column holds of nobody: the unknown id, the mean of train, an empty list."""
        kind = self.schema.kind(name)
        if kind == "number":
            return np.zeros(rows, dtype=np.float32)
        if kind == "list":
            return Ragged(np.zeros(0, dtype=np.int32), np.zeros(rows + 1, dtype=np.int64))
        return np.full(rows, UNKNOWN, dtype=np.int32)

    def column(self, name: str, values: pl.Series) -> Column:
        """Raw values [N] as int32 ids, float32 numbers or lists of ids; an empty cell is as of nobody.

        Raises: DataError for values of another kind, and numbers that are not finite. Cost: 0.3 ms and a join.
        """
        kind = self.schema.kind(name)
        if values.dtype == pl.Null:
            return self.empty(name, len(values))
        if kind == "number":
            return self._numbers(name, values)
        if (kind == "list") != is_list(values):
            raise _wrong(name, values, "lists" if kind == "list" else "one value a row")
        if kind == "category":
            return self._ids(name, values)
        cells = values.fill_null([]).list.drop_nulls().list.tail(self.schema.lists[name])
        flat = cells.filter(cells.list.len() > 0).explode()
        ids = self._ids(name, flat) if len(flat) else np.zeros(0, dtype=np.int32)
        return Ragged.by_length(ids, cells.list.len().to_numpy())

    def batch(self, name: str, values: Sequence[object]) -> Tensor:
        """Python's values as a column of a batch: int64 [N], int64 [N, L] or float32 [N]."""
        try:
            series = pl.Series(name, list(values), strict=True)
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
            raise _wrong(name, None, "values of one kind") from error
        column = self.column(name, series)
        if isinstance(column, Ragged):
            return Lists(column).padded(torch.arange(len(column)))
        found = torch.from_numpy(column)
        return found if found.is_floating_point() else found.to(torch.int64)

    def raw(self, name: str, column: Column) -> pl.Series:
        """What `column` was made of; what the vocabulary lacked is an empty cell, or left out of its list."""
        if isinstance(column, Ragged):
            return self._raw_lists(name, column)
        if self.schema.kind(name) == "number":
            mean, deviation = self.schema.scales.get(name, _NO_SCALE)
            return pl.Series(name, (column.astype(np.float64) * deviation + mean).astype(np.float32))
        return self._raw_ids(name, column)

    def _numbers(self, name: str, values: pl.Series) -> npt.NDArray[np.float32]:
        mean, deviation = self.schema.scales.get(name, _NO_SCALE)
        if not values.dtype.is_numeric():
            raise _wrong(name, values, "numbers")
        cells = values.cast(pl.Float64).cast(pl.Float32)
        if not (cells.is_finite() | cells.is_null()).all():
            raise DataError(
                f"column {name!r} holds NaN or infinity", "finite numbers", "Fill or drop these rows"
            )
        found = scaled(cells.fill_null(0.0).to_numpy(), mean, deviation)
        return np.where(cells.is_null().to_numpy(), np.float32(0), found)

    def _ids(self, name: str, values: pl.Series) -> npt.NDArray[np.int32]:
        if values.dtype in (pl.Categorical, pl.Enum):
            values = values.cast(pl.String)
        if not (values.dtype == pl.String or values.dtype.is_integer() or values.dtype == pl.Boolean):
            raise _wrong(name, values, "text or integers")
        words = self.words[name]
        if values.dtype == pl.String and words.values.dtype != pl.String:
            values = pl.select(
                pl.when(values.str.contains(INTEGER)).then(values).cast(pl.Int64, strict=False)
            ).to_series()
        elif values.dtype == pl.Boolean:
            values = values.cast(pl.Int64)
        return words.encode(values).copy()  # what Polars gives may not be written to

    def _raw_ids(self, name: str, ids: npt.NDArray[np.int32]) -> pl.Series:
        words = self.words[name].values
        places = pl.Series(ids).cast(pl.Int64) - (UNKNOWN + 1)
        known = places.set(places < 0, None)
        if not len(words):
            return pl.Series(name, [None] * len(ids), dtype=words.dtype)
        return words.gather(known.fill_null(0)).set(known.is_null(), None).alias(name)

    def _raw_lists(self, name: str, column: Ragged) -> pl.Series:
        flat = self._raw_ids(name, column.values)
        rows = pl.DataFrame({"row": np.repeat(np.arange(len(column)), column.lengths), "value": flat})
        grouped = rows.drop_nulls().group_by("row", maintain_order=True).agg(pl.col("value"))
        all_rows = pl.DataFrame({"row": np.arange(len(column))})
        lists = all_rows.join(grouped, on="row", how="left", maintain_order="left")["value"]
        return lists.fill_null([]).alias(name)


def _wrong(name: str, values: pl.Series | None, expected: str) -> DataError:
    found = "values of several kinds" if values is None else f"{values.dtype}"
    return DataError(f"column {name!r} holds {found}", expected, "Give values of the column's own kind")
