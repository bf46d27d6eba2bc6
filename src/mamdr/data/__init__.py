"""From raw logs to what training reads: tables, readers, negatives, splits, and rows by domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mamdr.data.describe import describe
from mamdr.data.domains import Batch, Dataset, DomainData, Schema
from mamdr.data.ragged import Ragged
from mamdr.data.vocabulary import Vocabulary
from mamdr.lazily import late

if TYPE_CHECKING:
    from mamdr.data.building import build
    from mamdr.data.interactions import Columns, canonical
    from mamdr.data.vectors import Vectors

__all__ = [
    "Batch",
    "Columns",
    "Dataset",
    "DomainData",
    "Ragged",
    "Schema",
    "Vectors",
    "Vocabulary",
    "build",
    "canonical",
    "describe",
]

_LATE = {"build": "building", "canonical": "interactions", "Columns": "interactions", "Vectors": "vectors"}
"""What works on tables, and so needs polars: 30 MB that training on arrays does without."""


def __getattr__(name: str) -> Any:
    return late(__name__, _LATE, name)
