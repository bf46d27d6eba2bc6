"""Combiners by the name that a recipe uses; each is a strategy of that name (`strategies.Combined`)."""

from __future__ import annotations

from collections.abc import Callable

from mamdr.combiners.aligned_mtl import AlignedMTL
from mamdr.combiners.cagrad import CAGrad
from mamdr.combiners.famo import FAMO
from mamdr.combiners.gradvac import GradVac
from mamdr.combiners.imtl_g import IMTLG
from mamdr.combiners.mgda import MGDA
from mamdr.combiners.nash_mtl import NashMTL
from mamdr.combiners.pcgrad import PCGrad
from mamdr.combiners.protocol import Combiner
from mamdr.combiners.torchjd import TorchJD
from mamdr.combiners.upgrad import UPGrad
from mamdr.combiners.weighted_loss import WeightedLoss

COMBINERS: dict[str, Callable[..., Combiner]] = {
    "aligned_mtl": AlignedMTL,
    "cagrad": CAGrad,
    "famo": FAMO,
    "gradvac": GradVac,
    "imtl_g": IMTLG,
    "mgda": MGDA,
    "nash_mtl": NashMTL,
    "pcgrad": PCGrad,
    "torchjd": TorchJD,
    "upgrad": UPGrad,
    "weighted_loss": WeightedLoss,
}
