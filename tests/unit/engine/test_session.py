"""A session borrows a module and gives it back as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.unit.engine.zoo import ZOO, make
from torch import nn

from mamdr.engine import Predictor, Sequential, Session, Walker, WalkOptions, inner, trace
from mamdr.errors import TrainingError
from mamdr.parameters import LocalStore
from mamdr.strategies import MAMDR, Leg, State, Walk
from mamdr.testing import TwoTables, problem_of, tiny_market
from mamdr.testing.lab import OPTIONS, at_work

DATA = tiny_market((12, 9), numeric=True)


def _snapshot(module: nn.Module) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    """What must be as before: attributes, hooks, modes, identities; and the values."""
    facts: dict[str, object] = {}
    for name, part in module.named_modules():
        facts[name] = (part.training, len(part._forward_pre_hooks), "forward" in part.__dict__)
        if isinstance(part, (nn.Embedding, nn.EmbeddingBag)):
            facts[name + "!"] = (part.padding_idx, part.max_norm, part.sparse, id(part.weight))
    facts |= {name: (id(p), p.data_ptr(), p.grad, p.requires_grad) for name, p in module.named_parameters()}
    facts |= {name: id(buffer) for name, buffer in module.named_buffers()}
    return facts, {name: value.clone() for name, value in module.state_dict().items()}


def _rounds(module: nn.Module, rows: str = "dense") -> None:
    """Training and scoring on a store of their own, so that the module's tables are not meant to move."""
    options = WalkOptions(batch_size=5, inner=inner.Adam(lr=0.01), rows=rows)  # type: ignore[arg-type]
    with at_work(module, DATA, options) as (session, run):
        state = State(LocalStore.of(copy.deepcopy(module), session.space))
        strategy, problem = MAMDR(num_helpers=1), problem_of(session)
        state = strategy.round(strategy.init(state, problem), problem, run)
        Predictor(session, DATA.test, state.buffers)(strategy.params_for(state, 1), 1)


@pytest.mark.parametrize("rows", ["dense", "lazy"])
@pytest.mark.parametrize("name", list(ZOO))
def test_the_module_is_its_own_again(name: str, rows: str) -> None:
    module = make(name)
    facts, values = _snapshot(module)
    _rounds(module, rows)
    after, now = _snapshot(module)
    assert after == facts
    assert all(torch.equal(now[key], values[key]) for key in values)


def test_parts_keep_their_own_modes() -> None:
    module = TwoTables(dropout=0.5)
    module.drop.eval()
    _rounds(module)
    assert (module.training, module.drop.training) == (True, False)


def test_a_store_of_the_module_trains_its_tables_in_place_and_leaves_the_dense_part() -> None:
    module = TwoTables()
    user, hidden = module.user.weight.detach().clone(), module.hidden.weight.detach().clone()
    with at_work(module, DATA) as (session, _):
        store = LocalStore.of(module, session.space)
        store.push(Walker(session)(Walk(store, (Leg((0,)),), seed=1)).displacement, 1.0)
    assert torch.equal(module.hidden.weight, hidden)
    assert torch.equal(module.user.weight, store.tables[0])
    assert not torch.equal(module.user.weight, user)


class Explodes(TwoTables):
    """Fails in the middle of a walk, after a look at it went well."""

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        if self.training and torch.is_grad_enabled() and self.drop.p > 0:
            raise ZeroDivisionError("in forward")
        return super().forward(batch)


def test_an_exception_in_a_walk_releases_the_module() -> None:
    module = Explodes(dropout=0.2)
    facts, values = _snapshot(module)
    with pytest.raises(ZeroDivisionError):
        _rounds(module)
    after, now = _snapshot(module)
    assert after == facts
    assert all(torch.equal(now[key], values[key]) for key in values)
    assert torch.isfinite(module.eval()(next(iter(DATA.test.batches([0], 9, None)))[0])).all()


def test_a_walk_does_not_change_its_store() -> None:
    module = TwoTables()
    with at_work(module, DATA) as (session, _):
        store = LocalStore.of(module, session.space)
        before = store.pull(session.space.all_ids()).flat.clone()
        Walker(session)(Walk(store, (Leg((0,)), Leg((1,))), seed=1))
        assert torch.equal(store.pull(session.space.all_ids()).flat, before)


def test_steps_cap_a_leg() -> None:
    with at_work(TwoTables(), DATA) as (session, _):
        store = LocalStore.of(session.module, session.space)
        outcome = Walker(session)(Walk(store, (Leg((0,), 1), Leg((1,), 5)), seed=1))
    assert (outcome.steps, outcome.samples) == (3, 8 + 9)


def test_a_leg_over_several_domains_trains_on_all_their_rows() -> None:
    with at_work(TwoTables(), DATA) as (session, _):
        store = LocalStore.of(session.module, session.space)
        outcome = Walker(session)(Walk(store, (Leg((0, 1)),), seed=1))
    assert (outcome.steps, outcome.samples) == (3, 21)


def test_a_loss_that_is_no_number_stops_the_walk() -> None:
    with at_work(TwoTables(), DATA) as (session, _):
        store = LocalStore.of(session.module, session.space)
        store.dense.fill_(float("nan"))
        with pytest.raises(TrainingError, match="loss became nan in domain"):
            Walker(session)(Walk(store, (Leg((0,)),), seed=1))


def test_a_session_binds_on_entering_alone() -> None:
    module = TwoTables()
    with pytest.raises(RuntimeError, match="with statement"):
        _ = Session(module, trace(module, DATA.schema), DATA, OPTIONS).binding


def test_the_callers_random_state_is_left_alone() -> None:
    module = TwoTables(dropout=0.5)
    before = torch.get_rng_state()
    _rounds(module)
    assert torch.equal(torch.get_rng_state(), before)


def test_sequential_walks_only_when_asked() -> None:
    """A strategy that pushes as it goes holds one displacement at a time."""
    with at_work(TwoTables(), DATA) as (session, _):
        store = LocalStore.of(session.module, session.space)
        outcomes = Sequential(Walker(session))([Walk(store, (Leg((0,)),), seed) for seed in (1, 2)])
        first = next(iter(outcomes)).displacement
        kept = first.flat.clone()
        second = next(iter(outcomes)).displacement
        assert first.flat.data_ptr() == second.flat.data_ptr()
        assert not torch.equal(kept, second.flat)


def test_bfloat16_trains_near_float32() -> None:
    module, ends = TwoTables(), []
    for precision in ("float32", "bfloat16"):
        options = WalkOptions(batch_size=8, inner=inner.SGD(lr=0.1), precision=precision)  # type: ignore[arg-type]
        with at_work(copy.deepcopy(module), DATA, options) as (session, _):
            store = LocalStore.of(session.module, session.space)
            ends.append(Walker(session)(Walk(store, (Leg((0,)),), seed=1)).displacement.flat.clone())
    difference = float((ends[0] - ends[1]).norm() / ends[0].norm())
    assert 0 < difference < 0.05
