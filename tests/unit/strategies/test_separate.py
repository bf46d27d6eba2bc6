"""Separate training: nothing crosses from one domain to another."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from mamdr.parameters import LocalStore
from mamdr.strategies import Problem, Separate, State
from mamdr.testing import StrategyConformance, TwoTables, parameters_of, same_bits, tiny_market, train
from mamdr.testing.lab import at_work, problem_of
from mamdr.training import checkpoint

DATA = tiny_market()


class TestSeparate(StrategyConformance):
    order_free = True

    def strategy(self) -> Separate:
        return Separate()


class TestSeparateFresh(StrategyConformance):
    order_free = True

    def strategy(self) -> Separate:
        return Separate(inner_state="fresh", steps=2)


def test_shared_is_never_trained() -> None:
    start, state = (parameters_of(train(TwoTables(), DATA, Separate(), rounds).shared) for rounds in (0, 2))
    assert all(torch.equal(start[name], state[name]) for name in start)


def test_a_domains_model_is_what_it_would_be_alone() -> None:
    everyone = train(TwoTables(dropout=0.3), DATA, Separate(), 1)
    module = TwoTables(dropout=0.3)
    with at_work(module, DATA) as (session, run):
        state = State(LocalStore.of(module, session.space), seed=1)
        alone = Problem((0, DATA.train.size(1), 0, 0), problem_of(session).own_rows)
        Separate().round(state, alone, run)
    assert state.specific.keys() == {1}
    assert torch.equal(state.specific[1].flat, everyone.specific[1].flat)


def test_each_domain_keeps_an_optimizer_of_its_own() -> None:
    state = train(TwoTables(), DATA, Separate(), 3)
    steps = {purpose: moments.step for purpose, moments in state.moments.items()}
    assert steps == {"inner/0": 15, "inner/1": 12, "inner/2": 6, "inner/3": 3}
    assert not train(TwoTables(), DATA, Separate(inner_state="fresh"), 3).moments


def test_a_part_holds_the_domains_own_rows_alone() -> None:
    state = train(TwoTables(), DATA, Separate(), 1)
    for domain, point in state.specific.items():
        for ids, column in zip(point.ids, ("user_id", "item_id"), strict=True):
            assert ids.tolist() == DATA.train.unique_ids(domain, column).tolist()


def test_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    module = TwoTables(dropout=0.3)
    checkpoint.save(tmp_path / "one", train(module, DATA, Separate(), 1), {})
    assert len(load_file(tmp_path / "one" / "state.safetensors")) < 30  # however many domains there are
    state, _ = checkpoint.load(tmp_path / "one", train(module, DATA, Separate(), 0).space)
    assert same_bits(train(module, DATA, Separate(), 2, state=state), train(module, DATA, Separate(), 3))
