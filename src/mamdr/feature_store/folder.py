"""A feature store as a folder: its snapshots, which of them counts, and the updates since.

    snapshots/000001/ 000002/ ...   immutable (`mamdr.feature_store.files`)
    current                         {"snapshot": "000002"}: the one that counts
    updates/                        LMDB (`mamdr.feature_store.lmdb_log`)
    lock                            held by the one process that compacts

A compaction writes the next snapshot, then sets `current`, then drops from the log what the snapshot holds. To replay
an update that a snapshot holds already changes nothing, so a kill between any two of these steps loses nothing and
doubles nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mamdr.data import storage
from mamdr.data.domains import Dataset
from mamdr.data.portion import Progress
from mamdr.errors import DataError
from mamdr.feature_store import files
from mamdr.feature_store.build import content_of
from mamdr.feature_store.content import Content
from mamdr.feature_store.folding import folded
from mamdr.feature_store.lmdb_log import LmdbLog
from mamdr.feature_store.log import Log
from mamdr.feature_store.overlay import OverlayStore
from mamdr.feature_store.protocol import FeatureStore
from mamdr.feature_store.redis_log import RedisLog
from mamdr.feature_store.snapshot import Snapshot
from mamdr.files import atomic_folder, discard, locked, sweep, write_json

KEEP = 2
"""Snapshots that a compaction leaves, the new one among them."""


def create(data: str | Path, folder: str | Path) -> None:
    """Make a store from a data folder, whole or not at all.

    Raises: DataError for a folder that exists already, or data that are damaged or have no vocabularies.
    """
    with atomic_folder(Path(folder)) as part:
        files.save(content_of(Dataset.load(data)), part / "snapshots" / _name(1))
        write_json(part / "current", {"snapshot": _name(1)})


def open_store(
    path: str | Path, *, redis: str | None = None, max_age: float = 0.0, updates: bool = True
) -> FeatureStore:
    """Open a store's folder, or read a data folder into memory.

    Args:
        path: what `create` made, or a data folder, which takes no updates.
        redis: the URL of a Redis that keeps the updates for several machines, instead of the folder itself. Each
            machine has the same snapshot in a folder of its own.
        max_age: seconds for which what Redis said counts as fresh; with 0 every read asks it.
        updates: with False the snapshot alone is opened; it takes no updates and sees none.

    Raises: DataError for a folder that is neither, or damaged; ConfigError where an extra is missing.
    """
    folder = Path(path)
    if not (folder / "current").is_file():
        if redis is not None:
            raise DataError(
                f"{folder} is no feature store", "what `mamdr store build` makes", "Build it first"
            )
        return Snapshot(content_of(Dataset.load(folder)))
    if not updates:
        version, content = open_snapshot(folder)
        return Snapshot(content, version)
    return open_updatable(folder, redis=redis, max_age=max_age)


def open_updatable(folder: str | Path, *, redis: str | None = None, max_age: float = 0.0) -> OverlayStore:
    """Open a store's folder with its updates; see `open_store`."""
    place = Path(folder)
    return OverlayStore(_log(place, redis, max_age), lambda least: open_snapshot(place, least))


def open_snapshot(folder: Path, least: str = "") -> tuple[str, Content]:
    """The version that counts, and its content.

    Args:
        least: a version that it must not be older than.

    Raises: DataError where it is older, absent or damaged.
    """
    while True:
        version = current(folder)
        if version < least:
            raise DataError(
                f"{folder} has snapshot {version} where the updates stand on {least}",
                "the newer snapshot",
                "Copy it from the machine that compacted",
            )
        try:
            return version, files.load(folder / "snapshots" / version)
        except DataError:
            if current(folder) == version:  # else it was compacted away meanwhile
                raise


def current(folder: Path) -> str:
    """The version of the snapshot that counts."""
    try:
        found: str = json.loads((folder / "current").read_text(encoding="utf-8"))["snapshot"]
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} holds no file `current` that names a snapshot",
            "a folder that `mamdr store build` made",
            "Build the store",
        ) from error


def compact(folder: str | Path, *, redis: str | None = None, forget: bool = True) -> str:
    """Write the next snapshot from the one that counts and the updates since.

    Args:
        redis: where the updates are, if not in the folder.
        forget: drop the updates that the snapshot holds. With several machines, first copy the snapshot to all of them,
            and then compact with True.

    Returns: the version that counts then; the present one where there is nothing to compact.
    Raises: DataError when another process compacts, or the disk is full; ServiceError when Redis is away.
    """
    folder = Path(folder)
    with _alone(folder):
        sweep(folder / "snapshots")
        sweep(folder)
        log = _log(folder, redis, 0.0)
        store = OverlayStore(log, lambda least: open_snapshot(folder, least))
        layers, until = store.settled()
        if not until:
            return store.version
        after = _name(int(max(path.name for path in (folder / "snapshots").iterdir())) + 1)
        files.save(folded(layers), folder / "snapshots" / after)
        write_json(folder / "current", {"snapshot": after})
        if forget:
            log.drop(until, after)
            _retire(folder, after)
        store.close()
        return after


def verify(folder: str | Path, progress: Progress | None = None) -> None:
    """Read all bytes of the snapshot that counts and compare their checksums.

    Raises: DataError that names the first file which differs.
    """
    storage.verify(Path(folder) / "snapshots" / current(Path(folder)), progress, files.FORMAT)


def _log(folder: Path, redis: str | None, max_age: float) -> Log:
    if redis is None:
        return LmdbLog(folder / "updates")
    _, content = open_snapshot(folder)
    return RedisLog(redis, content.fingerprint[:16], max_age)


def _name(number: int) -> str:
    return f"{number:06d}"


def _retire(folder: Path, newest: str) -> None:
    """Remove old snapshots; who has one open keeps it until it is closed."""
    names = sorted(path.name for path in (folder / "snapshots").iterdir() if path.name <= newest)
    for name in names[:-KEEP]:
        discard(folder / "snapshots" / name)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only process that compacts."""
    current(folder)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / "lock", wait=False))
        except BlockingIOError as error:
            raise DataError(
                f"{folder} is being compacted by another process", "one at a time", "Wait until it is done"
            ) from error
        yield
