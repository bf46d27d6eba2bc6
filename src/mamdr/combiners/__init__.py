"""Combiners: one gradient out of the gradients of many domains, one file a method."""

from mamdr.combiners.protocol import Combiner, Seen

__all__ = ["Combiner", "Seen"]
