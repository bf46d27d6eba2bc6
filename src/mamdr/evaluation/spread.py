"""A mean over seeds and how sure it is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

_T = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)
"""Student's t at 97.5 % for 1 to 30 degrees of freedom."""


class Spread(NamedTuple):
    """A mean, half the width of its 95 % interval (None for a single value), and of how many values."""

    mean: float
    half: float | None
    values: int

    def __str__(self) -> str:
        return f"{self.mean:.4f}" if self.half is None else f"{self.mean:.4f} ± {self.half:.4f}"


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and Student's 95 % interval, mean ± t · s / √n; None of nothing.

    >>> str(spread([0.70, 0.71, 0.72])), str(spread([0.7])), spread([])
    ('0.7100 ± 0.0248', '0.7000', None)
    """
    if not values:
        return None
    if len(values) == 1:
        return Spread(float(values[0]), None, 1)
    return Spread(
        statistics.fmean(values),
        _t(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values)),
        len(values),
    )


def _t(freedom: int) -> float:
    """Student's t at 97.5 %; beyond the table by the first terms of its expansion around the normal one."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
