"""Split: every row in one part, sizes as said, each domain on its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles.data import split_counts

from mamdr.data.split import assign, counts

rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1)), max_size=150)
NAMES = ["a", "b", "c", "d", "e"]


@given(st.integers(0, 10_000))
def test_counts_are_the_oracle_s(size: int) -> None:
    assert counts(size) == split_counts(size)


@given(rows)
def test_each_class_of_each_domain_is_divided_as_said(rows: list[tuple[int, int]]) -> None:
    cells = np.array(rows, dtype=np.int64).reshape(-1, 2)
    split = assign(cells[:, 0], cells[:, 1], NAMES, 1)
    for domain in range(5):
        for label in (0, 1):
            parts = split[(cells[:, 0] == domain) & (cells[:, 1] == label)]
            assert tuple(np.bincount(parts, minlength=3)) == split_counts(len(parts))


@pytest.mark.parametrize("label", [0, 1])
def test_a_domain_with_one_row_trains_on_it(label: int) -> None:
    assert assign(np.array([3]), np.array([label]), NAMES, 1).tolist() == [0]


def test_another_domain_changes_nothing() -> None:
    labels = np.arange(100) % 3 == 0
    alone = assign(np.zeros(100, dtype=np.int64), labels, ["a"], 1)
    with_other = assign(np.repeat([1, 0], 100), np.tile(labels, 2), ["z", "a"], 1)
    assert (with_other[:100] == alone).all()


def test_the_seed_decides() -> None:
    labels = np.zeros(100, dtype=np.int64)
    one, again, two = (assign(labels, labels, ["a"], seed) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != two).any()
