"""What travels: arrays of ids and of values."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = list[NDArray[np.int64]]
"""For each table, ids of rows, sorted."""

Values = NDArray[Any]
"""A point's flat values."""

Key = tuple[int, int]
"""A walk: its round, and its number within it."""


def tensor(values: Values | NDArray[np.int64]) -> Tensor:
    """An array that came, as a tensor to read: it may lie in shared memory that must not be written to. No copy."""
    if values.flags.writeable:
        return torch.from_numpy(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.from_numpy(values)
