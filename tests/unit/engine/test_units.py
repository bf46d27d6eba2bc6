"""How a walk is dealt to units, and what their displacements come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch

from mamdr.engine import Session, Walker, WalkOptions, trace
from mamdr.engine.sequential import Sequential
from mamdr.engine.units import Units, combined, deal
from mamdr.parameters import LocalStore, Point, Space
from mamdr.strategies import MAMDR, Leg, State, Walk
from mamdr.testing import TwoTables, problem_of, same_bits, tiny_market

SIZES = (40, 26, 9, 1, 0, 17, 33, 300)


@pytest.fixture
def walker() -> Iterator[Walker]:
    module, data = TwoTables(), tiny_market(SIZES)
    with Session(module, trace(module, data.schema), data, WalkOptions(batch_size=8)) as session:
        yield Walker(session)


def _walk(walker: Walker, seed: int = 1) -> Walk:
    store = LocalStore.of(walker.session.module, walker.session.space)
    return Walk(store, tuple(Leg((domain,)) for domain in (7, 3, 0, 6, 2, 1, 5)), seed)


def test_every_leg_is_dealt_once_in_the_walks_order(walker: Walker) -> None:
    dealt = deal(walker, _walk(walker), 3)
    order = (7, 3, 0, 6, 2, 1, 5)
    whole = Counter(leg.domains[0] for walk in dealt for leg in walk.legs if leg.part is None)
    assert whole == Counter(order[1:])
    for walk in dealt:
        places = [order.index(leg.domains[0]) for leg in walk.legs]
        assert all(a <= b for a, b in pairwise(places))


def test_a_hot_domain_is_split_and_each_of_its_rows_walked_once(walker: Walker) -> None:
    dealt = deal(walker, _walk(walker), 3)
    parts = [leg.part for walk in dealt for leg in walk.legs if leg.domains == (7,)]
    assert sorted((part.index, part.count) for part in parts if part) == [(0, 3), (1, 3), (2, 3)]
    samples = [walker(walk).samples for walk in dealt]
    assert sum(samples) == sum(SIZES)
    assert max(samples) < 2 * min(samples)


def test_one_unit_is_the_walk_itself(walker: Walker) -> None:
    walk = _walk(walker)
    assert deal(walker, walk, 1) == [walk]


def test_dealing_is_drawn_from_the_walks_seed(walker: Walker) -> None:
    first, again, other = (deal(walker, _walk(walker, seed), 3) for seed in (1, 1, 2))
    assert [walk.legs for walk in first] == [walk.legs for walk in again]
    assert [walk.legs for walk in first] != [walk.legs for walk in other]


def test_units_in_this_process_are_those_of_a_cluster() -> None:
    from tests.unit.engine.ray.lab import DATA, dropping, on_a_cluster

    from mamdr.testing.lab import OPTIONS

    module, strategy = dropping(), MAMDR(num_helpers=1)
    with Session(module, trace(module, DATA.schema), DATA, OPTIONS) as session:
        from mamdr.seeds import derive

        walker = Walker(session)
        state = State(LocalStore.of(module, session.space), seed=derive(1, "strategy"))
        for _ in range(2):
            state = strategy.round(state, problem_of(session), Units(walker, Sequential(walker), 3))
            state.round += 1
        assert same_bits(state, on_a_cluster(strategy, 2, units=3, shards=2))


def test_rows_are_averaged_over_the_units_that_have_them() -> None:
    space = Space.of(torch.nn.ModuleDict({"item": torch.nn.Embedding(9, 2), "out": torch.nn.Linear(2, 1)}))
    points = [Point.zeros(space, (torch.tensor(rows),)) for rows in ([1, 2], [2, 3], [2])]
    for number, point in enumerate(points, start=1):
        point.flat.fill_(float(number))
    mean, total = (combined(points, how) for how in ("mean", "sum"))
    assert mean.ids[0].tolist() == [1, 2, 3]
    assert mean.rows(0)[:, 0].tolist() == [1, 2, 2]
    assert total.rows(0)[:, 0].tolist() == [1, 6, 2]
    assert mean.dense.tolist() == [2.0] * 3
    assert total.dense.tolist() == [6.0] * 3
