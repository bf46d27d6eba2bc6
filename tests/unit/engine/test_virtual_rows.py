"""Rows beside the point: looked up once, found again, and never written back."""

from __future__ import annotations

import torch
from torch import Tensor

from mamdr.engine.inner import SGD
from mamdr.engine.lazy import LazyRows
from mamdr.engine.virtual_rows import VirtualRows


def _rows() -> Tensor:
    return torch.arange(12.0).view(6, 2)


def _lazy(rows: Tensor) -> LazyRows:
    return LazyRows(rows, [], SGD(lr=0.5), 0, torch.zeros(6, dtype=torch.int64), rest=False, penalty=None)


def test_a_lookup_adds_the_rows_it_lacks() -> None:
    virtual = VirtualRows(_rows(), None)
    for places in ([[4, 1], [4, 4]], [[1, 5], [0, 4]], [[5, 5], [1, 0]]):
        wanted = torch.tensor(places)
        where, weight = virtual.look_up(wanted)
        assert torch.equal(weight[where], _rows()[wanted])
    assert [piece.tolist() for piece in virtual.places] == [[1, 4], [0, 5]]
    assert [virtual.slot(place) for place in (1, 4, 0, 5, 2)] == [0, 1, 2, 3, -1]


def test_a_lookup_sees_the_rows_as_they_now_are() -> None:
    rows = _rows()
    virtual = VirtualRows(rows, None)
    virtual.look_up(torch.tensor([1, 4]))
    virtual.now = [piece - 100 for piece in virtual.now]
    where, weight = virtual.look_up(torch.tensor([4, 3]))
    assert weight[where].tolist() == [[-92.0, -91.0], [6.0, 7.0]]
    assert torch.equal(rows, _rows())


def test_the_leaves_are_what_gradients_are_taken_for() -> None:
    virtual = VirtualRows(_rows(), None)
    with torch.no_grad():  # a lookup aside, whose rows may count later in the same step
        virtual.look_up(torch.tensor([2]))
    where, weight = virtual.look_up(torch.tensor([2, 3, 3]))
    (weight[where] ** 2).sum().backward()  # type: ignore[no-untyped-call]
    assert [leaf.grad.tolist() for leaf in virtual.leaves if leaf.grad is not None] == [[[8, 10]], [[24, 28]]]


def test_cleared_it_knows_no_row() -> None:
    virtual = VirtualRows(_rows(), None)
    virtual.look_up(torch.tensor([2, 3]))
    virtual.clear()
    assert virtual.slot(2) == -1
    assert (virtual.places, virtual.leaves, virtual.now) == ([], [], [])
    where, weight = virtual.look_up(torch.tensor([3]))
    assert (where.tolist(), weight.tolist()) == ([0], [[6.0, 7.0]])


def test_no_rows_at_all() -> None:
    where, weight = VirtualRows(_rows(), None).look_up(torch.empty(0, 3, dtype=torch.int64))
    assert (where.shape, weight.shape) == ((0, 3), (0, 2))


def test_whoever_holds_the_rows_lazily_steps_them() -> None:
    rows = _rows()
    lazy = _lazy(rows)
    virtual = VirtualRows(rows, lazy)
    virtual.look_up(torch.tensor([1]))
    virtual.look_up(torch.tensor([1, 4]))
    for leaf in virtual.leaves:
        leaf.grad = torch.ones_like(leaf)
    lazy.step(1)
    expected = _rows()
    expected[[1, 4]] -= 0.5
    assert torch.equal(rows, expected)
