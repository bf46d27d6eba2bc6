"""Combiners: one gradient out of the gradients of many domains, one file a method."""

from mamdr.combiners.aligned_mtl import AlignedMTL
from mamdr.combiners.cagrad import CAGrad
from mamdr.combiners.famo import FAMO
from mamdr.combiners.gradvac import GradVac
from mamdr.combiners.imtl_g import IMTLG
from mamdr.combiners.mgda import MGDA
from mamdr.combiners.nash_mtl import NashMTL
from mamdr.combiners.pcgrad import PCGrad
from mamdr.combiners.protocol import Combiner, Seen
from mamdr.combiners.registry import COMBINERS
from mamdr.combiners.torchjd import TorchJD
from mamdr.combiners.upgrad import UPGrad
from mamdr.combiners.weighted_loss import WeightedLoss

__all__ = [
    "COMBINERS",
    "FAMO",
    "IMTLG",
    "MGDA",
    "AlignedMTL",
    "CAGrad",
    "Combiner",
    "GradVac",
    "NashMTL",
    "PCGrad",
    "Seen",
    "TorchJD",
    "UPGrad",
    "WeightedLoss",
]
