"""The policy of docs/architecture.md, "Buffers": who sets running statistics, and what is averaged and what not."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.unit.engine.zoo import make
from tests.unit.models.zoo import SMALL
from torch import Tensor, nn

from mamdr.models import build
from mamdr.parameters import LocalStore, Overlay
from mamdr.seeds import derive
from mamdr.strategies import (
    MAMDR,
    Alternate,
    DomainNegotiation,
    DomainRegularization,
    Finetune,
    Joint,
    Leg,
    Reptile,
    Separate,
    State,
    Strategy,
    Then,
    Walk,
)
from mamdr.strategies.mean import MeanBuffers
from mamdr.testing import same_bits, tiny_market, train
from mamdr.testing.lab import at_work
from mamdr.training import fit

DATA = tiny_market(numeric=True)
STATISTICS = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
ALL: dict[str, Strategy] = {
    "alternate": Alternate(),
    "joint": Joint(),
    "dn": DomainNegotiation(outer_lr=0.5),
    "dr": DomainRegularization(num_helpers=2),
    "dr, one optimizer": DomainRegularization(num_helpers=1, inner_state="kept"),
    "mamdr": MAMDR(num_helpers=1),
    "dr, then dn": Then(DomainRegularization(num_helpers=1), DomainNegotiation()),
    "reptile": Reptile(),
    "separate": Separate(),
    "finetune": Finetune(after=DomainNegotiation()),
}


def normed(kind: str = "batch norm") -> nn.Module:
    return make(kind) if kind == "batch norm" else build("star", DATA.schema, SMALL["star"])


def after(strategy: Strategy, rounds: int = 1, kind: str = "batch norm", jobs: int = 1) -> State:
    return train(normed(kind), DATA, strategy, rounds, jobs=jobs)


def ends(kind: str, seed: str, specific: bool) -> list[dict[str, Tensor]]:
    """The buffers that a walk over each domain's own rows changes, in the first round of a strategy."""
    module, found = normed(kind), []
    with at_work(module, DATA) as (session, run):
        shared = LocalStore.of(copy.deepcopy(module), session.space)
        for domain in range(4):
            store = Overlay(shared, {}, domain) if specific else shared
            walk = Walk(store, (Leg((domain,)),), derive(1, seed, 0, domain))
            found.append(next(iter(run([walk]))).buffers)
    return found


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", ["batch norm", "star"])
@pytest.mark.parametrize("name", list(ALL))
def test_no_strategy_leaves_them_as_they_began(name: str, kind: str) -> None:
    began = dict(normed(kind).named_buffers())
    found = after(ALL[name], kind=kind).buffers
    assert began.keys() == found.keys()
    assert not any(torch.equal(began[key], found[key]) for key in began)


@pytest.mark.parametrize("kind", ["batch norm", "star"])
@pytest.mark.parametrize("name", ["dr", "mamdr", "reptile", "separate"])
def test_processes_give_the_same_bits(name: str, kind: str) -> None:
    assert same_bits(after(ALL[name], 2, kind), after(ALL[name], 2, kind, jobs=2))


@pytest.mark.parametrize("kind", ["batch norm", "star"])
def test_dn_takes_those_of_its_walk_whole(kind: str) -> None:
    """Whatever share of the displacement it takes: they are no parameters."""
    strategy = DomainNegotiation(outer_lr=0.1)
    with at_work(normed(kind), DATA) as (session, run):
        store = LocalStore.of(copy.deepcopy(session.module), session.space)
        state = State(store, seed=1)
        legs = tuple(Leg((domain,)) for domain in strategy.order(state, _problem()))
        walked = next(iter(run([Walk(store, legs, derive(1, "negotiation", 0))]))).buffers
    assert same(after(strategy, kind=kind).buffers, walked)


def _problem() -> object:
    class Sizes:
        trainable = (0, 1, 2, 3)

    return Sizes()


@pytest.mark.parametrize("kind", ["batch norm", "star"])
def test_dr_leaves_those_of_dn(kind: str) -> None:
    negotiated = after(DomainNegotiation(), 2, kind).buffers
    assert same(after(MAMDR(num_helpers=2), 2, kind).buffers, negotiated)
    assert same(after(Finetune(after=DomainNegotiation()), 2, kind).buffers, negotiated)


def test_once_shared_parameters_are_trained_dr_leaves_them_in_any_order() -> None:
    class Watched(DomainRegularization):
        def round(self, state, problem, run):  # type: ignore[no-untyped-def]
            before = dict(state.buffers)
            state = super().round(state, problem, run)
            left.append(same(before, state.buffers))
            return state

    left: list[bool] = []
    after(Then(Watched(num_helpers=1), DomainNegotiation()), 3)
    assert left == [False, True, True]


@pytest.mark.parametrize(
    ("strategy", "seed", "specific"), [(Reptile(), "reptile", False), (Separate(), "separate", True)]
)
def test_a_domains_statistics_are_its_own_walks(strategy: Strategy, seed: str, specific: bool) -> None:
    found = after(strategy, kind="star").buffers
    own = ends("star", seed, specific)
    for domain in range(3):  # the last one has a single row, which moves no statistics
        for name in ("norm.mean", "norm.variance", "norm.batches"):
            assert torch.equal(found[name][domain], own[domain][name][domain])
    assert found["norm.mean"][3].tolist() == [0] * found["norm.mean"].shape[1]


@pytest.mark.parametrize(
    ("strategy", "seed", "specific"), [(Reptile(), "reptile", False), (Separate(), "separate", True)]
)
def test_statistics_that_a_module_has_once_are_the_mean_over_walks(
    strategy: Strategy, seed: str, specific: bool
) -> None:
    found, own = after(strategy).buffers, [end for end in ends("batch norm", seed, specific) if end]
    assert len(own) == 3
    for name in ("norm.running_mean", "norm.running_var"):
        torch.testing.assert_close(found[name], torch.stack([end[name] for end in own]).mean(0))
    assert found["norm.num_batches_tracked"] == max(end["norm.num_batches_tracked"] for end in own) == 5


def test_a_run_scores_by_them() -> None:
    """What training measures is what the module gives that the run hands out, statistics and all."""
    run = fit(normed(), DATA, MAMDR(num_helpers=1), rounds=2, batch_size=8)
    module = run.module_for(0)
    assert {name for name, _ in module.named_buffers()} == STATISTICS
    assert all(torch.equal(buffer, run.state.buffers[name]) for name, buffer in module.named_buffers())
    batch, _ = next(DATA.test.batches([0], 100, None))
    scored = torch.from_numpy(dict(run.predict("test"))[0])
    torch.testing.assert_close(scored, torch.sigmoid(module(batch)), rtol=0, atol=1e-6)


def test_means_by_hand() -> None:
    """Row 0 moved by two walks, row 1 by the second alone, row 2 by none; a count; a buffer that began nowhere."""
    start = {"mean": torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), "count": torch.tensor([4, 4])}
    mean = MeanBuffers(start)
    mean.add({"mean": torch.tensor([[5.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), "count": torch.tensor([9, 4])})
    mean.add({"mean": torch.tensor([[7.0, 2.0], [8.0, 2.0], [3.0, 3.0]]), "new": torch.tensor([6.0])})
    mean.add({"count": torch.tensor([4, 6]), "new": torch.tensor([8.0])})
    found = mean.value()
    assert found["mean"].tolist() == [[6.0, 1.5], [8.0, 2.0], [3.0, 3.0]]
    assert found["count"].tolist() == [9, 6]
    assert found["new"].tolist() == [7.0]
