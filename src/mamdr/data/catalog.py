"""The raw sources that can be named on the command line, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from mamdr.config import lookup
from mamdr.data.build import Progress
from mamdr.data.readers import amazon

Reader = Callable[[Path, list[str] | None, Progress | None], pl.DataFrame]

SOURCES: Mapping[str, Reader] = {"amazon": amazon.read}
"""Name -> reader(folder of raw files, categories or None for all, progress): a canonical table."""


def source(name: str) -> Reader:
    """The reader of a named source; ConfigError, with the nearest name, for one that is not in the table."""
    return lookup(SOURCES, name, "source")
