r"""A domain joins a model that is trained already: its specific part is learned, everything else keeps its bits.

Each round is Domain Regularization's of the new domain i alone, over helpers j among the domains that the model knows:

    θ_i ← θ_i + specific_lr · walk(θ_S + θ_i, [j, i])

The round with the best validation AUC is kept. The gate lets it serve if that AUC is not below the one that the shared
parameters have on the same rows.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from mamdr.config import component
from mamdr.engine import Predictor, Sequential, Session, Walker
from mamdr.evaluation.auc import grouped_auc
from mamdr.parameters import Point
from mamdr.seeds import derive
from mamdr.strategies import DomainRegularization, Problem, State, Strategy, Then
from mamdr.strategies.then import MAMDR

Told = Callable[[int], None]
"""Told of the round that is done."""


@component
class JoinOptions:
    """How a domain joins.

    Args:
        rounds: at most, >= 1.
        patience: rounds without a better validation AUC before it ends.
        shares: λ, how much of the part may serve; the one that validation prefers does (the smallest of several).
        ctr_ratio: positives per negative, where negatives are drawn.
        minimum: positives that it takes to begin, >= 1.
        seed: of the split, of negatives and of walks.
    """

    rounds: Annotated[int, Field(ge=1)] = 20
    patience: Annotated[int, Field(ge=1)] = 3
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.25, 0.5, 0.75, 1.0)
    ctr_ratio: Annotated[float, Field(gt=0)] = 0.25
    minimum: Annotated[int, Field(ge=1)] = 20
    seed: Annotated[int, Field(ge=0)] = 1


@dataclass(frozen=True, eq=False)
class Joining:
    """What came of it.

    Args:
        part: the specific part of the best round.
        share: λ, how much of it serves.
        figures: AUCs, {"val": {"shared", "own"}, "test": {"shared", "own"}}; None where rows have one class.
        rounds: made.
        live: whether the gate lets it serve.
        reason: why it does not, in a sentence.
    """

    part: Point
    share: float
    figures: dict[str, dict[str, float | None]]
    rounds: int
    live: bool
    reason: str


def regularization(strategy: Strategy) -> DomainRegularization:
    """The Domain Regularization within a strategy, or by default one of its own; its inner optimizer starts fresh, as
    none is there to go on from.

    >>> regularization(MAMDR(num_helpers=2)).num_helpers
    2
    """
    parts: tuple[Strategy, ...] = (strategy,)
    if isinstance(strategy, MAMDR):
        parts = strategy.parts.parts
    elif isinstance(strategy, Then):
        parts = strategy.parts
    found = [part for part in parts if isinstance(part, DomainRegularization)]
    return dataclasses.replace(found[-1] if found else DomainRegularization(), inner_state="fresh")


def join(
    session: Session,
    state: State,
    domain: int,
    strategy: DomainRegularization,
    options: JoinOptions,
    told: Told | None = None,
) -> Joining:
    """Learn a domain's specific part.

    Args:
        session: bound, on data whose train has the helpers' rows and the domain's, and whose val and test have its own.
        state: shared parameters and buffers; of specific parts the domain's is made anew.
        domain: its number.
        strategy: whose settings count.
        told: hears of each round.

    Cost: as of Domain Regularization for one domain and round, and a pass over its validation rows.
    """
    state.seed, state.round = derive(options.seed, "joining"), 0
    state.losses = {"shared": 0.0}  # they are trained, so that running statistics stay theirs
    state.specific.pop(domain, None)
    sizes = tuple(session.data.train.size(number) for number in range(len(session.data.schema.domains)))
    problem = Problem(sizes, session.rows.of, session.options.batch_size)
    run = Sequential(Walker(session))
    shared = _auc(session, strategy, state, domain, "val", 0.0)
    best: tuple[float, float, Point] | None = None
    waited = 0
    while state.round < options.rounds and waited < options.patience:
        strategy.round_of(state, problem, run, [domain])
        state.round += 1
        found = [(_auc(session, strategy, state, domain, "val", s) or 0.0, s) for s in sorted(options.shares)]
        auc, share = max(found, key=lambda pair: (pair[0], -pair[1]))
        waited += 1
        if best is None or auc > best[0]:
            best, waited = (auc, share, copy.deepcopy(state.specific[domain])), 0
        if told is not None:
            told(state.round)
    assert best is not None
    auc, share, part = best
    state.specific[domain] = part
    figures: dict[str, dict[str, float | None]] = {
        split: {
            "shared": _auc(session, strategy, state, domain, split, 0.0),
            "own": _auc(session, strategy, state, domain, split, share),
        }
        for split in ("val", "test")
    }
    live, reason = gate(shared, None if shared is None else auc)
    return Joining(part, share, figures, state.round, live, reason)


def gate(shared: float | None, own: float | None) -> tuple[bool, str]:
    """Whether a part may serve by its validation AUC and the shared parameters', and else why not.

    >>> gate(0.6, 0.6), gate(0.6, 0.55)[0], gate(None, None)[0]
    ((True, ''), False, False)
    """
    if shared is None or own is None:
        return False, "its validation rows are not of both classes, so that nothing can be compared"
    if own < shared:
        return False, f"its own part has a validation AUC of {own:.4f}, the shared parameters {shared:.4f}"
    return True, ""


def _auc(
    session: Session, strategy: DomainRegularization, state: State, domain: int, split: str, share: float
) -> float | None:
    """The domain's AUC with a share of its part; None where its rows are of one class."""
    rows = session.data.split(split)
    begin, end = (int(bound) for bound in rows.offsets[domain : domain + 2])
    labels = rows.labels[begin:end].numpy()
    if labels.min(initial=1) == labels.max(initial=0):
        return None
    state.shares = {domain: share}
    scores = Predictor(session, rows, state.buffers)(strategy.params_for(state, domain), domain)
    groups: Any = np.zeros(len(labels), dtype=np.int64)
    return float(grouped_auc(scores.numpy(), labels, groups, 1)[0])
