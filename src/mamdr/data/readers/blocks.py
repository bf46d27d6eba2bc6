"""A file of any size as blocks of whole lines, each with the number of its first line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from mamdr.errors import DataError

_BLOCK = 1 << 25  # bytes parsed at once: memory stays bounded for files of any size


def blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Whole lines of a file, compressed where its name ends in .gz, in blocks; the first line is 1.

    Raises: DataError for a gzip file that breaks off or is none, with the line after which.
    """
    line, rest = 1, b""
    opener = cast(Callable[[Path, str], IO[bytes]], gzip.open if path.suffix == ".gz" else open)
    with opener(path, "rb") as file:
        while True:
            try:
                data = file.read(_BLOCK)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise DataError(
                    f"{path.name} is no whole gzip file: it breaks off or is damaged after line "
                    f"{line + rest.count(10)} ({error})",
                    f"a complete {''.join(path.suffixes[-2:])} file",
                    "Fetch the file again",
                ) from error
            end = data.rfind(b"\n") + 1
            block = rest + (data[:end] if data else b"")
            rest = data[end:] if end or not data else rest + data
            if not data:
                break
            if end:
                yield block, line
                line += block.count(b"\n")
    if block.strip():
        yield block, line
