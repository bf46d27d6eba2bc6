"""Walks in lock-step end where walks one after another end, and what cannot be walked so is walked one by one."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from tests.unit.engine.zoo import ZOO, make
from torch import nn

from mamdr.engine import Batched, Sequential, Walker, WalkOptions, inner
from mamdr.engine import batched as module_of_batched
from mamdr.engine.course import Course
from mamdr.engine.lockstep import Lockstep, OutOfStepError
from mamdr.errors import TrainingError
from mamdr.parameters import LocalStore, Moments, Point
from mamdr.strategies import (
    MAMDR,
    MAML,
    Alternate,
    DomainRegularization,
    Leg,
    Reptile,
    Separate,
    State,
    Strategy,
    Walk,
)
from mamdr.strategies.protocol import Part
from mamdr.testing import TwoTables, tiny_market, train
from mamdr.testing.lab import at_work

DATA = tiny_market((30, 21, 10, 6, 2, 0, 17), numeric=True)
RULES = {"sgd": inner.SGD(lr=0.1), "adam": inner.Adam(lr=0.01), "adagrad": inner.Adagrad(lr=0.05)}
STRATEGIES: dict[str, Strategy] = {
    "regularization": DomainRegularization(num_helpers=2, include_self=True),
    "own rows, capped": DomainRegularization(num_helpers=1, helper_steps=1, own_steps=2, rows="own"),
    "mamdr": MAMDR(num_helpers=1),
    "separate, kept": Separate(),
    "separate, fresh": Separate(inner_state="fresh"),
    "reptile": Reptile(),
}
ALONE = {
    *(
        "padding, tied",
        "max_norm",
        "max_norm, one table twice",
        "scale_grad_by_freq",
        "batch norm",
        "random ids",
    ),
    *("functional dropout", "lookup without gradient"),  # draws of its own; rows that see each other
}


def batched(told: list[str], budget: int = 1 << 30) -> Callable[[Walker], Batched]:
    return lambda walker: Batched(walker, budget, told.append)


def both(
    module: nn.Module,
    strategy: Strategy,
    options: WalkOptions,
    told: list[str],
    budget: int = 1 << 30,
    rounds: int = 2,
) -> tuple[State, State]:
    """States after rounds in turn and in lock-step."""
    module = copy.deepcopy(module).double()
    one, other = (
        train(module, DATA, strategy, rounds, options=options, walks=walks)
        for walks in (Sequential, batched(told, budget))
    )
    return one, other


def close(a: State, b: State) -> bool:
    """Whether two states hold the same values, to the rounding of float64."""
    pairs = [(a.shared.dense, b.shared.dense), *zip(a.shared.tables, b.shared.tables, strict=True)]
    assert a.specific.keys() == b.specific.keys()
    pairs += [_alike(a.specific[domain], b.specific[domain]) for domain in a.specific]
    for name, known in a.moments.items():
        assert known.step == b.moments[name].step
        pairs += [_alike(point, b.moments[name].points[m]) for m, point in known.points.items()]
    losses = [torch.tensor([*state.losses.values()], dtype=torch.float64) for state in (a, b)]
    assert (a.samples, a.losses.keys()) == (b.samples, b.losses.keys())
    return all(torch.allclose(x, y, rtol=1e-9, atol=1e-11) for x, y in [*pairs, (losses[0], losses[1])])


def _alike(a: Point, b: Point) -> tuple[torch.Tensor, torch.Tensor]:
    assert all(torch.equal(x, y) for x, y in zip(a.ids, b.ids, strict=True))
    return a.flat, b.flat


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_ends_where_it_ends_in_turn(name: str, rule: str) -> None:
    """With dropout: each walk draws its own masks."""
    told: list[str] = []
    options = WalkOptions(batch_size=8, inner=RULES[rule])
    torch.manual_seed(3)
    assert close(*both(TwoTables(dropout=0.5), STRATEGIES[name], options, told))
    assert not told


@pytest.mark.parametrize("name", sorted(ZOO))
def test_every_awkward_module(name: str) -> None:
    told: list[str] = []
    options = WalkOptions(batch_size=8, inner=RULES["adam"], dropout="torch")
    one, other = both(make(name), Separate(), options, told, rounds=1)
    assert close(one, other)
    alone = name in ALONE or name.startswith("bag")
    assert len(told) == alone
    assert all(said.startswith("The batched engine walks one by one what has ") for said in told)


def test_float32_differs_by_its_rounding() -> None:
    """Relative to the largest value moved, after walks of several steps."""
    torch.manual_seed(3)
    module, walks = TwoTables(dropout=0.5), range(6)
    with at_work(module, DATA, WalkOptions(batch_size=8, inner=RULES["sgd"])) as (session, run):
        store = LocalStore.of(module, session.space)
        todo = [Walk(store, (Leg((0,)), Leg((domain % 4,))), domain) for domain in walks]
        ends = [outcome.displacement.flat.clone() for outcome in run(todo)]
        for end, outcome in zip(ends, Batched(Walker(session))(todo), strict=True):
            assert float((end - outcome.displacement.flat).abs().max() / end.abs().max()) < 1e-6


@pytest.mark.parametrize("budget", [1, 20_000, 60_000])
def test_groups_of_any_size_give_the_same(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory bounds how many walks go together; one that is too large goes alone."""
    sizes: list[int] = []
    run = Lockstep.run
    monkeypatch.setattr(Lockstep, "run", lambda self: (sizes.append(len(self.courses)), run(self))[1])
    told: list[str] = []
    options = WalkOptions(batch_size=8, inner=RULES["adam"])
    assert close(*both(TwoTables(), DomainRegularization(num_helpers=2), options, told, budget))
    assert max(sizes, default=1) <= max(1, budget // 5_000)
    assert bool(sizes) == (budget > 1)


@pytest.mark.parametrize(("some", "rows"), [(2, 1 << 20), (99, 40), (99, 1)])
def test_portions_of_any_size_give_the_same(some: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many walks are described beforehand makes no difference."""
    monkeypatch.setattr(module_of_batched, "_SOME", some)
    monkeypatch.setattr(module_of_batched, "_ROWS", rows)
    options = WalkOptions(batch_size=8, inner=RULES["adam"])
    assert close(*both(TwoTables(dropout=0.5), DomainRegularization(num_helpers=2), options, []))


def test_parts_of_a_pass_are_walked_one_by_one() -> None:
    told: list[str] = []
    with at_work(TwoTables(), DATA, WalkOptions(batch_size=8)) as (session, run):
        store = LocalStore.of(session.module, session.space)
        walks = [Walk(store, (Leg((0,), part=Part(index, 2, 5)),), index) for index in range(2)]
        ends = [(outcome.samples, outcome.displacement.flat.clone()) for outcome in run(walks)]
        for end, outcome in zip(ends, Batched(Walker(session), told=told.append)(walks), strict=True):
            assert end[0] == outcome.samples
            assert torch.equal(end[1], outcome.displacement.flat)
    assert len(told) == 1


@pytest.mark.parametrize("per", ["touch", "row", "pass"])
@pytest.mark.parametrize("rule", RULES)
def test_the_penalty_on_rows_is_that_of_walks_in_turn(rule: str, per: str) -> None:
    told: list[str] = []
    options = WalkOptions(batch_size=8, inner=RULES[rule], embedding_l2=0.05, embedding_l2_per=per)  # type: ignore[arg-type]
    one, other = both(TwoTables(dropout=0.5), MAMDR(num_helpers=2), options, told)
    free, _ = both(
        TwoTables(dropout=0.5), MAMDR(num_helpers=2), WalkOptions(batch_size=8, inner=RULES[rule]), told
    )
    assert close(one, other)
    assert not close(one, free)
    assert told == []


@pytest.mark.parametrize("name", sorted(set(ZOO) - ALONE))
def test_every_kind_of_lookup_is_penalised_as_in_turn(name: str) -> None:
    options = WalkOptions(batch_size=8, inner=RULES["adam"], embedding_l2=0.05)
    assert close(*both(make(name), DomainRegularization(num_helpers=1), options, []))


@pytest.mark.parametrize(
    ("strategy", "options", "why"),
    [
        (MAML(), WalkOptions(batch_size=8, inner=RULES["adam"]), "look ahead"),
        (Reptile(), WalkOptions(batch_size=8, inner=RULES["adam"], rows="lazy"), "stepped lazily"),
    ],
    ids=["meta", "lazy"],
)
def test_what_cannot_be_batched_is_walked_one_by_one_and_said_once(
    strategy: Strategy, options: WalkOptions, why: str
) -> None:
    told: list[str] = []
    one, other = both(TwoTables(), strategy, options, told, rounds=3)
    assert torch.equal(one.shared.dense, other.shared.dense)
    assert len(told) == 1
    assert why in told[0]


@pytest.mark.parametrize("rule", ["sgd", "adagrad"])
def test_lazy_tables_of_optimizers_that_let_rows_rest(rule: str) -> None:
    told: list[str] = []
    options = WalkOptions(batch_size=8, inner=RULES[rule], rows="lazy")
    assert close(*both(TwoTables(), DomainRegularization(num_helpers=1), options, told))
    assert not told


def test_one_walk_is_walked_as_ever() -> None:
    told: list[str] = []
    one, other = both(TwoTables(dropout=0.5), Alternate(), WalkOptions(batch_size=8), told)
    assert torch.equal(one.shared.dense, other.shared.dense)
    assert not told


class Branching(TwoTables):
    """Looks at a value while it computes: nothing that `torch.vmap` can do for many at once."""

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        logits = super().forward(batch)
        return logits if float(logits.detach().sum()) > 0 else logits * 0.9


def test_a_module_that_vmap_cannot_take() -> None:
    told: list[str] = []
    one, other = both(Branching(), Reptile(), WalkOptions(batch_size=8), told, rounds=3)
    assert torch.equal(one.shared.dense, other.shared.dense)
    assert len(told) == 1
    assert "torch.vmap cannot take" in told[0]


def test_what_is_frozen_stays() -> None:
    """A strategy may freeze parameters for a time: walks leave them, dense or row, as they were."""
    torch.manual_seed(3)
    module = TwoTables().double()
    with at_work(module, DATA, WalkOptions(batch_size=8, inner=RULES["adam"])) as (session, run):
        names = frozenset({session.space.dense[0].name, session.space.tables[0].name})
        store = LocalStore.of(module, session.space).freezing(names)
        walks = [Walk(store, (Leg((domain,)),), domain, Moments()) for domain in (0, 1, 3)]
        ends = [outcome.displacement.flat.clone() for outcome in run(walks)]
        for end, outcome in zip(ends, Batched(Walker(session))(walks), strict=True):
            assert torch.allclose(end, outcome.displacement.flat, rtol=1e-9, atol=1e-12)
            assert not outcome.displacement.parameter(0).any()
            assert not outcome.displacement.rows(0).any()
            assert outcome.displacement.flat.any()


def test_a_loss_that_is_not_finite_is_told_as_ever() -> None:
    with at_work(TwoTables(), DATA, WalkOptions(batch_size=8), engine="batched") as (session, run):
        store = LocalStore.of(session.module, session.space)
        walks = [Walk(store, (Leg((domain,)),), domain) for domain in (0, 1)]
        list(run(walks))
        store.dense.fill_(float("nan"))
        with pytest.raises(OutOfStepError, match="not finite"):
            list(Lockstep(session, Course.of(session, walks)).run())
        with pytest.raises(TrainingError, match="loss became nan"):
            list(run(walks))


def test_outcomes_tell_what_walks_in_turn_tell() -> None:
    with at_work(TwoTables(), DATA, WalkOptions(batch_size=8)) as (session, run):
        store = LocalStore.of(session.module, session.space)
        walks = [Walk(store, (Leg((domain,)),), domain, Moments(step=4)) for domain in (4, 5, 0, 3)]
        wanted = [(o.samples, o.steps, o.moments.step if o.moments else 0) for o in run(walks)]
        found = [
            (o.samples, o.steps, o.moments.step if o.moments else 0) for o in Batched(Walker(session))(walks)
        ]
    assert found == wanted == [(2, 1, 5), (0, 0, 4), (30, 4, 8), (6, 1, 5)]
