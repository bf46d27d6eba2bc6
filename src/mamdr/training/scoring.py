"""Predictions of a state on a split, and their figures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from mamdr.data.domains import Dataset
from mamdr.engine import Predictor, Session
from mamdr.errors import DataError
from mamdr.evaluation.metrics import Metrics, evaluate
from mamdr.strategies import State, Strategy, served

Scores = NDArray[np.float32]
Progress = Callable[[str, int, int], None]
"""Told of work as it is done: what, steps done, steps in all."""


def predict(
    session: Session, strategy: Strategy, state: State, split: str, domains: Iterable[int] | None = None
) -> Iterator[tuple[int, Scores]]:
    """For each of these domains (default: all) its id and its rows' click probabilities, in stored order, float32.

    Cost: see `Predictor.many`.
    """
    predictor = Predictor(session, session.data.split(split), state.buffers)
    chosen = range(len(session.data.schema.domains)) if domains is None else domains
    for domain, scores in predictor.many(functools.partial(served, strategy, state), chosen):
        yield domain, scores.numpy()


def measure(
    session: Session,
    strategy: Strategy,
    state: State,
    split: str,
    *,
    users: bool = False,
    progress: Progress | None = None,
) -> Metrics:
    """A state's figures on a split; with `users`, user-GAUC too."""
    rows, names = session.data.split(split), session.data.schema.domains
    scores = []
    for domain, probabilities in predict(session, strategy, state, split):
        scores.append(probabilities)
        if progress is not None:
            progress(f"scoring {names[domain]}", domain + 1, len(names))
    ids = rows.columns["user_id"].numpy() if users else None
    return evaluate(names, rows.offsets.numpy(), rows.labels.numpy(), np.concatenate(scores), ids)


def watched(metrics: Metrics, monitor: str) -> float:
    """The figure that chooses the best round.

    Raises:
        DataError: it cannot be computed.
    """
    value: float | None = getattr(metrics, monitor)
    if value is None:
        raise DataError(
            "no domain has both clicked and unclicked validation rows",
            "at least one",
            "Give the data set more rows, or another split seed",
        )
    return value


def check_data(data: Dataset, monitor: str) -> None:
    """Find out before the first round what would be found out after it: whether there are rows to train on, and to
    choose by.

    Raises:
        DataError: there are not.
    """
    if not len(data.train):
        raise DataError("no training rows", "rows in the train split", "Build the data set anew")
    names, val = data.schema.domains, data.val
    even = np.full(len(val), 0.5)
    watched(evaluate(names, val.offsets.numpy(), val.labels.numpy(), even), monitor)
