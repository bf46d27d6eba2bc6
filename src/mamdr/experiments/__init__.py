"""The paper's tables and figures as declarative grids: what is compared, run cell by cell, and shown.

design.py      a grid of recipes, and its cells
catalog.py     the experiments by name
published.py   what the paper prints
results.py     one cell: trained, measured, kept
runner.py      all cells, in turn or several at once, never one twice
estimate.py    how long it will take
tables.py      cells to entries: means, intervals, ranks
forms.py       entries to text
page.py        entries to a page
write.py       both to files
"""

from mamdr.experiments.catalog import EXPERIMENTS
from mamdr.experiments.design import Cell, Experiment, Line, cells
from mamdr.experiments.runner import run

__all__ = ["EXPERIMENTS", "Cell", "Experiment", "Line", "cells", "run"]
