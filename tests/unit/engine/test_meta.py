"""Any module looks ahead as plain autograd would, whatever it does with its embeddings; what cannot be is an error."""

from __future__ import annotations

import copy
from typing import Literal

import numpy as np
import pytest
import torch
from tests.oracles import learning
from tests.oracles import meta as oracle
from tests.oracles.optimizers import Params
from tests.unit.engine.zoo import ZOO, Plain, make
from torch import Tensor, nn

from mamdr.data.domains import Batch
from mamdr.engine import Walker, WalkOptions, inner, meta
from mamdr.errors import ModelError
from mamdr.parameters import LocalStore
from mamdr.seeds import derive, generator
from mamdr.strategies import Leg, Meta, Outcome, Walk
from mamdr.testing import TwoTables, parameters_of, tiny_market
from mamdr.testing.lab import at_work

DATA = tiny_market((30, 21, 10), numeric=True)
ASIDE = {"max_norm", "max_norm, one table twice", "bag max_norm"}
ONCE = {name for name in ZOO if name.startswith("bag")}
"""Torch has no second derivative of its bags."""


def _walk(order: Literal[1, 2], own: float) -> Walk:
    rows = Meta("rows", 0.6, rate=0.5, inner_steps=2, order=order, own=own, seed=3)
    domains = Meta("domains", 0.6, rate=0.5, order=order, own=own, ahead=0.7)
    legs = (Leg((1,), meta=rows), Leg((0, 1, 2), 4, meta=domains), Leg((2,)), Leg((2,), meta=rows))
    return Walk(None, legs, seed=9)  # type: ignore[arg-type]


def walked(module: nn.Module, options: WalkOptions, walk: Walk) -> tuple[Params, Outcome]:
    """The displacement of a walk, every parameter in full; the module itself is left alone."""
    with at_work(copy.deepcopy(module), DATA, options) as (session, _):
        store = LocalStore.of(copy.deepcopy(module), session.space)
        outcome = Walker(session)(Walk(store, walk.legs, walk.seed))
        return parameters_of(outcome.displacement), outcome


def plain(module: nn.Module, options: WalkOptions, walk: Walk) -> Params:
    """The same by whole parameters and SGD."""
    module = copy.deepcopy(module).train()
    for part in module.modules():
        if isinstance(part, (nn.Embedding, nn.EmbeddingBag)):
            part.sparse = False
    start = here = learning.parameters_of(module)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(walk.seed, "torch"))
        for number, leg in enumerate(walk.legs):
            draw, virtual = generator(walk.seed, "batches", number), generator(walk.seed, "virtual", number)
            for step, parts in enumerate(_parts(leg, options.batch_size, draw, virtual)):
                if leg.steps is None or step < leg.steps:
                    gradient = _gradient(module, here, leg.meta, parts)
                    here = learning.add(here, gradient, -options.inner.lr)
    return learning.add(here, start, -1.0)


def _parts(
    leg: Leg, size: int, draw: np.random.Generator, virtual: np.random.Generator
) -> list[tuple[meta.Part, ...]]:
    if leg.meta is None:
        return [(part,) for part in DATA.train.batches(leg.domains, size, draw)]
    if leg.meta.split == "rows":
        drawn = DATA.train.support_and_query(leg.domains[0], leg.meta.share, leg.meta.seed, size, draw)
        return [oracle.cut(*each) for each in drawn]
    return [meta.by_domain(p, leg.meta.share, virtual) for p in DATA.train.batches(leg.domains, size, draw)]


def _gradient(module: nn.Module, here: Params, said: Meta | None, parts: tuple[meta.Part, ...]) -> Params:
    start = oracle.leaves(here)
    first = _loss(module, start, parts[0])
    if said is None or len(parts) == 1:
        assert said is None or said.own in (0, 1)
        return oracle.slope(first * (1.0 if said is None else said.own), start)
    own = oracle.slope(first, start, graph=True)
    ahead, slope = start, own
    for step in range(said.inner_steps):
        slope = oracle.slope(_loss(module, ahead, parts[0]), ahead, graph=True) if step else own
        ahead = learning.add(ahead, slope, -said.rate)
    if said.order == 2:
        return oracle.slope(said.own * first + said.ahead * _loss(module, ahead, parts[1]), start)
    ahead = oracle.leaves(ahead)
    beyond = oracle.slope(_loss(module, ahead, parts[1]), ahead)
    return {name: said.own * own[name].detach() + said.ahead * beyond[name] for name in here}


def _loss(module: nn.Module, params: Params, part: meta.Part) -> Tensor:
    """The mean over domains of mean losses, in one forward pass, as random draws depend on how often it runs."""
    inputs, labels = part
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d):
            norm.train(len(labels) > 1)
    logits = torch.func.functional_call(module, params, (inputs,))
    losses = nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
    return torch.stack([losses[inputs["domain"] == d].mean() for d in inputs["domain"].unique()]).mean()


@pytest.mark.parametrize("rows", ["dense", "lazy"])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", sorted(set(ZOO) - ASIDE))
def test_any_module_looks_ahead(name: str, order: Literal[1, 2], rows: Literal["dense", "lazy"]) -> None:
    module, walk = make(name).double(), _walk(order, 1.0)
    options = WalkOptions(batch_size=8, inner=inner.SGD(lr=0.2), rows=rows, dropout="torch")
    if name in ONCE and order == 2:
        with pytest.raises(ModelError, match="cannot be differentiated twice"):
            walked(module, options, walk)
        return
    found, expected = walked(module, options, walk)[0], plain(module, options, walk)
    for parameter, want in expected.items():
        torch.testing.assert_close(found[parameter], want, rtol=0, atol=1e-12)
    assert any(bool(value.any()) for value in found.values())


@pytest.mark.parametrize("name", sorted(ASIDE))
def test_rows_that_change_while_they_are_looked_up_are_an_error(name: str) -> None:
    with pytest.raises(ModelError, match=r"has max_norm = 0\.8"):
        walked(make(name), WalkOptions(batch_size=8), _walk(1, 0.0))


class Recurrent(Plain):
    """A recurrent network, which keeps a list of its weights beside the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.over = nn.GRU(4, 8, batch_first=True)

    def forward(self, batch: Batch) -> Tensor:
        rows = torch.stack([self.user(batch["user_id"]), self.item(batch["item_id"])], 1)
        return self.head(self.over(rows)[1][0])


class Aside(Plain):
    """Keeps a parameter where nobody looks for it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.hidden_away = [self.scale]

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) * self.hidden_away[0]


@pytest.mark.parametrize("order", [1, 2])
def test_a_recurrent_network(order: Literal[1, 2]) -> None:
    torch.manual_seed(3)
    module, walk = Recurrent().double(), _walk(order, 1.0)
    options = WalkOptions(batch_size=8, inner=inner.SGD(lr=0.2))
    found, expected = walked(module, options, walk)[0], plain(module, options, walk)
    for parameter, want in expected.items():
        torch.testing.assert_close(found[parameter], want, rtol=0, atol=1e-12)


def test_a_parameter_reached_past_its_attribute_is_an_error() -> None:
    with pytest.raises(ModelError, match="in a way of its own"):
        walked(Aside(), WalkOptions(batch_size=8), _walk(1, 0.0))


def test_the_module_is_its_own_again_after_an_error() -> None:
    module = Aside()
    before = {name: (id(p), p.detach().clone()) for name, p in module.named_parameters()}
    with pytest.raises(ModelError), at_work(module, DATA) as (session, _):
        Walker(session)(Walk(LocalStore.of(module, session.space), _walk(1, 0.0).legs, 9))
    for name, parameter in module.named_parameters():
        assert id(parameter) == before[name][0]
        assert torch.equal(parameter, before[name][1])


@pytest.mark.parametrize("order", [1, 2])
def test_packed_dropout_and_penalty_are_those_of_lazy_and_dense_rows(order: Literal[1, 2]) -> None:
    module, walk, ends = TwoTables(dropout=0.5).double(), _walk(order, 1.0), []
    for rows in ("dense", "lazy"):
        options = WalkOptions(batch_size=8, inner=inner.SGD(lr=0.2), rows=rows, embedding_l2=0.01)  # type: ignore[arg-type]
        ends.append(walked(module, options, walk))
    for name, value in ends[0][0].items():
        torch.testing.assert_close(value, ends[1][0][name], rtol=0, atol=1e-12)
    without = walked(module, WalkOptions(batch_size=8, inner=inner.SGD(lr=0.2)), walk)[0]
    assert not torch.allclose(without["user.weight"], ends[0][0]["user.weight"], atol=1e-4)


def test_samples_are_the_rows_of_both_parts() -> None:
    legs = (Leg((1,), meta=Meta("rows", 0.5, 0.1)), Leg((0, 2), meta=Meta("domains", 0.5, 0.1, own=1.0)))
    outcome = walked(TwoTables(), WalkOptions(batch_size=8), Walk(None, legs, 1))[1]  # type: ignore[arg-type]
    assert outcome.samples == 21 + 40
    assert outcome.steps == 3 + 5


def _part(*domains: int) -> meta.Part:
    ids = torch.arange(len(domains))
    return {"domain": torch.tensor(domains), "user_id": ids}, ids.float()


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.5, 2), (0.75, 3), (0.99, 3)])
def test_domains_are_parted_whole(share: float, count: int) -> None:
    seen = set()
    for seed in range(40):
        support, query = meta.by_domain(_part(5, 2, 5, 9, 2, 7), share, np.random.default_rng(seed))
        ours, theirs = (set(part[0]["domain"].tolist()) for part in (support, query))
        assert len(ours) == count
        assert ours.isdisjoint(theirs)
        assert ours | theirs == {2, 5, 7, 9}
        assert sorted([*support[1].tolist(), *query[1].tolist()]) == list(range(6))
        assert all(torch.equal(part[0]["user_id"].float(), part[1]) for part in (support, query))
        seen.add(frozenset(ours))
    assert len(seen) > 3


def test_one_domain_alone_is_support() -> None:
    part = _part(3, 3)
    assert meta.by_domain(part, 0.5, np.random.default_rng(0)) == (part,)


def test_weights_are_a_mean_of_means() -> None:
    assert meta.domain_weights(torch.tensor([4, 4])) is None
    found = meta.domain_weights(torch.tensor([4, 1, 4, 4]))
    assert found is not None
    assert found.tolist() == [1 / 6, 1 / 2, 1 / 6, 1 / 6]
