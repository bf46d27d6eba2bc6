"""Files and folders that are either there whole or not there at all.

Both context managers write beside the target under a name that starts with a dot, flush to disk, and rename. A
process that is killed in between leaves the old content (or none) and a dot-file that nothing ever reads, until
`sweep` removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mamdr.errors import DataError, MamdrError


def _beside(target: Path) -> Path:
    return target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}.part"


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left in a folder; nobody may be writing there."""
    for left in Path(folder).glob(".*.part"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Remove a folder: out of sight at once, so that a kill leaves no half of it behind."""
    hidden = _beside(folder)
    os.replace(folder, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn the operating system's complaint about a write (disk full, no permission) into one clear line."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write {target}: {error.strerror or error}",
            "a folder that can be written, with space left",
            "Free some space or choose another folder; nothing half-written was left behind",
        ) from error


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a file's lock, one process and thread at a time; the system lets go of that of one that is killed.

    Raises: BlockingIOError when another holds it and `wait` is False.
    """
    with disk_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `target` when the block ends well, remove it when it does not."""
    target = Path(target)
    part = _beside(target)
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            _sync(part)
            os.replace(part, target)
            _sync(target.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(
    target: Path, *, overwrite: bool = False, error: type[MamdrError] = DataError
) -> Iterator[Path]:
    """Yield a temporary folder; rename it to `target` when the block ends well, remove it when it does not.

    An existing `target` that is not empty is an error unless `overwrite`; then it is replaced at the end.
    """
    target = Path(target)
    if target.exists() and not overwrite and (not target.is_dir() or any(target.iterdir())):
        raise error(
            f"{target} already exists",
            "a folder that does not exist yet",
            "Choose another folder or remove it",
        )
    part, old = _beside(target), _beside(target)
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.mkdir()
            yield part
            for path in part.rglob("*"):
                _sync(path)
            _sync(part)
            _put_in_place(part, target, old)
            _sync(target.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def _put_in_place(part: Path, target: Path, old: Path) -> None:
    """Rename `part` to `target`; what was there becomes `old`, or comes back when that fails."""
    try:
        if target.exists():
            os.replace(target, old)
        os.replace(part, target)
    except BaseException:
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise


def write_json(target: Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all, the same bytes for the same value."""
    with atomic_file(target) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
