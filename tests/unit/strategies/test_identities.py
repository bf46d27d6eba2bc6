"""What must hold between strategies, whatever the numbers."""

from __future__ import annotations

import copy

import pytest
import torch

from mamdr.engine import WalkOptions, inner, trace
from mamdr.parameters import LocalStore, Point, Space
from mamdr.strategies import (
    MAMDR,
    Alternate,
    DomainNegotiation,
    DomainRegularization,
    Outcome,
    Problem,
    State,
    Strategy,
    Walk,
)
from mamdr.testing import TwoTables, parameters_of, same_bits, scores, tiny_market, train
from mamdr.testing.lab import at_work, problem_of

DATA = tiny_market()
MODULE = TwoTables(dropout=0.3)


def _train(strategy: Strategy, rounds: int = 2, state: State | None = None, lr: float = 0.01) -> State:
    options = WalkOptions(batch_size=8, inner=inner.Adam(lr=lr))
    return train(MODULE, DATA, strategy, rounds, options=options, state=state)


def _shared(state: State) -> torch.Tensor:
    return state.shared.pull(state.space.all_ids()).flat


@pytest.mark.parametrize("inner_state", ["fresh", "kept"])
def test_dn_at_outer_rate_one_is_alternate(inner_state: str) -> None:
    settings = {"inner_state": inner_state}
    assert same_bits(_train(DomainNegotiation(outer_lr=1.0, **settings)), _train(Alternate(**settings)))  # type: ignore[arg-type]


def test_outer_rate_zero_changes_nothing() -> None:
    state = _train(DomainNegotiation(outer_lr=0.0))
    assert torch.equal(_shared(state), _shared(_train(DomainNegotiation(), rounds=0)))


def test_specific_rate_zero_changes_no_score() -> None:
    strategy = DomainRegularization(specific_lr=0.0)
    state = _train(strategy)
    for domain in range(4):
        served = strategy.params_for(state, domain).pull(state.space.all_ids()).flat
        assert torch.equal(served, _shared(state))


def test_mamdr_without_helpers_is_dn() -> None:
    mamdr, dn = _train(MAMDR(num_helpers=0)), _train(DomainNegotiation())
    assert same_bits(mamdr, dn)
    for domain in range(4):
        served = MAMDR(num_helpers=0).params_for(mamdr, domain).pull(mamdr.space.all_ids()).flat
        assert torch.equal(served, _shared(dn))


def test_mamdr_is_dn_and_then_dr() -> None:
    mamdr, state = _train(MAMDR(num_helpers=2), 1), _train(DomainNegotiation(), 0)
    with at_work(copy.deepcopy(MODULE), DATA, WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01))) as (
        session,
        run,
    ):
        problem = problem_of(session)
        for part in (DomainNegotiation(), DomainRegularization(num_helpers=2)):
            state = part.round(state, problem, run)
    state.round += 1
    assert same_bits(mamdr, state)


def test_a_specific_part_never_changes_another_domains_scores() -> None:
    strategy = MAMDR(num_helpers=2)
    state = _train(strategy)
    before = [scores(MODULE, DATA, strategy, state, domain) for domain in range(4)]
    state.specific[1].flat.add_(3.0)
    after = [scores(MODULE, DATA, strategy, state, domain) for domain in range(4)]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, False, True, True]


def test_dr_never_changes_shared() -> None:
    start = _train(DomainRegularization(), 0)
    assert torch.equal(
        _shared(start), _shared(_train(DomainRegularization(num_helpers=3, include_self=True), 2))
    )


def test_the_order_of_domains_in_dr_cannot_matter() -> None:
    """Walks of a batch in reverse, their outcomes handed over in the order asked for."""
    strategy = DomainRegularization(num_helpers=2)
    straight, state = _train(strategy, 1), _train(strategy, 0)

    def backwards(walks: list[Walk]) -> list[Outcome]:
        outcomes = [copy.deepcopy(next(iter(run([walk])))) for walk in reversed(walks)]
        return outcomes[::-1]

    with at_work(copy.deepcopy(MODULE), DATA, WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01))) as (
        session,
        run,
    ):
        state = strategy.round(state, problem_of(session), backwards)  # type: ignore[arg-type]
    state.round += 1
    assert same_bits(straight, state)


def test_dr_own_rows_keep_no_row_that_the_domain_does_not_touch() -> None:
    state = _train(DomainRegularization(num_helpers=3, rows="own"))
    for domain, point in state.specific.items():
        for ids, column in zip(point.ids, ("user_id", "item_id"), strict=True):
            assert ids.tolist() == DATA.train.unique_ids(domain, column).tolist()


def test_dr_trains_only_what_may_be_specific() -> None:
    space = trace(MODULE, DATA.schema, specific=lambda name: name.startswith(("item", "logit")))
    state = train(MODULE, DATA, DomainRegularization(), space=space)
    for point in state.specific.values():
        moved = {name for name, value in parameters_of(point).items() if value.any()}
        assert moved == {"item.weight", "logit.weight", "logit.bias"}


def test_samples_and_losses_are_counted() -> None:
    state = _train(MAMDR(num_helpers=1), 2)
    own = sum(DATA.train.size(domain) for domain in range(4))
    helpers = 0
    for round_ in range(2):
        problem = Problem(tuple(DATA.train.size(domain) for domain in range(4)), lambda domain: ())
        before = State(state.shared, seed=1, round=round_)
        for domain in range(4):
            (helper,) = DomainRegularization(num_helpers=1).helpers(before, problem, domain)
            helpers += DATA.train.size(helper)
    assert state.samples == 2 * own + 2 * own + helpers
    assert state.losses.keys() == {"shared", "specific"}
    assert all(0 < loss < 2 for loss in state.losses.values())


def test_random_start_is_drawn_for_each_domain_from_the_same_values() -> None:
    state = _train(MAMDR.authors(), 0)
    shared, parts = (
        parameters_of(state.shared),
        [parameters_of(state.specific[domain]) for domain in range(4)],
    )
    for name, value in shared.items():
        for part in parts:
            assert torch.equal(part[name].reshape(-1).sort().values, value.reshape(-1).sort().values)
    assert not torch.equal(parts[0]["user.weight"], parts[1]["user.weight"])


class Draws:
    """A fake run: every displacement is one; notes the walks."""

    def __init__(self) -> None:
        self.walks: list[Walk] = []

    def __call__(self, walks: list[Walk]) -> list[Outcome]:
        self.walks += walks
        outcomes = []
        for walk in walks:
            point = Point.zeros(walk.store.space)
            point.flat.fill_(1.0)
            outcomes.append(Outcome(point, 0.5, 10, 1))
        return outcomes


def _fake() -> tuple[State, Problem]:
    module = TwoTables()
    space = Space.of(module)
    return State(LocalStore.of(module, space), seed=4), Problem(
        (5, 0, 5, 5, 5), lambda domain: space.no_ids()
    )


def test_helpers_are_other_trainable_domains_without_repeats() -> None:
    state, problem = _fake()
    seen = set()
    for round_ in range(30):
        state.round = round_
        helpers = DomainRegularization(num_helpers=2).helpers(state, problem, 3)
        assert len(set(helpers)) == 2
        seen |= set(helpers)
    assert seen == {0, 2, 4}
    assert sorted(DomainRegularization(num_helpers=9).helpers(state, problem, 3)) == [0, 2, 4]
    assert DomainRegularization(num_helpers=1, include_self=True).helpers(state, problem, 3)[-1] == 3


def test_a_round_of_dn_is_one_walk_over_every_trainable_domain_in_another_order_each_round() -> None:
    state, problem = _fake()
    orders = set()
    for round_ in range(10):
        run, state.round = Draws(), round_
        DomainNegotiation(steps=3).round(state, problem, run)
        (walk,) = run.walks
        assert all(leg.steps == 3 for leg in walk.legs)
        order = tuple(leg.domains[0] for leg in walk.legs)
        assert sorted(order) == [0, 2, 3, 4]
        orders.add(order)
    assert len(orders) > 3
    run = Draws()
    DomainNegotiation(shuffle=False).round(state, problem, run)
    assert [leg.domains for leg in run.walks[0].legs] == [(0,), (2,), (3,), (4,)]


def test_a_round_of_dr_walks_helper_then_domain_and_keeps_a_share() -> None:
    state, problem = _fake()
    run, strategy = (
        Draws(),
        DomainRegularization(num_helpers=2, specific_lr=0.25, helper_steps=1, own_steps=2),
    )
    strategy.round(state, problem, run)
    assert len(run.walks) == 8
    assert len({walk.seed for walk in run.walks}) == 8
    for walk in run.walks:
        helper, own = walk.legs
        assert helper.domains != own.domains
        assert (helper.steps, own.steps) == (1, 2)
    for domain in problem.trainable:
        assert torch.equal(state.specific[domain].dense, torch.full_like(state.specific[domain].dense, 0.5))
    assert 1 not in state.specific


@pytest.mark.parametrize(("keep", "expected"), [(1.0, 1.5), (0.5, 0.875), (0.0, 0.5)])
def test_what_dr_keeps_fades_from_round_to_round(keep: float, expected: float) -> None:
    """Three rounds of two helpers, each displacement one, a quarter of it kept: Σ keep^r · 0.5 for r = 0, 1, 2."""
    state, problem = _fake()
    strategy = DomainRegularization(num_helpers=2, specific_lr=0.25, keep=keep)
    for round_ in range(3):
        state.round = round_
        strategy.round(state, problem, Draws())
    part = state.specific[0].dense
    assert torch.equal(part, torch.full_like(part, expected))
