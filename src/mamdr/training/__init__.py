"""The outer loop and what it leaves behind: checkpoints, events, runs."""

from mamdr.training.fit import fit
from mamdr.training.options import TrainOptions
from mamdr.training.recipe import Recipe
from mamdr.training.run import Run
from mamdr.training.trainer import Trainer

__all__ = ["Recipe", "Run", "TrainOptions", "Trainer", "fit"]
