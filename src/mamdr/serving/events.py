"""What users were shown and what they clicked, kept as the next training log.

    pending/            LMDB: events that were acknowledged and are not in a Parquet file yet, and the ids of late ones
    events-00000001.parquet ...     the rest, in the order they came; `mamdr data import` reads them

An event is acknowledged when LMDB has it on disk. Its id makes it count once, however often it is posted. A file is
written from a stretch of events that was chosen, and put down, before: a kill while it is written only means that the
same stretch is written again, to the same name. Order and names come from counters and not from the clock.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field

from mamdr.config import component, parse
from mamdr.errors import DataError
from mamdr.feature_store.lmdb_file import lmdb_file
from mamdr.files import atomic_file, locked, sweep

_COUNT, _FILES, _STRETCH = b"m:count", b"m:files", b"m:stretch"
_EVENTS, _IDS, _ORDER = b"e", b"i", b"o"
_LONGEST = 200

Name = Annotated[str, Field(min_length=1, max_length=_LONGEST)]
Number = Annotated[int, Field(ge=0)]


@component
class Event:
    """One exposure or click.

    Args:
        id: its name, the same when it is posted again; up to 200 characters, as all names here.
        type: "exposure" or "click".
        domain, user, item: whom was shown what, and where.
        version: the model's that chose it.
        timestamp: Unix time in seconds; None for when it came.
    """

    id: Name
    type: Literal["exposure", "click"]
    domain: Name
    user: Name | Number
    item: Name | Number
    version: Name
    timestamp: int | None = None


@component
class EventSettings:
    """When events become a file.

    Args:
        rows: as soon as there are so many, >= 1.
        seconds: or so long after the last file, > 0, by a clock that never goes back.
        remember: ids of so many events, the last ones, are known when they are posted again, >= 1.
    """

    rows: Annotated[int, Field(ge=1)] = 100_000
    seconds: Annotated[float, Field(gt=0)] = 3600.0
    remember: Annotated[int, Field(ge=1)] = 1_000_000


class EventLog:
    """Takes events; all workers of a machine may have it open.

    Args:
        folder: made when it is absent. A file that a killed process was at is finished first.
        settings: see there.
        now: Unix time, for events that say none.
        clock: seconds that never go back.

    Raises: DataError for a folder that cannot be written; ConfigError where the extra `serve` is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        settings: EventSettings | None = None,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.settings = Path(folder), settings or EventSettings()
        self._now, self._clock, self._rotated_at = now, clock, clock()
        self._file = lmdb_file(self.folder / "pending")
        self._work: threading.Thread | None = None
        self._recover()

    def append(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Keep events, all or none; they are on disk when this returns.

        Args:
            events: with the keys of `Event`.

        Returns: how many are new; one whose id was posted before is not kept again.
        Raises: ConfigError for what is no event, DataError where the disk is full.
        Cost: one flush of the disk, whatever the number. When it is time for a file, a thread begins to write it.
        """
        read, came = [parse(Event, event, "event") for event in events], int(self._now())
        with self._file.writing() as txn:
            first = number = int(txn.get(_COUNT, b"0"))
            for event in read:
                if txn.put(_id_key(event.id), b"%020d" % number, overwrite=False):
                    txn.put(_EVENTS + b"%020d" % number, _to_bytes(event, came))
                    txn.put(_ORDER + b"%020d" % number, _id_key(event.id))
                    number += 1
            txn.put(_COUNT, b"%d" % number)
        if self.due() and (self._work is None or not self._work.is_alive()):
            self._work = threading.Thread(target=self._try_to_rotate, daemon=True)
            self._work.start()
        return number - first

    def due(self) -> bool:
        """Whether it is time for a file."""
        waiting = self.pending()
        late = self._clock() - self._rotated_at >= self.settings.seconds
        return waiting >= self.settings.rows or (late and waiting > 0)

    def pending(self) -> int:
        """Events that are not in a file yet."""
        with self._file.reading() as txn:
            first = _first(txn, _EVENTS)
            return 0 if first is None else int(txn.get(_COUNT)) - first

    def rotate(self) -> Path | None:
        """Write all pending events as the next file; None when there are none.

        Raises: DataError where the disk is full; the events stay pending.
        """
        with locked(self.folder / "lock"):
            self._rotated_at = self._clock()
            with self._file.writing() as txn:
                stretch = _choose(txn)
            if stretch is None:
                return None
            number, until = stretch
            with self._file.reading() as txn:
                rows = [json.loads(value) for _, value in _until(txn, _EVENTS, until)]
            target = self.folder / f"events-{number:08d}.parquet"
            buffer = io.BytesIO()
            pl.DataFrame(rows, schema=_SCHEMA).write_parquet(buffer)
            with atomic_file(target) as part:
                part.write_bytes(buffer.getvalue())
            with self._file.writing() as txn:
                _settle(txn, number, until, self.settings.remember)
            return target

    def files(self) -> list[Path]:
        """The files, in order."""
        return sorted(self.folder.glob("events-*.parquet"))

    def _recover(self) -> None:
        with suppress(BlockingIOError), locked(self.folder / "lock", wait=False):  # else a writer is at work
            sweep(self.folder)
        with self._file.reading() as txn:
            begun = txn.get(_STRETCH)
        if begun:
            self.rotate()

    def _try_to_rotate(self) -> None:
        """Where it fails, the events stay pending, and the next append tries again."""
        try:
            self.rotate()
        except DataError as error:
            logging.getLogger(__name__).warning("events stay pending: %s", error)


_SCHEMA = {
    "user_id": pl.String,
    "item_id": pl.String,
    "domain": pl.String,
    "label": pl.Int8,
    "timestamp": pl.Int64,
    "event": pl.String,
    "type": pl.String,
    "version": pl.String,
}


def _to_bytes(event: Event, came: int) -> bytes:
    row = {
        "user_id": str(event.user),
        "item_id": str(event.item),
        "domain": event.domain,
        "label": int(event.type == "click"),
        "timestamp": came if event.timestamp is None else event.timestamp,
        "event": event.id,
        "type": event.type,
        "version": event.version,
    }
    return json.dumps(row, separators=(",", ":")).encode()


def _id_key(name: str) -> bytes:
    """A key that any id fits in: LMDB's have 511 bytes at most, an id of 200 characters up to 800."""
    return _IDS + hashlib.blake2b(name.encode(), digest_size=24).digest()


def _first(txn: Any, prefix: bytes) -> int | None:
    """The first number under a prefix."""
    cursor = txn.cursor()
    if not cursor.set_range(prefix) or not cursor.key().startswith(prefix):
        return None
    return int(cursor.key()[1:])


def _until(txn: Any, prefix: bytes, until: int) -> list[tuple[bytes, bytes]]:
    """Keys and values under a prefix whose numbers are smaller."""
    cursor, found = txn.cursor(), []
    there = cursor.set_range(prefix)
    while there and cursor.key().startswith(prefix) and int(cursor.key()[1:]) < until:
        found.append((bytes(cursor.key()), bytes(cursor.value())))
        there = cursor.next()
    return found


def _choose(txn: Any) -> tuple[int, int] | None:
    """The next file's number and where its events end: put down once, and the same until the file is done."""
    begun = txn.get(_STRETCH)
    if begun:
        number, until = map(int, begun.split())
        return number, until
    if _first(txn, _EVENTS) is None:
        return None
    number, until = int(txn.get(_FILES, b"0")) + 1, int(txn.get(_COUNT, b"0"))
    txn.put(_STRETCH, b"%d %d" % (number, until))
    return number, until


def _settle(txn: Any, number: int, until: int, remember: int) -> None:
    """Let go of events that are in their file, and of ids that are older than is remembered."""
    for key, _ in _until(txn, _EVENTS, until):
        txn.delete(key)
    for key, named in _until(txn, _ORDER, until - remember):
        txn.delete(named)
        txn.delete(key)
    txn.put(_FILES, b"%d" % number)
    txn.delete(_STRETCH)
