"""What every store must do, wherever it keeps its parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from mamdr.parameters import Ids, Point, Space, Store
from mamdr.testing.lab import parameters_of
from mamdr.testing.modules import TwoTables


class StoreConformance(ABC):
    """Tests of a store: subclass it, name the subclass Test..., return a fresh store with the module's values."""

    @abstractmethod
    def store(self, module: TwoTables, space: Space) -> Store:
        """A store that serves the module's present values."""

    def _fresh(self) -> tuple[TwoTables, Store]:
        module = TwoTables()
        return module, self.store(module, Space.of(module))

    def test_a_pull_holds_the_values_of_the_rows_asked_for(self) -> None:
        module, store = self._fresh()
        point = store.pull(_ids([1, 4, 22], [0]))
        assert torch.equal(point.rows(0), module.user.weight[[1, 4, 22]])
        assert torch.equal(point.rows(1), module.item.weight[[0]])
        assert torch.equal(point.parameter(0), module.hidden.weight)

    def test_a_pull_copies(self) -> None:
        _, store = self._fresh()
        before = parameters_of(store)
        store.pull(_ids([1, 2], [3])).flat.fill_(7.0)
        _same(before, parameters_of(store))

    def test_a_pull_of_no_rows_holds_the_dense_part_alone(self) -> None:
        _, store = self._fresh()
        assert len(store.pull(store.space.no_ids()).flat) == store.space.dense_size

    def test_a_pull_uses_the_buffer_it_is_given(self) -> None:
        _, store = self._fresh()
        buffer = torch.full((1000,), 9.0)
        point = store.pull(_ids([5], [6]), lambda size: buffer[:size])
        assert point.flat.data_ptr() == buffer.data_ptr()
        assert torch.equal(point.flat, store.pull(_ids([5], [6])).flat)

    def test_a_push_adds_the_rate_times_the_displacement(self) -> None:
        _, store = self._fresh()
        before, displacement = parameters_of(store), _displacement(store.space)
        store.push(displacement, 0.5)
        moved = parameters_of(displacement)
        for name, value in parameters_of(store).items():
            torch.testing.assert_close(value, before[name] + 0.5 * moved[name], rtol=0, atol=1e-7)

    def test_rows_that_a_displacement_lacks_do_not_move(self) -> None:
        _, store = self._fresh()
        before, displacement = parameters_of(store), _displacement(store.space)
        store.push(displacement, 0.5)
        after = parameters_of(store)
        for t, table in enumerate(store.space.tables):
            others = [row for row in range(table.rows) if row not in displacement.ids[t].tolist()]
            assert torch.equal(after[table.name][others], before[table.name][others])

    def test_pushes_of_other_rows_add_up(self) -> None:
        _, store = self._fresh()
        before = parameters_of(store)
        first, second = _displacement(store.space, 1), _displacement(store.space, 2, _ids([0, 2, 3], [9, 16]))
        store.push(first, 1.0)
        store.push(second, 0.25)
        one, two = parameters_of(first), parameters_of(second)
        for name, value in parameters_of(store).items():
            torch.testing.assert_close(value, before[name] + one[name] + 0.25 * two[name], rtol=0, atol=1e-6)

    def test_a_push_does_not_change_the_displacement(self) -> None:
        _, store = self._fresh()
        displacement = _displacement(store.space)
        before = displacement.flat.clone()
        store.push(displacement, 0.5)
        assert torch.equal(displacement.flat, before)

    def test_a_push_keeps_nothing_of_the_displacement(self) -> None:
        """The buffers behind a displacement are used again by the next walk."""
        _, store = self._fresh()
        displacement = _displacement(store.space)
        store.push(displacement, 0.5)
        after = parameters_of(store)
        displacement.flat.fill_(5.0)
        _same(after, parameters_of(store))

    def test_rate_zero_changes_nothing(self) -> None:
        _, store = self._fresh()
        before = parameters_of(store)
        store.push(_displacement(store.space), 0.0)
        _same(before, parameters_of(store))


def _ids(*rows: list[int]) -> Ids:
    return tuple(torch.tensor(each, dtype=torch.int64) for each in rows)


def _displacement(space: Space, seed: int = 1, ids: Ids | None = None) -> Point:
    point = Point.zeros(space, _ids([2, 3, 11], [0, 9]) if ids is None else ids)
    point.flat.copy_(torch.randn(len(point.flat), generator=torch.Generator().manual_seed(seed)))
    return point


def _same(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> None:
    assert all(torch.equal(before[name], after[name]) for name in before)
