"""Combiners by the name that a recipe uses; each is a strategy of that name (`strategies.Combined`)."""

from __future__ import annotations

from collections.abc import Callable

from mamdr.combiners.pcgrad import PCGrad
from mamdr.combiners.protocol import Combiner
from mamdr.combiners.weighted_loss import WeightedLoss

COMBINERS: dict[str, Callable[..., Combiner]] = {
    "pcgrad": PCGrad,
    "weighted_loss": WeightedLoss,
}
