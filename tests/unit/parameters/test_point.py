"""A point is a dense vector and, per table, a dict of rows: every operation against that plain reading."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mamdr.parameters import Point, Space
from mamdr.parameters.point import positions, same_ids, union_ids

ROWS = (6, 4)


class Small(nn.Module):
    """Two tables of different widths, two dense parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Embedding(ROWS[0], 2), nn.Embedding(ROWS[1], 3)
        self.line = nn.Linear(2, 1)


SPACE = Space.of(Small())
Rows = list[dict[int, list[float]]]

number = st.integers(-8, 8).map(float)  # sums of small integers are exact in float32


@st.composite
def points(draw: st.DrawFn) -> Point:
    ids = tuple(
        torch.tensor(sorted(draw(st.sets(st.integers(0, rows - 1)))), dtype=torch.int64) for rows in ROWS
    )
    size = SPACE.size(ids)
    return Point(SPACE, ids, torch.tensor(draw(st.lists(number, min_size=size, max_size=size))))


@st.composite
def wanted_ids(draw: st.DrawFn) -> tuple[torch.Tensor, ...]:
    return draw(points()).ids


def dense_of(point: Point) -> list[float]:
    return point.dense.tolist()


def rows_of(point: Point) -> Rows:
    return [dict(zip(ids.tolist(), point.rows(t).tolist(), strict=True)) for t, ids in enumerate(point.ids)]


def zero(table: int) -> list[float]:
    return [0.0] * SPACE.tables[table].dim


@given(points(), points(), st.sampled_from([1.0, -1.0, 0.5, 0.0]))
def test_add(a: Point, b: Point, rate: float) -> None:
    dense = [x + rate * y for x, y in zip(dense_of(a), dense_of(b), strict=True)]
    rows = []
    for t, (mine, other) in enumerate(zip(rows_of(a), rows_of(b), strict=True)):
        keys = mine.keys() | other.keys()
        rows.append(
            {
                key: [
                    x + rate * y for x, y in zip(mine.get(key, zero(t)), other.get(key, zero(t)), strict=True)
                ]
                for key in keys
            }
        )
    holds, before = all(set(r) >= set(o) for r, o in zip(rows_of(a), rows_of(b), strict=True)), b.copy()
    result = a.add(b, rate)
    assert dense_of(result) == dense
    assert rows_of(result) == rows
    assert (result is a) == holds
    assert torch.equal(b.flat, before.flat)


@given(points(), points())
def test_overwrite(a: Point, b: Point) -> None:
    rows = [mine | other for mine, other in zip(rows_of(a), rows_of(b), strict=True)]
    result = a.overwrite(b)
    assert dense_of(result) == dense_of(b)
    assert rows_of(result) == rows


@given(points(), points())
def test_take_rows(a: Point, b: Point) -> None:
    dense, rows = dense_of(a), [mine | other for mine, other in zip(rows_of(a), rows_of(b), strict=True)]
    result = a.take_rows(b)
    assert (dense_of(result), rows_of(result)) == (dense, rows)


@given(points(), wanted_ids())
def test_at(point: Point, ids: tuple[torch.Tensor, ...]) -> None:
    buffer = torch.full((100,), 99.0)
    expected = [
        {key: rows.get(key, zero(t)) for key in wanted.tolist()}
        for t, (rows, wanted) in enumerate(zip(rows_of(point), ids, strict=True))
    ]
    for result in (point.at(ids), point.at(ids, lambda size: buffer[:size])):
        assert dense_of(result) == dense_of(point)
        assert rows_of(result) == expected
        assert result.flat.data_ptr() != point.flat.data_ptr()


@given(points(), st.sets(st.sampled_from(SPACE.names)))
def test_keep_only(point: Point, names: set[str]) -> None:
    result = point.copy().keep_only(frozenset(names))
    for t, table in enumerate(SPACE.tables):
        assert rows_of(result)[t] == (rows_of(point)[t] if table.name in names else {})
    for index, part in enumerate(SPACE.dense):
        kept = point.parameter(index) if part.name in names else torch.zeros(part.shape)
        assert torch.equal(result.parameter(index), kept)


@given(points(), wanted_ids())
def test_with_rows(point: Point, ids: tuple[torch.Tensor, ...]) -> None:
    result = point.with_rows(ids)
    assert [set(rows) for rows in rows_of(result)] == [
        set(mine.tolist()) | set(other.tolist()) for mine, other in zip(point.ids, ids, strict=True)
    ]
    assert (result is point) == all(
        set(o.tolist()) <= set(m.tolist()) for m, o in zip(point.ids, ids, strict=True)
    )


@given(wanted_ids(), wanted_ids())
def test_ids_as_sets(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> None:
    for x, y, union in zip(a, b, union_ids(a, b), strict=True):
        here, there = positions(x, y)
        assert x[here].tolist() == y[there].tolist() == sorted(set(x.tolist()) & set(y.tolist()))
        assert union.tolist() == sorted(set(x.tolist()) | set(y.tolist()))
    assert same_ids(a, b) == all(x.tolist() == y.tolist() for x, y in zip(a, b, strict=True))


@given(points())
@settings(max_examples=20)
def test_views_cover_the_flat_buffer_once(point: Point) -> None:
    parts = [point.parameter(0), point.parameter(1), point.rows(0), point.rows(1)]
    assert torch.equal(torch.cat([part.reshape(-1) for part in parts]), point.flat)
    for part in parts:
        part.fill_(7.0)
    assert torch.equal(point.flat, torch.full_like(point.flat, 7.0))


def test_zeros_and_copies() -> None:
    point = Point.zeros(SPACE)
    assert (len(point.flat), [len(ids) for ids in point.ids]) == (SPACE.dense_size, [0, 0])
    copied = point.copy()
    copied.flat.fill_(1.0)
    assert not point.flat.any()
