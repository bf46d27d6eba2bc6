"""Predictions of a state on a split, and their figures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mamdr.engine import Predictor, Session
from mamdr.evaluation.metrics import Metrics, evaluate
from mamdr.strategies import State, Strategy

Scores = NDArray[np.float32]


def predict(session: Session, strategy: Strategy, state: State, split: str) -> Iterator[tuple[int, Scores]]:
    """For each domain its id and the click probabilities of its rows, in stored order, float32.

    Cost: one pull and one forward pass a domain.
    """
    predictor = Predictor(session, session.data.split(split), state.buffers)
    for domain in range(len(session.data.schema.domains)):
        yield domain, predictor(strategy.params_for(state, domain), domain).numpy()


def measure(
    session: Session, strategy: Strategy, state: State, split: str, *, users: bool = False
) -> Metrics:
    """A state's figures on a split; with `users`, user-GAUC too."""
    rows = session.data.split(split)
    scores = [scores for _, scores in predict(session, strategy, state, split)]
    ids = rows.columns["user_id"].numpy() if users else None
    names = session.data.schema.domains
    return evaluate(names, rows.offsets.numpy(), rows.labels.numpy(), np.concatenate(scores), ids)
