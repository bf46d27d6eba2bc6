"""MLDG: its formula in one step, how domains are parted, and the suite."""

from __future__ import annotations

import pytest
import torch
from tests.oracles import meta as oracle

from mamdr.engine import WalkOptions, inner, meta
from mamdr.seeds import derive, generator
from mamdr.strategies import MLDG, Alternate, Joint, State, Strategy, build
from mamdr.testing import StrategyConformance, TwoTables, parameters_of, tiny_market, train

DATA = tiny_market()


class TestMLDG(StrategyConformance):
    def strategy(self) -> Strategy:
        return MLDG()


class TestMLDGOfFirstOrder(StrategyConformance):
    def strategy(self) -> Strategy:
        return build("mldg", {"preset": "authors", "test_share": 0.5, "weight": 2.0})


class TestMLDGFresh(StrategyConformance):
    def strategy(self) -> Strategy:
        return MLDG(inner_state="fresh", steps=4)


def _trained(strategy: Strategy, data: object = DATA, **options: object) -> State:
    return train(
        TwoTables().double(),
        data,  # type: ignore[arg-type]
        strategy,
        1,
        options=WalkOptions(inner=inner.SGD(lr=0.3), **options),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("order", [1, 2])
def test_one_step_is_the_papers_formula(order: int) -> None:
    """θ ← θ − γ ∇ [F(θ) + β G(θ − α ∇F(θ))], with γ of the inner SGD."""
    found = parameters_of(_trained(MLDG(order=order, rate=0.6, weight=1.4), batch_size=1000).shared)  # type: ignore[arg-type]
    seed = derive(1, "negotiation", 0)
    (whole,) = DATA.train.batches(range(4), 1000, generator(seed, "batches", 0))
    groups = [
        [_of(domain, part) for domain in part[0]["domain"].unique().tolist()]
        for part in meta.by_domain(whole, 0.75, generator(seed, "virtual", 0))
    ]
    assert list(map(len, groups)) == [3, 1]
    module = TwoTables().double()
    start = {name: value.detach().clone() for name, value in module.named_parameters()}
    gradient = oracle.mldg_gradient(module, start, (groups[0], groups[1]), 0.6, 1.4, order)
    for name, value in start.items():
        torch.testing.assert_close(found[name], value - 0.3 * gradient[name], rtol=0, atol=1e-12)


def _of(domain: int, part: meta.Part) -> oracle.Batch:
    mask = part[0]["domain"] == domain
    return {name: column[mask] for name, column in part[0].items()}, part[1][mask]


def test_one_domain_alone_is_trained_plainly() -> None:
    data = tiny_market((30,))
    found, plain = (parameters_of(_trained(s, data, batch_size=8).shared) for s in (MLDG(), Joint()))
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-14)
    assert torch.equal(
        parameters_of(_trained(Alternate(), data, batch_size=8).shared)["logit.bias"], plain["logit.bias"]
    )


def test_without_weight_the_virtual_test_domains_do_not_count() -> None:
    """Then a step is one on the meta-train domains: those that are never among them do not move."""
    data = tiny_market((20, 20))
    state, start = (
        train(
            TwoTables(),
            data,
            MLDG(weight=0.0, steps=1, test_share=0.5),
            r,
            options=WalkOptions(batch_size=40),
        )
        for r in (1, 0)
    )
    moved = (parameters_of(state.shared)["user.weight"] - parameters_of(start.shared)["user.weight"]).any(1)
    users = [set(data.train.unique_ids(domain, "user_id").tolist()) for domain in (0, 1)]
    assert set(torch.nonzero(moved).flatten().tolist()) in users


def test_a_round_takes_every_row_once() -> None:
    state = _trained(MLDG(), batch_size=8)
    assert state.samples == len(DATA.train)
    assert state.losses["shared"] > 0
