"""Inner products of points."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mamdr.parameters import Point, Space
from mamdr.parameters.gram import gram


class _Module(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(11, 3), nn.Embedding(7, 5)
        self.out = nn.Linear(8, 1)


def _points(rows: list[tuple[list[int], list[int]]], seed: int = 0, scale: float = 1.0) -> list[Point]:
    space, points = Space.of(_Module()), []
    draw = torch.Generator().manual_seed(seed)
    for users, items in rows:
        ids = (torch.tensor(users, dtype=torch.int64), torch.tensor(items, dtype=torch.int64))
        points.append(Point(space, ids, scale * torch.randn(space.size(ids), generator=draw)))
    return points


def _slowly(points: list[Point]) -> Tensor:
    """Every point with all rows, as one long vector."""
    whole = torch.stack([point.at(point.space.all_ids()).flat for point in points]).double()
    return whole @ whole.T


SOME = [([0, 3, 9], [1]), ([3, 4], []), ([], [1, 2, 6]), ([0, 3, 4, 10], [1, 6]), ([], [])]


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_it_is_that_of_the_whole_vectors(scale: float) -> None:
    points = _points(SOME, scale=scale)
    torch.testing.assert_close(gram(points), _slowly(points), rtol=1e-12, atol=0)


def test_rows_that_all_hold_and_rows_that_one_holds() -> None:
    everything = list(range(11)), list(range(7))
    points = _points([everything] * 6 + [([2], [3])])
    torch.testing.assert_close(gram(points), _slowly(points), rtol=1e-12, atol=1e-14)


def test_it_is_symmetric_to_the_bit() -> None:
    found = gram(_points(SOME * 5))
    assert torch.equal(found, found.T)


def test_points_taken_in_another_order_give_the_same_products_in_that_order() -> None:
    points, order = _points(SOME), [3, 0, 4, 2, 1]
    there = gram([points[i] for i in order])
    torch.testing.assert_close(there, gram(points)[order][:, order], rtol=1e-14, atol=0)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points = _points(SOME)
    whole = gram(points)
    monkeypatch.setattr("mamdr.parameters.gram.BLOCK", 8)
    torch.testing.assert_close(gram(points), whole, rtol=1e-13, atol=0)


def test_without_points_it_is_empty() -> None:
    assert gram([]).shape == (0, 0)
