"""Columns of a data folder that are written piece by piece, to the bytes that writing them whole would give."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from mamdr.data.arrays import Array


class Column:
    """A .npy file of one dimension. A context manager.

    Args:
        path: of the file.
        kind: of its values.
        count: how many will come.
    """

    def __init__(self, path: Path, kind: type[np.generic], count: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._hash, self._kind, self.size = path.open("wb"), hashlib.sha256(), np.dtype(kind), 0
        head = {"descr": np.lib.format.dtype_to_descr(self._kind), "fortran_order": False, "shape": (count,)}
        np.lib.format.write_array_header_1_0(self, head)

    def write(self, data: bytes) -> int:
        """Bytes as they come: what numpy writes a header with."""
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def add(self, values: Array) -> None:
        """The next values."""
        self.write(np.ascontiguousarray(values, self._kind).tobytes())

    def entry(self) -> dict[str, Any]:
        """What the manifest says of the file."""
        return {"bytes": self.size, "sha256": self._hash.hexdigest()}

    def __enter__(self) -> Column:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
