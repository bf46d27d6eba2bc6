"""Vectors made elsewhere for the ids of a column: pictures, texts, another model's embeddings."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mamdr.data.vocabulary import FIRST, PADDING, Vocabulary
from mamdr.errors import DataError

Floats = npt.NDArray[np.float32]
_SHOULD = "ids and as many vectors of one width, 1 or more"


@dataclass(frozen=True, eq=False)
class Vectors:
    """A vector for each of some raw ids.

    Args:
        ids: strings or integers, each once.
        values: float32 [number of ids, width].
        source: the file's name, for messages.

    Raises: DataError for other shapes, an id that comes twice, or values that are not finite.
    """

    ids: pl.Series
    values: Floats
    source: str = "vectors"

    def __post_init__(self) -> None:
        shape = self.values.shape
        if len(shape) != 2 or shape[0] != len(self.ids) or not all(shape):
            raise DataError(
                f"{self.source} holds {len(self.ids)} ids and vectors of shape {list(shape)}",
                _SHOULD,
                "Write the file again",
            )
        if self.ids.null_count() or self.ids.n_unique() < len(self.ids):
            raise DataError(
                f"{self.source} holds an id twice, or an empty one", "each id once", "Keep one of them"
            )
        if not np.isfinite(self.values).all():
            raise DataError(
                f"{self.source} holds vectors with NaN or infinity",
                "finite numbers",
                "Fill or drop these vectors",
            )

    @classmethod
    def read(cls, path: str | Path) -> Vectors:
        """Vectors from a file.

        .parquet: a column of ids and a column of lists of numbers, called whatever they are
        .npz, .safetensors: arrays `ids` [n] and `vectors` [n, width]
        .npy, and the others without `ids`: row k belongs to the id k

        Raises: DataError for a file that is absent, damaged or of another kind, and all that the class refuses.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"there is no file {path}", "a file of vectors", "Check the path")
        kind = path.suffix.lower()
        if kind not in _READERS:
            raise DataError(f"{path.name} is of kind {kind!r}", ", ".join(_READERS), "Convert the file first")
        try:
            found = _READERS[kind](path)
        except (
            OSError,
            ValueError,
            EOFError,
            zipfile.BadZipFile,
            SafetensorError,
            pl.exceptions.PolarsError,
        ) as error:
            reason = str(error).split("\n", 1)[0].rstrip(".")
            raise DataError(
                f"{path.name} cannot be read ({reason})", _SHOULD, "Write the file again"
            ) from error
        if "vectors" not in found:
            raise DataError(
                f"{path.name} holds {', '.join(found) or 'nothing'}", "arrays ids and vectors", "Rename them"
            )
        values = np.asarray(found["vectors"])
        if values.dtype.kind not in "fiu":
            raise DataError(f"{path.name} holds vectors of {values.dtype}", "numbers", "Convert them first")
        ids = pl.Series("id", found["ids"] if "ids" in found else np.arange(len(values)))
        if not (ids.dtype.is_integer() or ids.dtype == pl.String):
            raise DataError(
                f"{path.name} holds ids of {ids.dtype}", "strings or integers", "Convert them first"
            )
        return cls(ids, values.astype(np.float32), path.name)

    def known(self, values: pl.Series) -> npt.NDArray[np.bool_]:
        """[N]: which raw values have a vector."""
        mask: npt.NDArray[np.bool_] = values.is_in(self._like(values).implode()).to_numpy()
        return mask

    def rows(self, words: Vocabulary) -> Floats:
        """float32 [words.size, width]: zeros for padding; for an id without a vector, and the unknown one, the mean of
        those that the vocabulary's values have.

        Raises: DataError when no value has a vector.
        """
        places = pl.DataFrame({"value": self._like(words.values), "place": np.arange(len(self.ids))})
        joined = words.values.to_frame("value").join(places, on="value", how="left", maintain_order="left")
        has = joined["place"].is_not_null().to_numpy()
        if not has.any():
            raise DataError(
                f"no value of the column has a vector in {self.source}, whose ids are {self.ids[0]!r} and so on",
                f"ids like the column's, such as {words.values[0]!r}"
                if len(words.values)
                else "a column with values",
                "Give the file that belongs to the column",
            )
        found = self.values[joined["place"].drop_nulls().to_numpy()]
        rows = np.empty((words.size, self.values.shape[1]), dtype=np.float32)
        rows[:] = found.mean(axis=0, dtype=np.float64)
        rows[PADDING] = 0
        rows[FIRST:][has] = found
        return rows

    def _like(self, values: pl.Series) -> pl.Series:
        """The ids in the type of these values; numbers and strings meet as strings."""
        return self.ids.cast(pl.String if values.dtype == pl.String else pl.Int64, strict=False)


def _parquet(path: Path) -> dict[str, Any]:
    frame = pl.read_parquet(path)
    lists = [name for name in frame.columns if isinstance(frame[name].dtype, (pl.List, pl.Array))]
    others = [name for name in frame.columns if name not in lists]
    if len(lists) != 1 or len(others) != 1:
        raise DataError(
            f"{path.name} has columns {', '.join(frame.columns)}",
            "one of ids and one of lists",
            "Keep these two",
        )
    held = frame[lists[0]]
    column = held.arr.to_list() if isinstance(held.dtype, pl.Array) else held
    if column.null_count() or column.list.len().n_unique() != 1:
        raise DataError(f"{path.name} holds vectors of several widths", _SHOULD, "Write the file again")
    flat = column.explode().to_numpy()
    return {"ids": frame[others[0]], "vectors": flat.reshape(len(frame), -1)}


def _npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _npy(path: Path) -> dict[str, Any]:
    return {"vectors": np.load(path, allow_pickle=False)}


_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".parquet": _parquet,
    ".pq": _parquet,
    ".npz": _npz,
    ".npy": _npy,
    ".safetensors": load_file,
}
