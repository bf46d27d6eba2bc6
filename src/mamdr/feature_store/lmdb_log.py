"""The log of one machine: an LMDB file that all its processes share. A commit is on disk when `append` returns."""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mamdr.errors import ConfigError, DataError
from mamdr.feature_store.log import News

_FIRST_SIZE = 1 << 26
_META, _ENTRIES = b"m", b"e"
_open: weakref.WeakValueDictionary[Path, _Environment] = weakref.WeakValueDictionary()
_guard = threading.Lock()


class LmdbLog:
    """Entries under their numbers, which go up and are never used again.

    Args:
        folder: made when it is absent.

    Raises: ConfigError where the extra is not installed; DataError for a folder that cannot be written or is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._environment = _environment(folder)
        self._seen = -1

    def changed(self) -> bool:
        return self._environment.last() != self._seen

    def read(self, after: str) -> News:
        with self._environment.reading() as txn:
            self._seen = txn.id()
            entries = []
            cursor = txn.cursor()
            begin = _ENTRIES + after.encode()
            there = cursor.set_range(begin)
            if there and after and cursor.key() == begin:
                there = cursor.next()
            while there and cursor.key().startswith(_ENTRIES):
                entries.append((cursor.key()[1:].decode(), bytes(cursor.value())))
                there = cursor.next()
            epoch, base = (txn.get(_META + name, b"").decode() for name in (b"epoch", b"base"))
        return News(epoch, base, entries)

    def append(self, entries: Sequence[bytes]) -> None:
        def add(txn: Any) -> None:
            number = int(txn.get(_META + b"next", b"0"))
            for entry in entries:
                txn.put(_ENTRIES + b"%020d" % number, entry)
                number += 1
            txn.put(_META + b"next", b"%d" % number)

        self._environment.write(add)

    def drop(self, until: str, base: str) -> None:
        def forget(txn: Any) -> None:
            cursor = txn.cursor()
            there = cursor.set_range(_ENTRIES)
            while there and _ENTRIES <= cursor.key() <= _ENTRIES + until.encode():
                there = cursor.delete()
            txn.put(_META + b"base", base.encode())

        self._environment.write(forget)

    def close(self) -> None:
        """Nothing to do: the file is closed when the process's last log of it goes."""


class _Environment:
    """An LMDB file, which a process may open once; it grows as it fills."""

    def __init__(self, folder: Path) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise ConfigError(
                "updates of a feature store without lmdb", "the extra `serve`", "pip install 'mamdr[serve]'"
            ) from error
        self.lmdb, self.folder, self._writing = lmdb, folder, threading.Lock()
        with self._told():
            folder.mkdir(parents=True, exist_ok=True)
            size = max(_FIRST_SIZE, 2 * _bytes(folder))
            self._env = lmdb.open(str(folder), map_size=size, max_readers=1024, subdir=True)
            self._env.reader_check()  # slots of processes that were killed
        if not self._get(b"epoch"):
            self.write(lambda txn: txn.put(_META + b"epoch", uuid.uuid4().hex.encode(), overwrite=False))

    def last(self) -> int:
        """The number of the last commit of any process."""
        return int(self._env.info()["last_txnid"])

    @contextmanager
    def reading(self) -> Iterator[Any]:
        with self._told():
            try:
                txn = self._env.begin()
            except self.lmdb.MapResizedError:  # another process made it larger
                self._env.set_mapsize(0)
                txn = self._env.begin()
            with txn:
                yield txn

    def write(self, change: Any) -> None:
        """Run one transaction, whole or not at all, with as much room as it needs."""
        with self._told(), self._writing:
            while True:
                try:
                    with self._env.begin(write=True) as txn:
                        change(txn)
                    return
                except self.lmdb.MapFullError:
                    self._env.set_mapsize(2 * self._env.info()["map_size"])
                except self.lmdb.MapResizedError:
                    self._env.set_mapsize(0)

    def _get(self, name: bytes) -> bytes:
        with self.reading() as txn:
            found: bytes = txn.get(_META + name, b"")
            return found

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (self.lmdb.Error, OSError) as error:
            raise DataError(
                f"{self.folder} cannot be used ({error})",
                "a folder of updates that can be written, with space left",
                "Free some space; a damaged one can be removed, and the snapshot stays",
            ) from error


def _environment(folder: Path) -> _Environment:
    place = folder.resolve()
    with _guard:
        found = _open.get(place)
        if found is None:
            found = _Environment(place)
            _open[place] = found
        return found


def _bytes(folder: Path) -> int:
    data = folder / "data.mdb"
    return data.stat().st_size if data.is_file() else 0
