"""Ciao's reviews, with the product's category as the domain.

    interactions.parquet (or .csv)    user, item, domain; rating and helpfulness are left out

Every review is a positive, whatever its stars, as with Amazon's. The files that were published first (rating.mat: user,
product, category, rating, helpfulness) are MATLAB's: write their columns under these names.
Source: Tang, Gao and Liu, WSDM 2012 ("mTrust").
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mamdr.data.interactions import Columns
from mamdr.data.readers import table, text

_NAMES = ("interactions.parquet", "interactions.csv")
_SOURCE = "Write user, item and domain of rating.mat into it"


def read(raw: Path) -> pl.DataFrame:
    """The canonical table of reviews, no label column.

    Raises: DataError for a missing file or column, and cells that are no ids, with their row.
    """
    name = next((name for name in _NAMES if (raw / name).is_file()), _NAMES[0])
    return table.read([text.find(raw, name, _SOURCE)], Columns("user", "item", "domain"))
