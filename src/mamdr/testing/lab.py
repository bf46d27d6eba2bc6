"""Rounds of a strategy in a few words, and what to compare afterwards."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mamdr.data.domains import Dataset
from mamdr.engine import Predictor, Session, Walker, WalkOptions, choose, trace
from mamdr.engine.choose import Engine
from mamdr.engine.inner import Adam
from mamdr.parameters import LocalStore, Moments, Point, Space, Store
from mamdr.strategies import Problem, Run, State, Strategy

OPTIONS = WalkOptions(batch_size=8, inner=Adam(lr=0.01))


def problem_of(session: Session) -> Problem:
    """What a strategy may know of a session's data."""
    train, domains = session.data.train, range(len(session.data.schema.domains))
    return Problem(
        tuple(train.size(domain) for domain in domains), session.rows.of, session.options.batch_size
    )


@contextmanager
def at_work(
    module: nn.Module,
    data: Dataset,
    options: WalkOptions = OPTIONS,
    jobs: int = 1,
    space: Space | None = None,
    engine: Engine = "auto",
) -> Iterator[tuple[Session, Run]]:
    """A session on the module, and who walks in it: this process, or `jobs` others, or the engine of a name."""
    space = trace(module, data.schema) if space is None else space
    with Session(module, space, data, options) as session:
        walker = Walker(session)
        yield session, choose(walker, engine, jobs)


def train(
    module: nn.Module,
    data: Dataset,
    strategy: Strategy,
    rounds: int = 2,
    *,
    options: WalkOptions = OPTIONS,
    seed: int = 1,
    jobs: int = 1,
    state: State | None = None,
    space: Space | None = None,
    engine: Engine = "auto",
    walks: Callable[[Walker], Run] | None = None,
) -> State:
    """The state after so many more rounds, by the engine of a name or one of the caller's own (`walks`).

    Neither the module nor the given state is changed: both are copied.
    """
    module = copy.deepcopy(module)
    space = trace(module, data.schema) if space is None else space
    state = copy.deepcopy(state)
    with at_work(module, data, options, jobs, space, engine) as (session, run):
        problem, run = problem_of(session), run if walks is None else walks(Walker(session))
        if state is None:
            buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
            state = strategy.init(State(LocalStore.of(module, space), buffers=buffers, seed=seed), problem)
        for _ in range(rounds):
            state = strategy.round(state, problem, run)
            state.round += 1
    return state


def scores(
    module: nn.Module, data: Dataset, strategy: Strategy, state: State, domain: int, split: str = "test"
) -> Tensor:
    """Probabilities of a domain's rows by the parameters that serve it."""
    with at_work(copy.deepcopy(module), data, space=state.space) as (session, _):
        predictor = Predictor(session, data.split(split), state.buffers)
        return predictor(strategy.params_for(state, domain), domain)


def parameters_of(store: Store | Point) -> dict[str, Tensor]:
    """Every parameter in full by name, out of a store, or out of a point with zeros for the rows it lacks."""
    space = store.space
    point = store.at(space.all_ids()) if isinstance(store, Point) else store.pull(space.all_ids())
    dense = {part.name: point.parameter(index) for index, part in enumerate(space.dense)}
    return dense | {table.name: point.rows(t) for t, table in enumerate(space.tables)}


def same_bits(a: State, b: State) -> bool:
    """Whether two states hold the same bits: parameters, moments, buffers, memory, counts, losses."""
    return (
        _same_point(a.shared.pull(a.space.all_ids()), b.shared.pull(b.space.all_ids()))
        and _same_points(a.specific, b.specific)
        and _same_points(a.tuned, b.tuned)
        and _same_points(a.chosen, b.chosen)
        and _same_points(a.further, b.further)
        and a.moments.keys() == b.moments.keys()
        and all(_same_moments(a.moments[name], b.moments[name]) for name in a.moments)
        and _same_tensors(a.buffers, b.buffers)
        and a.memory.keys() == b.memory.keys()
        and all(_same_tensors(a.memory[name], b.memory[name]) for name in a.memory)
        and (a.round, a.seed, a.samples, a.losses) == (b.round, b.seed, b.samples, b.losses)
        and a.backoff == b.backoff
    )


def _same_tensors(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _same_points(a: Mapping[int, Point], b: Mapping[int, Point]) -> bool:
    return a.keys() == b.keys() and all(_same_point(a[domain], b[domain]) for domain in a)


def _same_point(a: Point, b: Point) -> bool:
    return torch.equal(a.flat, b.flat) and all(torch.equal(x, y) for x, y in zip(a.ids, b.ids, strict=True))


def _same_moments(a: Moments, b: Moments) -> bool:
    return (
        a.step == b.step
        and a.points.keys() == b.points.keys()
        and all(_same_point(a.points[name], b.points[name]) for name in a.points)
    )
