"""Learning strategies: what to walk, and what becomes of it."""

from mamdr.strategies.combined import Combined
from mamdr.strategies.finetune import Finetune
from mamdr.strategies.freeze import Freeze
from mamdr.strategies.joint import Joint
from mamdr.strategies.maml import MAML
from mamdr.strategies.mldg import MLDG
from mamdr.strategies.negotiation import Alternate, DomainNegotiation
from mamdr.strategies.notes import notes
from mamdr.strategies.protocol import (
    SEATS,
    Leg,
    Meta,
    Outcome,
    Part,
    Problem,
    Run,
    State,
    Strategy,
    Walk,
    seat,
    served,
)
from mamdr.strategies.registry import STRATEGIES, build, describe
from mamdr.strategies.regularization import DomainRegularization
from mamdr.strategies.reptile import Reptile
from mamdr.strategies.separate import Separate
from mamdr.strategies.then import MAMDR, Then

__all__ = [
    "MAMDR",
    "MAML",
    "MLDG",
    "SEATS",
    "STRATEGIES",
    "Alternate",
    "Combined",
    "DomainNegotiation",
    "DomainRegularization",
    "Finetune",
    "Freeze",
    "Joint",
    "Leg",
    "Meta",
    "Outcome",
    "Part",
    "Problem",
    "Reptile",
    "Run",
    "Separate",
    "State",
    "Strategy",
    "Then",
    "Walk",
    "build",
    "describe",
    "notes",
    "seat",
    "served",
]
