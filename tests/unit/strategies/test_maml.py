"""MAML: its formula in one step, what it takes for support and query, and the suite."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
import torch
from tests.oracles import meta as oracle
from torch import Tensor, nn

from mamdr.data.domains import Batch, Dataset
from mamdr.engine import WalkOptions, inner
from mamdr.parameters import LocalStore, Point, outer
from mamdr.seeds import derive, generator
from mamdr.strategies import MAML, MLDG, Freeze, Outcome, Reptile, State, Strategy, Walk, build
from mamdr.testing import StrategyConformance, TwoTables, parameters_of, tiny_market, train
from mamdr.testing.lab import at_work, problem_of

DATA = tiny_market()


class TestMAML(StrategyConformance):
    def strategy(self) -> Strategy:
        return MAML(outer_lr=0.5)


class TestMAMLOfSecondOrder(StrategyConformance):
    def strategy(self) -> Strategy:
        return MAML(order=2, inner_steps=2, resplit=True, outer=outer.Nesterov())


class TestMAMLAuthors(StrategyConformance):
    def strategy(self) -> Strategy:
        return build("maml", {"preset": "authors", "steps": 3})


@pytest.mark.parametrize("order", [1, 2])
def test_one_step_a_domain_is_the_papers_formula(order: int) -> None:
    """θ ← θ − β (1/n) Σ_i ∇ L_i(θ − α ∇ L_i(θ; support); query), with β of the inner SGD and outer_lr 1."""
    options = WalkOptions(batch_size=1000, inner=inner.SGD(lr=0.3))
    strategy = MAML(order=order, rate=0.7, steps=1)  # type: ignore[arg-type]
    found = parameters_of(train(TwoTables().double(), DATA, strategy, 1, options=options).shared)
    module = TwoTables().double()
    start = {name: value.detach().clone() for name, value in module.named_parameters()}
    gradients = []
    for domain in range(4):
        draw = generator(derive(1, "maml", 0, domain), "batches", 0)
        split = derive(1, "support", domain)
        (drawn,) = DATA.train.support_and_query(domain, 0.8, split, 1000, draw)
        support, query = oracle.cut(*drawn)
        assert len(support[1]) + len(query[1]) == max(DATA.train.size(domain), 2)
        gradients.append(oracle.maml_gradient(module, start, ([support], [query]), 0.7, 1, order))
    for name, value in start.items():
        mean = torch.stack([gradient[name] for gradient in gradients]).mean(0)
        torch.testing.assert_close(found[name], value - 0.3 * mean, rtol=0, atol=1e-12)


class Bias(nn.Module):
    """A single parameter, whose logit is itself."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, batch: Batch) -> Tensor:
        return self.w.expand(len(batch["domain"]))


@pytest.mark.parametrize(("order", "slope"), [(1, 0.6224593312018546), (2, 0.6224593312018546 * 3 / 4)])
def test_by_hand(order: int, slope: float) -> None:
    """A row of either label: a step of rate 1 on one leads 1/2 away, where the other's slope is σ(1/2); L'' is 1/4."""
    rows = {"user_id": np.array([0, 0]), "item_id": np.array([0, 0]), "domain": np.array([0, 0])}
    rows["label"] = np.array([0, 1])
    data = Dataset.from_arrays("two rows", ["d"], {"train": rows, "val": rows, "test": rows})
    strategy = MAML(rate=1.0, share=0.5, outer_lr=0.25, order=order)  # type: ignore[arg-type]
    state = train(Bias(), data, strategy, 1, options=WalkOptions(inner=inner.SGD(lr=0.8)))
    assert abs(float(parameters_of(state.shared)["w"])) == pytest.approx(0.25 * 0.8 * slope, abs=1e-15)
    assert state.losses["shared"] == pytest.approx(math.log1p(math.exp(0.5)), abs=1e-12)


def _walks(strategy: Strategy, rounds: int = 2) -> list[list[Walk]]:
    """The walks of each round, which lead nowhere."""
    seen: list[list[Walk]] = []

    def run(walks: Sequence[Walk]) -> Iterable[Outcome]:
        seen[-1] += walks
        return (Outcome(Point.zeros(walk.store.space), 0.5, 1, 1) for walk in walks)

    module = TwoTables()
    with at_work(module, DATA) as (session, _):
        state = State(LocalStore.of(module, session.space), seed=1)
        for _ in range(rounds):
            seen.append([])
            state = strategy.round(state, problem_of(session), run)
            state.round += 1
    return seen


def _splits(walks: list[Walk]) -> dict[tuple[int, ...], int]:
    return {leg.domains: leg.meta.seed for walk in walks for leg in walk.legs if leg.meta is not None}


def test_support_and_query_stay_throughout_a_run() -> None:
    first, second = map(_splits, _walks(MAML()))
    assert first == second
    assert list(first) == [(0,), (1,), (2,), (3,)]
    assert len(set(first.values())) == 4


def test_support_and_query_drawn_anew_each_round() -> None:
    first, second = map(_splits, _walks(MAML(resplit=True)))
    assert all(first[domain] != second[domain] for domain in first)


def test_a_walk_is_one_leg_of_one_domain() -> None:
    walks = _walks(MAML(steps=3, share=0.6, rate=0.2, inner_steps=4, order=2), 1)[0]
    assert [walk.legs[0].domains for walk in walks] == [(0,), (1,), (2,), (3,)]
    assert len({walk.seed for walk in walks}) == 4
    for walk in walks:
        (leg,) = walk.legs
        assert leg.meta is not None
        said = (
            leg.steps,
            leg.meta.split,
            leg.meta.share,
            leg.meta.rate,
            leg.meta.inner_steps,
            leg.meta.order,
        )
        assert said == (3, "rows", 0.6, 0.2, 4, 2)
        assert (leg.meta.own, leg.meta.ahead) == (0.0, 1.0)


def test_outer_rate_zero_changes_nothing() -> None:
    found, start = (train(TwoTables(), DATA, MAML(outer_lr=0.0), rounds) for rounds in (2, 0))
    for name, value in parameters_of(start.shared).items():
        assert torch.equal(parameters_of(found.shared)[name], value)


def test_with_a_rate_that_vanishes_only_the_query_trains() -> None:
    """θ' is θ, so a step is one on the query alone: rows that only the support has do not move."""
    data = tiny_market((12,))
    options = WalkOptions(batch_size=100, inner=inner.SGD(lr=0.3))
    state, start = (train(TwoTables().double(), data, MAML(rate=1e-14), r, options=options) for r in (1, 0))
    draw = generator(0)
    (drawn,) = data.train.support_and_query(0, 0.8, derive(1, "support", 0), 100, draw)
    support, query = oracle.cut(*drawn)
    moved = (parameters_of(state.shared)["user.weight"] - parameters_of(start.shared)["user.weight"]).any(1)
    assert set(torch.nonzero(moved).flatten().tolist()) == set(query[0]["user_id"].tolist())
    assert set(support[0]["user_id"].tolist()) - set(query[0]["user_id"].tolist())


def test_a_round_takes_every_row_once() -> None:
    """A domain of one row has it in both parts."""
    state = train(TwoTables(), DATA, MAML(), 1)
    assert state.samples == len(DATA.train) + 1
    assert train(TwoTables(), DATA, Reptile(), 1).samples == len(DATA.train)


def test_rows_looked_up_alone_are_asked_for() -> None:
    """A walk pulls its domain's rows, not the tables."""
    pulled: list[int] = []
    module = TwoTables()
    with at_work(module, DATA) as (session, run):
        store = LocalStore.of(module, session.space)
        pull = store.pull
        store.pull = functools.partial(_noted, pull, pulled)  # type: ignore[method-assign]
        MAML(order=2).round(State(store, seed=1), problem_of(session), run)
        assert pulled == [len(session.rows.of(domain)[0]) for domain in range(4)]


def _noted(pull, pulled, ids, allocate=None):  # type: ignore[no-untyped-def]
    pulled.append(len(ids[0]))
    return pull(ids, allocate)


@pytest.mark.parametrize(
    "strategy", [MAML(order=2), MAML(inner_steps=2), MLDG()], ids=["second", "first", "mldg"]
)
def test_frozen_for_the_strategy_is_frozen_in_the_module(strategy: Strategy) -> None:
    """What is frozen neither moves nor adapts."""
    names = ("hidden.weight", "item.weight")
    held = TwoTables().double()
    for name, parameter in held.named_parameters():
        parameter.requires_grad_(name not in names)
    frozen = parameters_of(train(TwoTables().double(), DATA, Freeze(strategy, frozen=names)).shared)
    for name, value in parameters_of(train(held, DATA, strategy).shared).items():
        torch.testing.assert_close(frozen[name], value, rtol=0, atol=1e-13)
    for name in names:
        assert torch.equal(frozen[name], dict(held.named_parameters())[name])
