"""LocalStore and Overlay behave as stores do, and an overlay as Equation 4 says."""

from __future__ import annotations

import copy

import pytest
import torch

from mamdr.parameters import LocalStore, Overlay, Patched, Point, Space, Store
from mamdr.testing import StoreConformance, TwoTables, parameters_of


def _ids(*rows: list[int]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(each, dtype=torch.int64) for each in rows)


def _random(space: Space, ids: tuple[torch.Tensor, ...], seed: int = 0) -> Point:
    size = space.size(ids)
    return Point(space, ids, torch.randn(size, generator=torch.Generator().manual_seed(seed)))


class TestLocalStore(StoreConformance):
    def store(self, module: TwoTables, space: Space) -> Store:
        return LocalStore.of(module, space)


class TestOverlay(StoreConformance):
    def store(self, module: TwoTables, space: Space) -> Store:
        return Overlay(LocalStore.of(module, space), {}, 3)


class TestOverlayWithSpecific(StoreConformance):
    """The same, where shared lacks what the specific part brings."""

    def store(self, module: TwoTables, space: Space) -> Store:
        shared = LocalStore.of(copy.deepcopy(module), space)
        specific = shared.pull(_ids([2, 4, 22], [0, 1]))
        shared.push(specific, -1.0)
        return Overlay(shared, {3: specific}, 3)


class TestPatched(StoreConformance):
    """Some rows and the dense part from a patch, the others from the store behind it."""

    def store(self, module: TwoTables, space: Space) -> Store:
        behind = LocalStore.of(copy.deepcopy(module), space)
        patch = behind.pull(_ids([2, 4, 22], [0, 1]))
        behind.push(patch, -1.0)  # what the patch has must not be read from behind
        return Patched(behind, {3: patch}, 3)


def test_a_push_to_a_patched_store_leaves_the_store_behind_alone() -> None:
    module = TwoTables()
    behind = LocalStore.of(module, Space.of(module))
    patches = {3: behind.pull(_ids([2], [0]))}
    before = parameters_of(behind)
    store = Patched(behind, patches, 3)
    store.push(store.pull(_ids([1, 2], [5])), 1.0)
    assert all(torch.equal(values, parameters_of(behind)[name]) for name, values in before.items())
    assert patches[3].ids[0].tolist() == [1, 2]
    assert patches[3].ids[1].tolist() == [0, 5]
    found = parameters_of(store)
    for name, values in before.items():
        moved = {"user.weight": [1, 2], "item.weight": [5]}.get(name, slice(None))
        torch.testing.assert_close(found[name][moved], 2 * values[moved])


@pytest.fixture
def shared() -> LocalStore:
    module = TwoTables()
    return LocalStore.of(module, Space.of(module))


def test_tables_are_the_modules_memory_and_the_dense_part_is_a_copy() -> None:
    module = TwoTables()
    store = LocalStore.of(module, Space.of(module))
    hidden = module.hidden.weight.detach().clone()
    store.push(_random(store.space, _ids([3], [])), 1.0)
    assert torch.equal(store.tables[0][3], module.user.weight[3])
    assert torch.equal(module.hidden.weight, hidden)


def test_overlay_pull_is_shared_plus_specific(shared: LocalStore) -> None:
    specific = _random(shared.space, _ids([1, 5, 9], [2]))
    pulled = Overlay(shared, {0: specific}, 0).pull(_ids([0, 5, 9, 10], [2, 3]))
    expected = shared.pull(pulled.ids)
    expected.dense.add_(specific.dense)
    expected.rows(0)[1:3] += specific.rows(0)[1:]
    expected.rows(1)[0] += specific.rows(1)[0]
    assert torch.equal(pulled.flat, expected.flat)


def test_overlay_push_never_changes_shared_or_other_domains(shared: LocalStore) -> None:
    before = parameters_of(shared)
    others = {1: _random(shared.space, _ids([1], [2]))}
    kept = others[1].flat.clone()
    Overlay(shared, others, 0).push(_random(shared.space, _ids([1, 2], [2])), 0.3)
    assert all(torch.equal(value, before[name]) for name, value in parameters_of(shared).items())
    assert torch.equal(others[1].flat, kept)


def test_overlay_without_a_specific_part_is_shared(shared: LocalStore) -> None:
    ids = _ids([0, 3], [4])
    assert torch.equal(Overlay(shared, {}, 0).pull(ids).flat, shared.pull(ids).flat)


def test_overlay_keeps_only_the_rows_it_is_told(shared: LocalStore) -> None:
    specific: dict[int, Point] = {}
    displacement = _random(shared.space, _ids([1, 2, 5], [0, 3]))
    Overlay(shared, specific, 0, _ids([2, 4], [3])).push(displacement, 1.0)
    assert [ids.tolist() for ids in specific[0].ids] == [[2], [3]]
    assert torch.equal(specific[0].rows(0)[0], displacement.rows(0)[1])


def test_only_parameters_that_may_be_specific_are_kept() -> None:
    module = TwoTables()
    shared = LocalStore.of(
        module, Space.of(module, specific=lambda name: not name.startswith(("user", "logit")))
    )
    specific: dict[int, Point] = {}
    displacement = _random(shared.space, _ids([1, 2], [3]))
    Overlay(shared, specific, 0).push(displacement, 1.0)
    kept, all_of_it = parameters_of(specific[0]), parameters_of(displacement)
    assert kept.keys() == {"user.weight", "item.weight", "hidden.weight", "hidden.bias"}
    assert not kept.pop("user.weight").any()
    assert all(torch.equal(value, all_of_it[name]) for name, value in kept.items())
    assert len(specific[0].ids[0]) == 0
