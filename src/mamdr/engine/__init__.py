"""The engine: the one inner loop, what it computes on, and who runs it."""

from mamdr.engine import inner
from mamdr.engine.batched import Batched
from mamdr.engine.choose import choose
from mamdr.engine.options import WalkOptions
from mamdr.engine.predict import Predictor
from mamdr.engine.processes import Processes
from mamdr.engine.sequential import Sequential
from mamdr.engine.session import Session
from mamdr.engine.trace import trace
from mamdr.engine.walk import Walker

__all__ = [
    "Batched",
    "Predictor",
    "Processes",
    "Sequential",
    "Session",
    "WalkOptions",
    "Walker",
    "choose",
    "inner",
    "trace",
]
