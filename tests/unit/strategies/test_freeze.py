"""Freezing: what is frozen stays to the bit, whatever optimizers remember; the rest trains as if it were not there."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from tests.integration import replay
from tests.oracles import learning

from mamdr.combiners import PCGrad
from mamdr.engine import WalkOptions, inner, trace
from mamdr.errors import ConfigError
from mamdr.parameters import LocalStore, Specific, outer
from mamdr.strategies import (
    MAMDR,
    MAML,
    MLDG,
    Alternate,
    Combined,
    DomainNegotiation,
    DomainRegularization,
    Finetune,
    Freeze,
    Reptile,
    Separate,
    State,
    Strategy,
    Then,
)
from mamdr.testing import StrategyConformance, TwoTables, parameters_of, same_bits, tiny_market, train

DATA = tiny_market()
MODULE = TwoTables(dropout=0.3)
FROZEN = ("user.weight", "hidden.bias")
KINDS: dict[str, Strategy] = {
    "alternate": Alternate(),
    "dn by adam": DomainNegotiation(outer=outer.Adam(lr=0.05)),
    "dn by nesterov": DomainNegotiation(outer=outer.Nesterov(), inner_state="kept"),
    "dr": DomainRegularization(num_helpers=2, keep=0.5),
    "mamdr": MAMDR(num_helpers=1),
    "authors": MAMDR.authors(num_helpers=1),
    "reptile": Reptile(),
    "separate": Separate(),
    "pcgrad": Combined(PCGrad()),
    "maml": MAML(order=2),
    "mldg": MLDG(),
    "finetune": Finetune(after=DomainNegotiation()),
}
EACH = pytest.mark.parametrize("kind", KINDS)
ROWS = pytest.mark.parametrize("rows", ["dense", "lazy", "sparse"])


class TestFreeze(StrategyConformance):
    def strategy(self) -> Strategy:
        return Freeze(MAMDR(num_helpers=2), frozen=("hidden.*", "logit.weight"))


class TestFreezeOfKept(StrategyConformance):
    def strategy(self) -> Strategy:
        return Then(Alternate(), Freeze(Alternate(), frozen="hidden.weight"))


def _options(rows: str = "dense") -> WalkOptions:
    return WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01), rows=rows, embedding_l2=1e-3)  # type: ignore[arg-type]


def _served(strategy: Strategy, state: State) -> list[learning.Params]:
    return [parameters_of(strategy.params_for(state, domain)) for domain in range(4)]


@ROWS
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "finetune"])
def test_what_is_frozen_stays_after_it_was_trained(kind: str, rows: str) -> None:
    """Two rounds unfrozen fill every optimizer's memory; then nothing of it may move what is frozen."""
    strategy = KINDS[kind]
    trained = train(MODULE, DATA, strategy, 2, options=_options(rows))
    frozen = Freeze(strategy, frozen=FROZEN)
    after = train(MODULE, DATA, frozen, 2, options=_options(rows), state=trained)
    for before, now in zip(_served(strategy, trained), _served(frozen, after), strict=True):
        assert all(torch.equal(before[name], now[name]) for name in FROZEN)
    shared, still = parameters_of(trained.shared), parameters_of(after.shared)
    assert all(torch.equal(shared[name], still[name]) for name in FROZEN)
    for name in set(shared) - set(FROZEN):
        assert any(
            not torch.equal(a[name], b[name])
            for a, b in zip(_served(strategy, trained), _served(frozen, after), strict=True)
        )


def test_what_finetune_adds_is_zero_where_frozen() -> None:
    frozen = Freeze(Finetune(after=DomainNegotiation()), frozen=FROZEN)
    state = train(MODULE, DATA, frozen, 2)
    shared = parameters_of(state.shared)
    for served in _served(frozen, state):
        assert all(torch.equal(served[name], shared[name]) for name in FROZEN)


@EACH
def test_the_rest_trains_as_if_the_frozen_were_no_parameters(kind: str) -> None:
    """The same bits, or nearly, as with `requires_grad` off, which takes the parameters out of the space."""
    strategy = dataclasses.replace(KINDS[kind], start="zero") if kind == "authors" else KINDS[kind]  # type: ignore[type-var]
    module = copy.deepcopy(MODULE).double()
    off = copy.deepcopy(module)
    for name, parameter in off.named_parameters():
        parameter.requires_grad_(name not in FROZEN)
    frozen = Freeze(strategy, frozen=FROZEN)
    one, other = train(module, DATA, frozen, 3), train(off, DATA, strategy, 3)
    for with_it, without in zip(_served(frozen, one), _served(strategy, other), strict=True):
        assert set(with_it) - set(without) == set(FROZEN)
        for name, value in without.items():
            torch.testing.assert_close(with_it[name], value, rtol=0, atol=1e-12)
    assert one.samples == other.samples


def test_equals_the_oracle_with_parameters_frozen() -> None:
    """Domain Negotiation as a plain loop over a copy whose frozen parameters have no gradient: SGD, and kept Adam."""
    for rule, keep in ((inner.SGD(lr=0.3), False), (inner.Adam(lr=0.01), True)):
        module = TwoTables().double()
        options = WalkOptions(batch_size=8, inner=rule)
        plain = copy.deepcopy(module)
        for name, parameter in plain.named_parameters():
            parameter.requires_grad_(name not in FROZEN)
        walker = learning.Walker(plain, replay.torch_optimizer(rule), keep)
        source, orders = replay.source(DATA, 8, torch.float64), replay.orders(module, DATA, 3)
        start = learning.parameters_of(plain)
        expected = learning.domain_negotiation(walker, start, orders, source, 0.5)
        strategy = Freeze(
            DomainNegotiation(outer_lr=0.5, inner_state="kept" if keep else "fresh"), frozen=FROZEN
        )
        state = None
        for want in expected:
            state = train(module, DATA, strategy, 1, options=options, state=state, seed=replay.SEED)
            found = parameters_of(state.shared)
            for name, value in want.items():
                torch.testing.assert_close(found[name], value, rtol=0, atol=1e-12)


def test_nothing_frozen_is_the_strategy_itself() -> None:
    for strategy in (MAMDR(num_helpers=1), Alternate()):
        assert same_bits(train(MODULE, DATA, Freeze(strategy), 2), train(MODULE, DATA, strategy, 2))


def test_frozen_for_one_step_and_then_not() -> None:
    frozen = Freeze(DomainRegularization(num_helpers=1), frozen=("item.*",))
    strategy = Then(DomainNegotiation(), frozen)
    state, start = (train(MODULE, DATA, strategy, rounds) for rounds in (2, 0))
    shared = parameters_of(state.shared)
    assert not torch.equal(shared["item.weight"], parameters_of(start.shared)["item.weight"])
    for served in _served(strategy, state):
        assert torch.equal(served["item.weight"], shared["item.weight"])
        assert not torch.equal(served["logit.weight"], shared["logit.weight"])
    assert not state.space.frozen


def test_tables_alone_may_train_and_freezing_may_be_nested() -> None:
    dense = ("hidden.*", "logit.*")
    inside = Freeze(Freeze(Alternate(), frozen="user.*"), frozen=dense)
    for rows in ("dense", "lazy"):
        state = train(MODULE, DATA, inside, 1, options=_options(rows))
        start = parameters_of(LocalStore.of(MODULE, state.space))
        moved = {n for n, value in parameters_of(state.shared).items() if not torch.equal(value, start[n])}
        assert moved == {"item.weight"}


def test_low_rank_parts_stay_too() -> None:
    space = Specific(rank=1).applied(trace(MODULE, DATA.schema))
    strategy = DomainRegularization(num_helpers=1, keep=0.5)
    trained = train(MODULE, DATA, strategy, 1, space=space)
    after = train(MODULE, DATA, Freeze(strategy, frozen="hidden.weight"), 1, space=space, state=trained)
    for before, now in zip(_served(strategy, trained), _served(strategy, after), strict=True):
        assert torch.equal(before["hidden.weight"], now["hidden.weight"])
        assert not torch.equal(before["hidden.bias"], now["hidden.bias"])


def test_a_predicate_freezes_by_name() -> None:
    by_name = Freeze(Alternate(), frozen=lambda name: name in FROZEN)
    assert same_bits(train(MODULE, DATA, by_name), train(MODULE, DATA, Freeze(Alternate(), frozen=FROZEN)))
    assert "0x" not in repr(by_name)


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        (("item.weigth",), "frozen: no trainable parameter .* 'item.weigth'; .*Did you mean 'item.weight'?"),
        ("*", "frozen = '\\*' fits every parameter; expected one or more left to train"),
    ],
)
def test_what_cannot_be_frozen(frozen: str | tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(MODULE, DATA, Freeze(Alternate(), frozen=frozen), 0)


def test_the_module_is_trainable_again_afterwards() -> None:
    from mamdr.testing.lab import at_work, problem_of

    module = copy.deepcopy(MODULE)
    with at_work(module, DATA) as (session, run):
        state = State(LocalStore.of(module, session.space), seed=1)
        Freeze(Alternate(), frozen=FROZEN).round(state, problem_of(session), run)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())
