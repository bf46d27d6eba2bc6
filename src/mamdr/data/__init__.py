"""From raw logs to what training reads: tables, readers, negatives, splits, and rows by domain."""

from mamdr.data.build import build
from mamdr.data.describe import describe
from mamdr.data.domains import Batch, Dataset, DomainData, Schema
from mamdr.data.interactions import Columns, canonical
from mamdr.data.ragged import Ragged
from mamdr.data.vectors import Vectors
from mamdr.data.vocabulary import Vocabulary

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
