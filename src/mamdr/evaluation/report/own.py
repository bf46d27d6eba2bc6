"""What serves a domain in each run: the share of its own part, and its own round, as columns of the page's tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mamdr.evaluation.report.summary import Floats, RunSummary
from mamdr.evaluation.report.tables import Column, cell
from mamdr.evaluation.report.text import own


class Own(NamedTuple):
    """A figure of what a domain has of its own.

    Attributes:
        key: its name in the page's data.
        title: of its columns.
        note: what it means, in the page's words.
        unit: the page's data hold it as whole numbers, so many to one.
        of: its values of a run [D], NaN where a domain has none; None for a run in which no domain has one.
    """

    key: str
    title: str
    note: str
    unit: int
    of: Callable[[RunSummary], Floats | None]


OWN = (
    Own(
        "share",
        "Share λ",
        "How much of its own part serves a domain, beside the shared parameters: 1 is all of it, 0 leaves the "
        "shared parameters alone; where a run is fine-tuned, of what fine-tuning added. Chosen on validation "
        "where train.shares says so, else 1. None: the domain has no part of its own, as in all domains of a "
        "run without this column.",
        10_000,
        lambda run: run.shares,
    ),
    Own(
        "round",
        "Own round",
        "The round whose parameters serve a domain: that of its own highest validation AUC (train.choose = "
        "'domain'); with train.mean_within the best of those whose mean does, with train.snapshots the best of those "
        "that score together. None: it has no validation AUC, and the run's best round serves it.",
        1,
        lambda run: run.own_rounds,
    ),
)


def own_columns(runs: Sequence[RunSummary]) -> list[Column]:
    """The columns of a table whose rows are each about one of these runs: those that any of them has."""
    return [Column(figure.title) for figure in known(runs)]


def own_cells(runs: Sequence[RunSummary], run: RunSummary, domain: int) -> list[str]:
    """A row's cells in those columns."""
    columns = (figure.of(run) for figure in known(runs))
    return [cell(own(None if column is None else float(column[domain]))) for column in columns]


def known(runs: Sequence[RunSummary]) -> list[Own]:
    """Those figures that some run has."""
    return [figure for figure in OWN if any(figure.of(run) is not None for run in runs)]
