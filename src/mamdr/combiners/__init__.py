"""Combiners: one gradient out of the gradients of many domains, one file a method."""

from mamdr.combiners.pcgrad import PCGrad
from mamdr.combiners.protocol import Combiner, Seen
from mamdr.combiners.registry import COMBINERS
from mamdr.combiners.weighted_loss import WeightedLoss

__all__ = ["COMBINERS", "Combiner", "PCGrad", "Seen", "WeightedLoss"]
