"""The log of one machine: an LMDB file that all its processes share. A commit is on disk when `append` returns."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from mamdr.feature_store.lmdb_file import lmdb_file
from mamdr.feature_store.log import News

_META, _ENTRIES = b"m", b"e"


class LmdbLog:
    """Entries under their numbers, which go up and are never used again.

    Args:
        folder: made when it is absent.

    Raises: ConfigError where the extra is not installed; DataError for a folder that cannot be written or is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._file = lmdb_file(folder)
        self._seen = -1
        with self._file.reading() as txn:
            named = txn.get(_META + b"epoch")
        if not named:
            name = uuid.uuid4().hex.encode()
            with self._file.writing() as txn:
                txn.put(_META + b"epoch", name, overwrite=False)  # another process may have been quicker

    def changed(self) -> bool:
        return self._file.last() != self._seen

    def read(self, after: str) -> News:
        with self._file.reading() as txn:
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
        with self._file.writing() as txn:
            number = int(txn.get(_META + b"next", b"0"))
            for place, entry in enumerate(entries, number):
                txn.put(_ENTRIES + b"%020d" % place, entry)
            txn.put(_META + b"next", b"%d" % (number + len(entries)))

    def drop(self, until: str, base: str) -> None:
        with self._file.writing() as txn:
            cursor = txn.cursor()
            there = cursor.set_range(_ENTRIES)
            while there and _ENTRIES <= cursor.key() <= _ENTRIES + until.encode():
                there = cursor.delete()
            txn.put(_META + b"base", base.encode())

    def close(self) -> None:
        """Nothing to do: the file is closed when the process's last log of it goes."""
