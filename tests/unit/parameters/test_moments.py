"""What optimizers remember: zero where nothing was touched, kept where a walk was not."""

from __future__ import annotations

import torch

from mamdr.parameters import Moments, Point, Space
from mamdr.testing import TwoTables

SPACE = Space.of(TwoTables())


def _point(value: float, users: list[int]) -> Point:
    ids = (torch.tensor(users, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
    return Point(SPACE, ids, torch.full((SPACE.size(ids),), value))


def test_what_is_not_remembered_is_zero_even_in_a_used_buffer() -> None:
    buffer = torch.full((1000,), 9.0)
    ids = _point(0.0, [1, 2]).ids
    for taken in (
        Moments().at(SPACE, ["mean"], ids),
        Moments().at(SPACE, ["mean"], ids, {"mean": lambda n: buffer[:n]}),
    ):
        assert taken.step == 0
        assert not taken.points["mean"].flat.any()


def test_taking_copies_and_putting_back_keeps_other_rows() -> None:
    moments = Moments(3, {"mean": _point(1.0, [1, 2])})
    taken = moments.at(SPACE, ["mean"], _point(0.0, [2, 4]).ids)
    assert taken.points["mean"].rows(0)[:, 0].tolist() == [1.0, 0.0]
    taken.points["mean"].flat.fill_(5.0)
    assert float(moments.points["mean"].flat.max()) == 1.0
    taken.step = 7
    moments.put(taken)
    assert moments.step == 7
    assert moments.points["mean"].ids[0].tolist() == [1, 2, 4]
    assert moments.points["mean"].rows(0)[:, 0].tolist() == [1.0, 5.0, 5.0]


def test_what_is_put_is_copied() -> None:
    walked = Moments(1, {"mean": _point(2.0, [3])})
    moments = Moments()
    moments.put(walked)
    walked.points["mean"].flat.zero_()
    assert float(moments.points["mean"].flat.min()) == 2.0
