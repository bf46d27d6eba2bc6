"""The folder that holds built data: its manifest, its checksums, and how damage is noticed.

    manifest.json               {"content": {...}, "sha256": of the content}; no time stamps, for equal bytes
    vocabulary/COLUMN.parquet   the raw values of an id column
    vectors/COLUMN.npy          float32 [number of ids, width], for a column whose ids have vectors made elsewhere
    SPLIT/COLUMN.npy            int32 ids or float32 numbers, a domain together; SPLIT: train, val, test
    SPLIT/label.npy             float32
    SPLIT/offsets.npy           int64 [D + 1]
    SPLIT/starts/COLUMN.npy     int64 [N + 1], where each list of a column of lists begins in SPLIT/COLUMN.npy

Loading checks the manifest's checksum and every file's size; `verify` reads and checks all bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from mamdr.errors import DataError
from mamdr.files import atomic_folder, write_json

FORMAT, VERSION = "mamdr-data", 1
Array = npt.NDArray[Any]
Content = dict[str, Any]


class _Hashed:
    """A file-like object that keeps only the number and the hash of the bytes written to it."""

    def __init__(self) -> None:
        self.size, self.hash = 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self.hash.update(data)
        return len(data)

    def entry(self) -> dict[str, Any]:
        return {"bytes": self.size, "sha256": self.hash.hexdigest()}


def column_path(split: str, column: str) -> str:
    """Where a column lies inside the folder; signs that some file system forbids are escaped.

    >>> column_path("train", "user:age")
    'train/user%3Aage.npy'
    """
    return f"{split}/{quote(column, safe='')}.npy"


def starts_path(split: str, column: str) -> str:
    """Where it lies at which id each list of a column begins.

    >>> starts_path("train", "item:tags")
    'train/starts/item%3Atags.npy'
    """
    return column_path(f"{split}/starts", column)


def digest(content: Content) -> str:
    """SHA-256 of a manifest's content: the fingerprint of the data, for it holds every file's own hash."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def entries(arrays: Mapping[str, Array], blobs: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """Size and hash that each array (as .npy) and each blob will have on disk, by path inside the folder."""
    files: dict[str, dict[str, Any]] = {}
    for path, array in arrays.items():
        sink = _Hashed()
        np.lib.format.write_array(sink, np.ascontiguousarray(array), allow_pickle=False)
        files[path] = sink.entry()
    for path, blob in blobs.items():
        files[path] = {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
    return files


def refuse_existing(folder: Path, *, overwrite: bool) -> None:
    """Refuse a target that holds anything, unless it is built data that may be overwritten."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if overwrite and (folder / "manifest.json").is_file():
        return
    found = "holds something else than built data" if overwrite else "already exists"
    raise DataError(
        f"{folder} {found}", "a folder that does not exist yet", "Choose another folder or remove it"
    )


def write(
    folder: Path,
    content: Content,
    arrays: Mapping[str, Array],
    blobs: Mapping[str, bytes],
    *,
    overwrite: bool,
) -> None:
    """Write the whole folder, or nothing."""
    refuse_existing(folder, overwrite=overwrite)
    with atomic_folder(folder, overwrite=overwrite) as part:
        put(part, arrays, blobs)
        seal(part, content)


def put(folder: Path, arrays: Mapping[str, Array], blobs: Mapping[str, bytes]) -> None:
    """Write arrays (as .npy) and blobs under their paths inside the folder."""
    for path, array in arrays.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / path, np.ascontiguousarray(array), allow_pickle=False)
    for path, blob in blobs.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(blob)


def seal(folder: Path, content: Content) -> None:
    """Write the manifest, which makes a folder built data."""
    write_json(folder / "manifest.json", {"content": content, "sha256": digest(content)})


def _damaged(found: str) -> DataError:
    return DataError(found, "the files exactly as mamdr wrote them", "Build the data again")


def read_manifest(folder: Path, form: str = FORMAT) -> Content:
    """The manifest's content, checked: its own checksum, its format, and every file's presence and size.

    Args:
        form: the format that it must say; other parts of mamdr keep other things in such folders.

    Raises: DataError for a folder that is absent, no data folder, damaged, half-written or of another format.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        found = f"{folder} holds no manifest.json" if folder.exists() else f"there is no folder {folder}"
        raise DataError(
            found, "a folder of built data", "Make one with `mamdr data build`, `import` or `synthetic`"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        content, written = manifest["content"], manifest["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(f"{path} is damaged: no JSON with content and sha256") from error
    if not isinstance(content, dict) or digest(content) != written:
        raise _damaged(f"{path} is damaged: its checksum does not agree with its content")
    if (content.get("format"), content.get("version")) != (form, VERSION):
        raise DataError(
            f"{path} is of format {content.get('format')} {content.get('version')}",
            f"{form} {VERSION}",
            "Build the data again with this version of mamdr",
        )
    for name, entry in content["files"].items():
        size = (folder / name).stat().st_size if (folder / name).is_file() else None
        if size is None:
            raise _damaged(f"{folder / name} is missing")
        if size != entry["bytes"]:
            raise _damaged(f"{folder / name} has {size} bytes where the manifest says {entry['bytes']}")
    return content


def read_array(folder: Path, name: str, dtype: type[np.generic], *shape: int) -> Array:
    """A column as a copy-on-write memory map (writes stay private), checked for kind and shape."""
    path = folder / name
    try:
        array: Array = np.load(path, mmap_mode="c" if all(shape) else None, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise _damaged(f"{path} cannot be read ({error})") from error
    if array.dtype != np.dtype(dtype) or array.shape != shape:
        raise _damaged(f"{path} holds {array.dtype} {list(array.shape)}, not {np.dtype(dtype)} {list(shape)}")
    return array


def verify(folder: Path, progress: Callable[[str, int, int], None] | None = None, form: str = FORMAT) -> None:
    """Read every file and compare its SHA-256 with the manifest's. Cost: about a second a gigabyte.

    Raises: DataError that names the first file which differs.
    """
    files = read_manifest(Path(folder), form)["files"]
    for number, (name, entry) in enumerate(files.items()):
        if progress:
            progress(f"checking {name}", number, len(files))
        with open(Path(folder) / name, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                raise _damaged(f"{Path(folder) / name} is damaged: its checksum is not the manifest's")
