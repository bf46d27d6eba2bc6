"""Raw ids to rows: an index that lies in memory-mapped arrays, so that opening it costs nothing whatever its size."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import polars as pl

from mamdr.errors import DataError
from mamdr.feature_store.protocol import Raw

Ints = npt.NDArray[np.int64]
_WARM = 1 << 18
"""Ids whose rows a process remembers; then it begins anew. About 30 MB."""


def text_of(raw: object) -> str:
    """An id as text; 17 and "17" are the same id.

    Raises: DataError for what is neither text nor an integer.
    """
    if isinstance(raw, str):
        return raw
    if isinstance(raw, (int, np.integer)) and not isinstance(raw, bool):
        return str(raw)
    raise DataError(f"an id {raw!r}", "text or an integer", "Give the id that the data have")


class Keys:
    """The distinct ids of R rows, by hash.

    Args:
        blob: all ids' UTF-8, one after another, uint8.
        ends: int64 [R + 1]; id r is blob[ends[r]:ends[r + 1]].
        heads: int64 [buckets + 1], a power of two of them; the rows of bucket b are rows[heads[b]:heads[b + 1]].
        rows: int32 [R].
        integers: whether the ids are integers.

    >>> keys = Keys.of(["pear", "fig"], integers=False)
    >>> keys.find(["fig", "plum", "pear"]).tolist(), keys[0]
    ([1, 2, 0], 'pear')
    """

    def __init__(
        self,
        blob: npt.NDArray[np.uint8],
        ends: Ints,
        heads: Ints,
        rows: npt.NDArray[np.int32],
        *,
        integers: bool,
    ) -> None:
        self.blob, self.ends, self.heads, self.rows, self.integers = blob, ends, heads, rows, integers
        # Python's own view of an array gives a number five times faster than NumPy's.
        self._blob, self._ends = _view(blob), _view(ends)
        self._heads, self._rows = _view(heads), _view(rows)
        self._mask = len(heads) - 2
        self._warm: dict[str, int] = {}

    @classmethod
    def of(cls, texts: Sequence[str], *, integers: bool) -> Keys:
        """An index of distinct ids. Cost: about 0.6 s a million."""
        encoded = [text.encode() for text in texts]
        ends = np.concatenate([[0], np.cumsum([len(text) for text in encoded], dtype=np.int64)])
        buckets = 1 << max(0, len(encoded) - 1).bit_length()
        hashes = np.fromiter(map(zlib.crc32, encoded), dtype=np.int64, count=len(encoded)) & (buckets - 1)
        heads = np.concatenate([[0], np.cumsum(np.bincount(hashes, minlength=buckets))]).astype(np.int64)
        rows = np.argsort(hashes, kind="stable").astype(np.int32)
        blob = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        return cls(blob, ends.astype(np.int64), heads, rows, integers=integers)

    @classmethod
    def of_values(cls, values: pl.Series) -> Keys:
        """An index of a vocabulary's values."""
        return cls.of(values.cast(pl.String).to_list(), integers=values.dtype.is_integer())

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], *, integers: bool) -> Keys:
        """What `arrays` gave."""
        return cls(arrays["blob"], arrays["ends"], arrays["heads"], arrays["rows"], integers=integers)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What the index is made of."""
        return {"blob": self.blob, "ends": self.ends, "heads": self.heads, "rows": self.rows}

    def extended(self, texts: Sequence[str]) -> Keys:
        """The same rows, and one more for each of these new ids."""
        return Keys.of([*self.texts(), *texts], integers=self.integers) if texts else self

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, texts: Sequence[str]) -> Ints:
        """Rows of ids [N]; R for one that is not here. Cost: 0.05 µs an id asked for before, 0.6 µs another."""
        found = [*map(self._warm.get, texts)]
        if None in found:
            found = [self._cold(text) if row is None else row for text, row in zip(texts, found, strict=True)]
        return np.array(found, dtype=np.int64)

    def _cold(self, text: str) -> int:
        try:
            key = text.encode()
        except UnicodeEncodeError:  # half a surrogate pair: no id that was ever stored
            return len(self)
        bucket = zlib.crc32(key) & self._mask
        for place in range(self._heads[bucket], self._heads[bucket + 1]):
            row: int = self._rows[place]
            if self._blob[self._ends[row] : self._ends[row + 1]] == key:
                if len(self._warm) >= _WARM:
                    self._warm.clear()
                self._warm[text] = row
                return row
        return len(self)

    def text(self, row: int) -> str:
        """The id of a row as text."""
        return bytes(self._blob[self._ends[row] : self._ends[row + 1]]).decode()

    def texts(self) -> list[str]:
        """All ids in the order of their rows."""
        whole, ends = self.blob.tobytes(), self.ends.tolist()
        return [whole[begin:end].decode() for begin, end in itertools.pairwise(ends)]

    def __getitem__(self, row: int) -> Raw:
        text = self.text(row)
        return int(text) if self.integers else text


class Ids(Sequence[Raw]):
    """The ids of some rows, read when they are looked at; those behind the last are others.

    Args:
        keys: of R rows.
        rows: int64 [N].
        others: ids of rows R, R + 1, ...
    """

    def __init__(self, keys: Keys, rows: Ints, others: Sequence[Raw] = ()) -> None:
        self._keys, self._places, self._others = keys, rows, others

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Raw: ...
    @overload
    def __getitem__(self, index: slice) -> Ids: ...
    def __getitem__(self, index: int | slice) -> Raw | Ids:
        if isinstance(index, slice):
            return Ids(self._keys, self._places[index], self._others)
        row = int(self._places[index])
        return self._keys[row] if row < len(self._keys) else self._others[row - len(self._keys)]


def _view(array: npt.NDArray[Any]) -> memoryview:
    return memoryview(array)  # type: ignore[arg-type]


def texts_of(raw: Sequence[object]) -> Sequence[str]:
    """Ids as texts."""
    if set(map(type, raw)) == {str}:
        return raw  # type: ignore[return-value]
    return [text_of(value) for value in raw]
