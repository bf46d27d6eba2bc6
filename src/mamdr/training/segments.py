"""Files that points are appended to and read from: once sealed, a file never changes, and checkpoints share it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from mamdr.files import disk_errors
from mamdr.parameters import Ids, Point, Space

_PIECE = 1 << 20  # bytes read at once


class Scratch:
    """A folder for files that only this process needs; it goes with the last of them.

    Args:
        beside: where to make it, under a name that `files.sweep` removes when the process was killed; None is the
            system's place for temporary files.
    """

    def __init__(self, beside: Path | None) -> None:
        if beside is not None:
            beside.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix=".specific.", suffix=".part", dir=beside))
        weakref.finalize(self, _remove, self.path, os.getpid())


class Segment:
    """One file of points, one after another: how many rows of each table, their ids (int64), the values.

    Args:
        file: open for reading, and for writing until it is sealed.
        scratch: the folder that it lies in while the process runs; None for a file of a checkpoint.
    """

    def __init__(self, file: BinaryIO, path: Path, scratch: Scratch | None) -> None:
        self.path, self.scratch, self.sealed = path, scratch, scratch is None
        self.size = os.fstat(file.fileno()).st_size
        self._file, self._hash = file, hashlib.sha256()
        weakref.finalize(self, _end, file, path if scratch else None, os.getpid(), scratch)

    @classmethod
    def new(cls, scratch: Scratch) -> Segment:
        """An empty file."""
        path = scratch.path / uuid.uuid4().hex
        with disk_errors(path):
            return cls(path.open("x+b", buffering=0), path, scratch)

    @classmethod
    def open(cls, path: Path) -> Segment:
        """A sealed file as it lies in a checkpoint. Cost: reading it once, for its hash.

        Raises: OSError.
        """
        made = cls(path.open("rb", buffering=0), path, None)
        for begin in range(0, made.size, _PIECE):
            made._hash.update(os.pread(made._file.fileno(), _PIECE, begin))
        return made

    @property
    def sha256(self) -> str:
        """The hash of what was written so far."""
        return self._hash.hexdigest()

    def append(self, point: Point) -> tuple[int, int]:
        """Write a point at the end; where it begins and its bytes."""
        assert not self.sealed
        counts = np.array([len(ids) for ids in point.ids], dtype=np.int64)
        head = np.concatenate([counts, *(ids.cpu().numpy() for ids in point.ids)])
        data = head.tobytes() + point.flat.detach().cpu().numpy().tobytes()
        begin = self.size
        with disk_errors(self.path):
            written = 0
            while written < len(data):
                written += os.pwrite(self._file.fileno(), data[written:], begin + written)
        self._hash.update(data)
        self.size += len(data)
        return begin, len(data)

    def read(self, begin: int, size: int, space: Space) -> Point:
        """The point that begins there."""
        data = bytearray(size)
        got = os.preadv(self._file.fileno(), [data], begin)
        if got != size:
            raise OSError(f"{self.path} ends after {begin + got} bytes")
        tables = len(space.tables)
        head = torch.frombuffer(data, dtype=torch.int64, count=size // 8) if size >= 8 else torch.empty(0)
        counts = head[:tables].long().tolist()
        start = 8 * (tables + sum(counts))
        ids: Ids = torch.split(head[tables : tables + sum(counts)].clone(), counts)
        flat = torch.empty(0, dtype=space.dtype)
        if start < size:
            flat = torch.frombuffer(data, dtype=space.dtype, offset=start)
        return Point(space, ids, flat.to(space.device))

    def give(self, target: Path) -> None:
        """Put the sealed file at `target` as well: as a second name of the same bytes, or where that cannot be as a
        copy.

        Raises: OSError.
        """
        try:
            os.link(self.path, target)
        except (
            OSError
        ):  # another disk, a file system without links, or a checkpoint that was dropped meanwhile
            with target.open("xb") as file:
                for begin in range(0, self.size, _PIECE):
                    file.write(os.pread(self._file.fileno(), _PIECE, begin))


def total(segments: Sequence[Segment]) -> int:
    """Bytes of some files."""
    return sum(segment.size for segment in segments)


def _end(file: BinaryIO, path: Path | None, owner: int, scratch: Scratch | None) -> None:
    """Close a file that nobody reads any more, and remove it; a forked worker leaves it to who made it."""
    file.close()
    if path is not None and os.getpid() == owner:
        path.unlink(missing_ok=True)
    del scratch  # held until here, so that the folder outlives its files


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)
