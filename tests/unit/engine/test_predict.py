"""Many domains scored at once have the scores that each has by itself."""

from __future__ import annotations

import functools

import pytest
import torch
from tests.unit.engine.zoo import ZOO, make

from mamdr.data.domains import Batch
from mamdr.engine import Predictor
from mamdr.parameters import LocalStore, Overlay, Point
from mamdr.strategies import MAMDR, Alternate, DomainRegularization, Finetune, Freeze, State, Strategy
from mamdr.testing import TwoTables, tiny_market, train
from mamdr.testing.lab import at_work

DATA = tiny_market((30, 0, 9, 1, 12), numeric=True)
STRATEGIES: dict[str, Strategy] = {
    "shared alone": Alternate(),
    "a part each": MAMDR(num_helpers=1, specific_lr=1.0),
    "two parts each": Finetune(DomainRegularization(num_helpers=1)),
    "a part, some frozen": Freeze(DomainRegularization(num_helpers=1), frozen=("user.weight",)),
}


def both(
    module: torch.nn.Module, strategy: Strategy, state: State
) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
    """Each domain with its scores among others and by itself."""
    with at_work(module, DATA, space=state.space) as (session, _):
        predictor = Predictor(session, DATA.test, state.buffers)
        served = functools.partial(strategy.params_for, state)
        together = list(predictor.many(lambda domain: [served(domain)], range(5)))
        return [(domain, scores, predictor(served(domain), domain)) for domain, scores in together]


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_together_is_one_by_one(strategy: Strategy) -> None:
    module = TwoTables()
    state = train(module, DATA, strategy)
    compared = both(module, strategy, state)
    assert [domain for domain, _, _ in compared] == list(range(5))
    for domain, together, alone in compared:
        assert len(together) == 7
        if domain in state.specific or domain in state.tuned:
            assert torch.equal(together, alone)
        else:
            torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_domains_with_parts_do_not_leak_into_others() -> None:
    """Large parts on every second domain, and a share of one: the rest are as if there were none."""
    module = TwoTables()
    state = train(module, DATA, Alternate(), rounds=1)
    none = {domain: scores for domain, scores, _ in both(module, DomainRegularization(), state)}
    for domain in (0, 2, 4):
        size = state.space.size(state.space.all_ids())
        state.specific[domain] = Point(state.space, state.space.all_ids(), torch.randn(size))
    state.shares = {2: 0.0}
    for domain, together, alone in both(module, DomainRegularization(), state):
        torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
        assert torch.allclose(together, none[domain], atol=1e-6) == (domain not in (0, 4))


@pytest.mark.parametrize("name", list(ZOO))
def test_every_awkward_module(name: str) -> None:
    module = make(name)
    strategy = MAMDR(num_helpers=1)
    for _, together, alone in both(module, strategy, train(module, DATA, strategy, rounds=1)):
        torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_stores_that_have_nothing_in_common() -> None:
    module = TwoTables()
    state = train(module, DATA, Alternate(), rounds=1)
    ids = state.space.all_ids()
    stores = []
    for domain in range(5):
        point = state.shared.pull(ids)
        tables = [point.rows(t).clone() for t in range(len(ids))]
        stores.append(Overlay(LocalStore(state.space, point.dense * domain, tables), {}, domain))
    with at_work(module, DATA, space=state.space) as (session, _):
        predictor = Predictor(session, DATA.test, state.buffers)
        for domain, scores in predictor.many(lambda domain: [stores[domain]], range(5)):
            assert torch.equal(scores, predictor(stores[domain], domain))
        several = {
            0: stores[:1],
            1: stores[1:2],
            2: [stores[4], stores[0], stores[2]],
            3: stores[3:],
            4: stores[4:],
        }
        for domain, scores in predictor.many(several.__getitem__, range(5)):
            each = [predictor(store, domain) for store in several[domain]]
            torch.testing.assert_close(scores, sum(each) / len(each), rtol=0, atol=1e-7)


def test_a_domain_that_several_stores_serve_does_not_part_the_others() -> None:
    """The others are still pulled and scored together, with the bits that they have without it."""
    module = TwoTables()
    state = train(module, DATA, Alternate(), rounds=1)
    other = LocalStore(state.space, state.shared.dense * 2, state.shared.tables)
    with at_work(module, DATA, space=state.space) as (session, _):
        predictor = Predictor(session, DATA.test, state.buffers)
        alone = dict(predictor.many(lambda domain: [state.shared], (0, 1, 3, 4)))
        mixed = dict(
            predictor.many(lambda domain: [state.shared, other] if domain == 2 else [state.shared], range(5))
        )
        mean = (predictor(state.shared, 2) + predictor(other, 2)) / 2
    assert list(mixed) == list(range(5))
    assert all(torch.equal(mixed[domain], scores) for domain, scores in alone.items())
    torch.testing.assert_close(mixed[2], mean, rtol=0, atol=1e-7)


class OfOneDomain(TwoTables):
    """Takes the domain of a batch's first row for all of them, as some published models do."""

    def forward(self, batch: Batch) -> torch.Tensor:
        return super().forward(batch) + batch["domain"][0]


def test_a_module_that_takes_a_batch_for_one_domains_scores_domain_by_domain() -> None:
    module = OfOneDomain()
    state = train(module, DATA, Alternate(), rounds=1)
    compared = both(module, Alternate(), state)
    for _, together, alone in compared:
        assert torch.equal(together, alone)
    assert len({float(scores.mean()) for _, scores, _ in compared}) == 5


def test_a_module_that_is_bound_twice_is_told_at_once() -> None:
    """Who scores a module within a session of its own is told so, and does not wait for ever."""
    module = TwoTables()
    state = train(module, DATA, Alternate(), rounds=1)
    with (
        at_work(module, DATA, space=state.space) as (outer, _),
        at_work(module, DATA, space=state.space),
        pytest.raises(RuntimeError, match="bound twice"),
    ):
        Predictor(outer, DATA.test, state.buffers)(state.shared, 0)
