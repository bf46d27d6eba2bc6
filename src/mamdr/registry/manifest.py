"""The manifest of a version: what it is, and the size and hash of each of its files."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mamdr
from mamdr.data.storage import Content, digest
from mamdr.errors import CheckpointError
from mamdr.files import write_json

FORMAT, SEVERAL = 1, 2
"""Of a version; of one where several rounds serve a domain."""
NAME = "manifest.json"
_LIBRARIES = ("torch", "numpy", "polars", "pyarrow", "safetensors")


def now() -> str:
    """The time, for people; nothing is ordered by it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def libraries() -> dict[str, str]:
    """Versions of what computed a version's parameters."""
    found = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), "mamdr": mamdr.__version__, **found}


def write_manifest(folder: Path, content: dict[str, Any], form: int = FORMAT) -> None:
    """Add the manifest to a folder whose other files are all there."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _hash(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    whole = content | {"libraries": libraries(), "created": now(), "files": files}
    write_json(folder / NAME, {"format": form, "content": whole, "sha256": digest(whole)})


def read_manifest(folder: Path) -> Content:
    """A version's manifest, checked against its own checksum, with every file there and of its size.

    Raises: CheckpointError for a folder that is absent, damaged or of another format.
    """
    path = folder / NAME
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        found, content, stated = written["format"], written["content"], written["sha256"]
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no version at {folder}", "a version that mamdr publish made", "See `mamdr versions`"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, "no JSON with format, content and sha256") from error
    if found not in (FORMAT, SEVERAL):
        raise CheckpointError(
            f"{path} is of format {found}", f"format {FORMAT} or {SEVERAL}", "Publish the run again"
        )
    if not isinstance(content, dict) or digest(content) != stated:
        raise _damaged(path, "its checksum does not agree with its content")
    for name, entry in content["files"].items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise _damaged(folder / name, "it is missing") from error
        if size != entry["bytes"]:
            raise _damaged(folder / name, f"it has {size} bytes, the manifest says {entry['bytes']}")
    return content


def verify(folder: Path) -> Content:
    """The manifest, after every byte of the version was read and compared. Cost: about a second a gigabyte.

    Raises: CheckpointError that names the first file which differs.
    """
    content = read_manifest(folder)
    for name, entry in content["files"].items():
        if _hash(folder / name) != entry["sha256"]:
            raise _damaged(folder / name, "its checksum is not the manifest's")
    return content


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged ({why})", "the files as they were published", "Publish the run again"
    )
