"""How long an experiment will take: rows that its rounds pass over, by rows a second measured on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from mamdr.data.domains import Dataset
from mamdr.engine import Sequential, Session, Walker, trace
from mamdr.experiments.design import Cell
from mamdr.parameters import LocalStore, Moments, Point
from mamdr.strategies import Leg, Outcome, Problem, State, Walk
from mamdr.training.run import build_model

ROUNDS = 12
"""Rounds that a training with early stopping is guessed to take."""

_PROBE = 12  # batches


@dataclass(frozen=True)
class Estimate:
    """A guess.

    Attributes:
        samples: rows passed over in one round.
        seconds: of a whole training.
    """

    samples: int
    seconds: float


def estimate(cells: Iterable[Cell], data: Dataset) -> dict[str, Estimate]:
    """By key, a guess at each cell: its round's rows over the rate of a few batches of its model.

    Rows are counted by asking the strategy for its walks without walking them; evaluation and checkpoints are left out,
    and so is what a strategy computes beyond plain steps (a gradient for each domain, a second order).

    Cost: a second or so for each distinct model.
    """
    rates: dict[str, float] = {}
    found: dict[str, Estimate] = {}
    for cell in cells:
        if cell.key in found:
            continue
        model = str(cell.recipe.model)
        module = build_model(cell.recipe.model, data, cell.seed)
        with Session(module, trace(module, data.schema), data, cell.recipe.walk) as session:
            problem = _problem(session)
            samples = _samples(cell, session, problem)
            if model not in rates:
                rates[model] = _rate(session, problem)
        rounds = min(cell.recipe.train.rounds, ROUNDS)
        found[cell.key] = Estimate(samples, rounds * samples / rates[model])
    return found


def _problem(session: Session) -> Problem:
    train = session.data.train
    sizes = tuple(train.size(domain) for domain in range(len(session.data.schema.domains)))
    return Problem(sizes, session.rows.of, session.options.batch_size)


def _samples(cell: Cell, session: Session, problem: Problem) -> int:
    """Rows of one round: the strategy makes one, and hears that no walk moved anything."""
    walker, space = Walker(session), session.space
    dense = LocalStore.of(session.module, space)
    store = LocalStore(space, dense.dense.clone(), dense.tables)
    total = 0

    def pretend(walks: Sequence[Walk]) -> Iterator[Outcome]:
        nonlocal total
        for walk in walks:
            total += walker.cost(walk)
            yield Outcome(Point.zeros(space), 0.0, 0, 0, Moments() if walk.moments is not None else None)

    strategy = cell.recipe.strategy
    strategy.round(strategy.init(State(store), problem), problem, pretend)
    return total


def _rate(session: Session, problem: Problem) -> float:
    """Rows a second on the largest domain, by one walk of a few batches after another that warms up."""
    largest = max(problem.trainable, key=lambda domain: problem.sizes[domain])
    walk = Walk(LocalStore.of(session.module, session.space), (Leg((largest,), 2),), seed=0)
    run = Sequential(Walker(session))
    list(run([walk]))
    begun = time.perf_counter()
    samples = sum(outcome.samples for outcome in run([replace(walk, legs=(Leg((largest,), _PROBE),))]))
    return samples / max(time.perf_counter() - begun, 1e-9)
