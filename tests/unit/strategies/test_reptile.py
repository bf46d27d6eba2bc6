"""Reptile beside Domain Negotiation, and what its mean is a mean of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import pytest
import torch
from tests.unit.engine.zoo import make

from mamdr.engine import WalkOptions, inner
from mamdr.parameters import LocalStore, Point, outer
from mamdr.strategies import DomainNegotiation, Outcome, Problem, Reptile, Run, State, Strategy, Walk
from mamdr.strategies.mean import MeanBuffers, MeanPoint
from mamdr.testing import StrategyConformance, TwoTables, parameters_of, same_bits, tiny_market, train
from mamdr.testing.lab import at_work, problem_of

DATA = tiny_market()


class TestReptile(StrategyConformance):
    order_free = True

    def strategy(self) -> Strategy:
        return Reptile(outer_lr=0.5)


class TestReptileKept(StrategyConformance):
    def strategy(self) -> Strategy:
        return Reptile(outer=outer.Nesterov(), inner_state="kept", steps=3)


def _same_seed(run: Run) -> Run:
    """Walks as before, all with one seed: methods that draw their seeds for different purposes can be compared."""

    def seeded(walks: Sequence[Walk]) -> Iterable[Outcome]:
        return run([dataclasses.replace(walk, seed=5) for walk in walks])

    return seeded


def _trained(strategy: Strategy, rounds: int = 3) -> State:
    module, data = TwoTables(dropout=0.3), tiny_market((40,))
    with at_work(module, data) as (session, run):
        state = State(LocalStore.of(module, session.space), seed=1)
        for _ in range(rounds):
            state = strategy.round(state, problem_of(session), _same_seed(run))
            state.round += 1
    return state


@pytest.mark.parametrize(
    "settings", [{"outer_lr": 0.4}, {"outer": outer.Adam(lr=0.01), "inner_state": "kept"}]
)
def test_with_one_domain_reptile_is_dn(settings: dict[str, object]) -> None:
    assert same_bits(_trained(Reptile(**settings)), _trained(DomainNegotiation(**settings)))  # type: ignore[arg-type]


def test_outer_rate_zero_changes_nothing() -> None:
    found, start = (train(TwoTables(), DATA, Reptile(outer_lr=0.0), rounds) for rounds in (2, 0))
    for name, value in parameters_of(start.shared).items():
        assert torch.equal(parameters_of(found.shared)[name], value)


class Scripted:
    """A fake run: the displacement of domain i is i + 1 everywhere, on the rows that it says."""

    def __init__(self, rows: dict[int, list[int]]) -> None:
        self.rows = rows
        self.walks: list[Walk] = []

    def __call__(self, walks: Sequence[Walk]) -> Iterable[Outcome]:
        self.walks += walks
        for walk in walks:
            (domain,) = walk.legs[0].domains
            ids = (torch.tensor(self.rows[domain]), torch.empty(0, dtype=torch.int64))
            point = Point.zeros(walk.store.space, ids)
            point.flat.fill_(domain + 1.0)
            yield Outcome(point, 0.5, 10, 1)
            point.flat.fill_(99.0)  # an outcome is valid until the next is asked for


def test_the_mean_counts_a_row_that_a_walk_lacks_as_zero() -> None:
    module = TwoTables()
    with at_work(module, DATA) as (session, _):
        state, space = State(LocalStore.of(module, session.space)), session.space
        before = parameters_of(state.shared)
        run = Scripted({0: [1, 2], 2: [2, 5]})
        foreseen = (torch.tensor([1, 2]), torch.empty(0, dtype=torch.int64))  # 5 comes unforeseen
        Reptile(steps=3).round(state, Problem((4, 0, 4), lambda domain: foreseen), run)
    moved = {name: value - before[name] for name, value in parameters_of(state.shared).items()}
    assert len({walk.seed for walk in run.walks}) == 2
    assert all(walk.legs[0].steps == 3 for walk in run.walks)
    torch.testing.assert_close(moved["logit.bias"], torch.tensor([2.0]))
    torch.testing.assert_close(moved["user.weight"][[1, 2, 5, 6], 0], torch.tensor([0.5, 2.0, 1.5, 0.0]))
    assert space.names == tuple(moved)


def test_walks_do_not_see_each_other() -> None:
    """One SGD step a domain gives the mean gradient, Σ ḡ_i / n: no Hessian crosses domains (MAMDR, Figure 5 d)."""
    options = WalkOptions(batch_size=1000, inner=inner.SGD(lr=0.1))
    found = parameters_of(train(TwoTables().double(), DATA, Reptile(), 1, options=options).shared)
    module = TwoTables().double()
    losses = []
    for domain in range(4):
        batch, labels = next(iter(DATA.train.batches([domain], 1000, None)))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(module(batch), labels.double())
        losses.append(loss)
    torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        expected = parameter.detach() - 0.1 * parameter.grad
        torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-12)


def test_running_statistics_are_the_mean_of_the_walks() -> None:
    module = make("batch norm")
    state = train(module, DATA, Reptile(), 1)
    ends = []
    for domain in range(4):
        sizes = tuple(DATA.train.size(d) if d == domain else 0 for d in range(4))
        with at_work(make("batch norm"), DATA) as (session, run):
            alone = State(LocalStore.of(session.module, session.space), seed=1)
            Reptile().round(alone, Problem(sizes, session.rows.of), run)
        ends.append(alone.buffers)
    changed = [end["norm.running_mean"] for end in ends if "norm.running_mean" in end]
    torch.testing.assert_close(state.buffers["norm.running_mean"], torch.stack(changed).mean(0))
    assert state.buffers["norm.num_batches_tracked"] == max(
        end.get("norm.num_batches_tracked", torch.tensor(0)) for end in ends
    )


def test_means_of_nothing_are_nothing() -> None:
    assert MeanBuffers({}).value() == {}
    with at_work(TwoTables(), DATA) as (session, _):
        assert not MeanPoint(session.space, [session.space.no_ids()]).value().flat.any()
