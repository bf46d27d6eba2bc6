"""One file of keys and values that the processes of a machine share: LMDB. A write is on disk when it has returned."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mamdr.errors import ConfigError, DataError

_MOST = 1 << 36
"""Bytes that a file can grow to: 64 GiB of addresses. It takes the room on disk that it fills."""

_open: weakref.WeakValueDictionary[Path, LmdbFile] = weakref.WeakValueDictionary()
_guard = threading.Lock()


class LmdbFile:
    """An LMDB file, which a process may open once; it grows as it fills. See `lmdb_file`."""

    def __init__(self, folder: Path) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise ConfigError(
                "updates or events without lmdb", "the extra `serve`", "pip install 'mamdr[serve]'"
            ) from error
        self.lmdb, self.folder = lmdb, folder
        with self._told():
            folder.mkdir(parents=True, exist_ok=True)
            self._env = lmdb.open(str(folder), map_size=_MOST, max_readers=1024, subdir=True)
            self._env.reader_check()  # slots of processes that were killed

    def last(self) -> int:
        """The number of the last commit of any process."""
        return int(self._env.info()["last_txnid"])

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """A transaction that sees the file as it is at one moment."""
        with self._told(), self._env.begin() as txn:
            yield txn

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """A transaction that is on disk, whole, when the block has ended well, and else has not been.

        One writes at a time, of all threads and processes; the others wait.
        """
        with self._told(), self._env.begin(write=True) as txn:
            yield txn

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (self.lmdb.Error, OSError) as error:
            raise DataError(
                f"{self.folder} cannot be used ({error})",
                "a folder that can be written, with space left",
                "Free some space; nothing half-written was left behind",
            ) from error


def lmdb_file(folder: Path) -> LmdbFile:
    """The file of a folder, which is made when it is absent; the one that this process has open already, if any.

    Raises: ConfigError where the extra is not installed; DataError for a folder that cannot be used.
    """
    place = folder.resolve()
    with _guard:
        found = _open.get(place)
        if found is None:
            found = LmdbFile(place)
            _open[place] = found
        return found
