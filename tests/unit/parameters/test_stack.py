"""Many points pulled, and many displacements pushed, together: what each store by itself does, to the bit."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mamdr.parameters import (
    Ahead,
    Ids,
    Layout,
    LocalStore,
    Overlay,
    Patched,
    Point,
    Space,
    Stack,
    Store,
    push_all,
)
from mamdr.testing import TwoTables

MODULE = TwoTables()
SPACE = Space.of(MODULE)
LARGEST = min(table.rows for table in SPACE.tables) - 1
IDS = st.lists(st.integers(0, LARGEST), unique=True, max_size=6).map(
    lambda rows: torch.tensor(sorted(rows), dtype=torch.int64)
)
ROWS = st.tuples(IDS, IDS)


def _random(ids: Ids, seed: int) -> Point:
    draw = torch.Generator().manual_seed(seed)
    return Point(SPACE, ids, torch.randn(SPACE.size(ids), generator=draw))


def _shared(space: Space = SPACE) -> LocalStore:
    return LocalStore.of(copy.deepcopy(MODULE), space)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(ROWS, st.one_of(st.none(), ROWS), st.sampled_from([1.0, 0.5, 0.0])), min_size=1, max_size=5
    )
)
def test_a_stack_pulls_what_each_store_pulls(walks: list[tuple[Ids, Ids | None, float]]) -> None:
    shared = _shared()
    parts = {d: _random(own, d) for d, (_, own, _) in enumerate(walks) if own is not None}
    stores = [Overlay(shared, parts, d, share=share) for d, (_, _, share) in enumerate(walks)]
    _same([ids for ids, *_ in walks], stores)


@settings(deadline=None, max_examples=20)
@given(st.lists(ROWS, min_size=2, max_size=4))
def test_overlays_on_overlays_and_other_stores(each: list[Ids]) -> None:
    shared = _shared()
    first = {d: _random(ids, d) for d, ids in enumerate(each[::2])}
    second = {d: _random(ids, 10 + d) for d, ids in enumerate(each)}
    doubled = [Overlay(Overlay(shared, first, d), second, d, share=0.25) for d in range(len(each))]
    _same(each, doubled)
    other: list[Store] = [Ahead(shared, _random(each[0], 5)), Patched(shared, {7: _random(each[1], 6)}, 7)]
    _same([*each, *each[:2]], [*doubled, *other])
    _same([*each, each[0]], [*doubled, Overlay(_shared(), second, 0)])  # on another store


def _same(ids: list[Ids], stores: list[Store] | list[Overlay]) -> None:
    stack = Stack.pull(Layout(SPACE, ids), stores)
    for point, rows, store in zip(stack.points(), ids, stores, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(point.ids, rows, strict=True))
        assert torch.equal(point.flat, store.pull(rows).flat)


def test_a_layout_comes_back_from_its_keys() -> None:
    ids = [tuple(torch.tensor(rows) for rows in each) for each in (([0, 3], [2]), ([3], [0, 1]))]
    layout = Layout(SPACE, ids)
    assert layout.keys[0].tolist() == [0, 3, SPACE.tables[0].rows + 3]
    back = Layout.of_keys(SPACE, 2, layout.keys)
    assert [[rows.tolist() for rows in each] for each in back.ids] == [[[0, 3], [2]], [[3], [0, 1]]]


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(ROWS, st.one_of(st.none(), ROWS), ROWS), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from([1.0, 0.1]),
    st.integers(0, 1 << 20),
)
def test_pushes_together_are_pushes_one_by_one(
    walks: list[tuple[Ids, Ids | None, Ids]], own: bool, rate: float, seed: int
) -> None:
    """Rows that did not move, rows that are not the domain's own, parts that gain rows and parts that do not."""
    moved = [_random(ids, seed + d) for d, (ids, _, _) in enumerate(walks)]
    for point in moved:
        for table in range(len(SPACE.tables)):
            point.rows(table)[::3] = 0
    _pushed_alike(moved, [part for _, part, _ in walks], [rows if own else None for *_, rows in walks], rate)


def _pushed_alike(
    moved: list[Point], held: list[Ids | None], own: list[Ids | None], rate: float, space: Space = SPACE
) -> None:
    shared, ends = _shared(space), []
    for push in (_one_by_one, push_all):
        parts = {
            d: Point(space.part, ids, _random(ids, 50 + d).flat[: space.part.size(ids)])
            for d, ids in enumerate(held)
            if ids is not None
        }
        stores = [Overlay(shared, parts, d, rows) for d, rows in enumerate(own)]
        push([(store, Point(space, p.ids, p.flat)) for store, p in zip(stores, moved, strict=True)], rate)
        ends.append(parts)
    one, other = ends
    assert one.keys() == other.keys()
    for domain, part in one.items():
        assert all(torch.equal(a, b) for a, b in zip(part.ids, other[domain].ids, strict=True))
        assert torch.equal(part.flat, other[domain].flat)


def _one_by_one(pushes: list[tuple[Overlay, Point]], rate: float) -> None:
    for store, displacement in pushes:
        store.push(displacement, rate)


@pytest.mark.parametrize(
    "changed",
    [
        lambda space: dataclasses.replace(space, frozen=frozenset({space.names[0]})),
        lambda space: dataclasses.replace(space, specific=frozenset(space.names[:2])),
        lambda space: dataclasses.replace(space, rank=1),
    ],
    ids=["frozen", "some specific", "of low rank"],
)
def test_what_cannot_be_pushed_together_is_pushed_one_by_one(changed: Callable[[Space], Space]) -> None:
    ids = [tuple(torch.tensor(rows) for rows in each) for each in (([0, 3], [2]), ([3], [0, 1]))]
    moved = [_random(each, d) for d, each in enumerate(ids)]
    _pushed_alike(moved, [None, None], [None, None], 0.5, changed(SPACE))


def test_two_pushes_to_one_domain_add_up() -> None:
    ids = tuple(torch.tensor(rows) for rows in ([0, 3], [2]))
    parts: dict[int, Point] = {}
    store, moved = Overlay(_shared(), parts, 4), _random(ids, 1)
    push_all([(store, moved), (store, moved)], 0.5)
    assert torch.equal(parts[4].flat, moved.flat)


def test_a_part_shares_no_memory_with_others() -> None:
    """One that outlives the others must not keep theirs."""
    ids = tuple(torch.tensor(rows) for rows in ([0, 3], [2]))
    parts: dict[int, Point] = {}
    shared = _shared()
    push_all([(Overlay(shared, parts, domain), _random(ids, domain)) for domain in range(3)], 0.5)
    for part in parts.values():
        assert part.flat.untyped_storage().nbytes() == part.flat.nbytes
        assert all(rows.untyped_storage().nbytes() == rows.nbytes for rows in part.ids)
