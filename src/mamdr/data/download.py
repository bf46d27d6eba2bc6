"""Fetch raw files: with progress, sizes checked, going on where a broken download ended, whole or not at all."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mamdr.errors import DataError
from mamdr.files import disk_errors

_BLOCK = 1 << 20
TIMEOUT = 30  # seconds without a byte


@dataclass(frozen=True)
class Remote:
    """A file on a server.

    Args:
        name: what it is called in the raw folder.
        url: where it is.
    """

    name: str
    url: str


def download(
    files: Iterable[Remote], folder: Path, progress: Callable[[str, int, int], None] | None = None
) -> None:
    """Fetch the files that a folder lacks.

    A file is written as `.NAME.download` and gets its name when it has the size that the server says. What a broken
    download left is gone on with, where the server can, else begun anew. A file that is there is left alone.

    Args:
        progress: called with a text, bytes done, and bytes in all (0 when the server does not say).

    Raises: DataError naming the file and its address when there is no network, the server refuses, the size is another
        than promised, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        target = folder / file.name
        if not target.exists():
            _fetch(file, target, progress or (lambda text, done, total: None))


def _fetch(file: Remote, target: Path, progress: Callable[[str, int, int], None]) -> None:
    part = target.with_name(f".{target.name}.download")
    begun = part.stat().st_size if part.exists() else 0
    try:
        with _open(file, begun) as answer:
            if answer.status != http.client.PARTIAL_CONTENT:
                begun = 0  # the server sends all of it
            length = answer.headers.get("Content-Length")
            total = begun + int(length) if length else 0
            with disk_errors(target), part.open("ab" if begun else "wb") as out:
                _copy(answer, out, begun, total, f"fetching {file.name}", progress)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and begun:
            part.unlink()  # longer than the file is now: begin anew
            return _fetch(file, target, progress)
        raise _failed(file, f"the server answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _failed(file, str(getattr(error, "reason", error)) or type(error).__name__) from error
    if total and part.stat().st_size != total:
        raise _failed(file, f"{part.stat().st_size:,} bytes came of {total:,}")
    with disk_errors(target):
        os.replace(part, target)
    return None


def _open(file: Remote, begun: int) -> http.client.HTTPResponse:
    request = urllib.request.Request(file.url, headers={"User-Agent": "mamdr"})
    if begun:
        request.add_header("Range", f"bytes={begun}-")
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    return answer


def _copy(
    answer: IO[bytes],
    out: IO[bytes],
    done: int,
    total: int,
    text: str,
    progress: Callable[[str, int, int], None],
) -> None:
    progress(text, done, total)
    while block := answer.read(_BLOCK):
        out.write(block)
        done += len(block)
        progress(text, done, total)
    out.flush()
    os.fsync(out.fileno())


def _failed(file: Remote, why: str) -> DataError:
    return DataError(
        f"{file.name} could not be fetched from {file.url}: {why}",
        "an answer with the whole file",
        "Try again (what came is kept), or fetch it by hand into the raw folder",
    )
