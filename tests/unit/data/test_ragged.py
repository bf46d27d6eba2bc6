"""Lists of any length: gathered, joined, cut, padded, and stored as they were."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.features import padded

from mamdr.data.domains import SPLITS, Dataset
from mamdr.data.ragged import Lists, Ragged, joined
from mamdr.errors import DataError

lists = st.lists(st.lists(st.integers(1, 9), max_size=5), min_size=1, max_size=30)


@given(lists=lists, data=st.data())
def test_rows_are_gathered_joined_and_cut(lists: list[list[int]], data: st.DataObject) -> None:
    ragged = Ragged.of(lists)
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=20))
    assert ragged[np.array(rows, dtype=np.int64)].to_lists() == [lists[row] for row in rows]
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(lists), max_size=len(lists))))
    assert ragged[mask].to_lists() == [row for row, keep in zip(lists, mask, strict=True) if keep]
    count = data.draw(st.integers(1, 6))
    assert ragged.last(count).to_lists() == [row[-count:] for row in lists]
    both = joined([ragged, ragged[mask]])
    assert isinstance(both, Ragged)
    assert both.to_lists() == lists + ragged[mask].to_lists()


@given(lists=lists, others=lists)
def test_differing_rows_are_found(lists: list[list[int]], others: list[list[int]]) -> None:
    length = min(len(lists), len(others))
    one, two = lists[:length], others[:length]
    wanted = [a != b for a, b in zip(one, two, strict=True)]
    assert Ragged.of(one).differs(Ragged.of(two)).tolist() == wanted


@given(lists=lists, data=st.data())
def test_padding(lists: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), min_size=1, max_size=20))
    ragged = Ragged.of(lists)
    column = Lists(Ragged(ragged.values.astype(np.int32), ragged.starts))
    batch = column.padded(torch.tensor(rows))
    assert batch.dtype == torch.int64
    assert batch.tolist() == padded([lists[row] for row in rows])
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(lists))] * 2)))
    inside = {0} if end > begin else set()
    assert column.unique(begin, end).tolist() == sorted(inside.union(*lists[begin:end]))


def _splits(lists: list[list[int]], domains: list[int]) -> dict[str, dict[str, np.ndarray | Ragged]]:
    rows = {
        "user_id": np.arange(len(lists)),
        "item_id": np.ones(len(lists), dtype=np.int64),
        "domain": np.array(domains),
        "label": np.ones(len(lists), dtype=np.int64),
        "item:tags": Ragged.of(lists),
    }
    return {part: dict(rows) for part in SPLITS}


@given(lists=lists, size=st.integers(1, 7), seed=st.none() | st.integers(0, 3), data=st.data())
@settings(deadline=None, max_examples=12)
def test_a_pass_gives_each_row_once_with_its_own_list_and_a_folder_brings_it_back(
    lists: list[list[int]],
    size: int,
    seed: int | None,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    length = len(lists)
    domains = data.draw(st.lists(st.integers(0, 2), min_size=length, max_size=length))
    made = Dataset.from_arrays(
        "t", ["a", "b", "c"], _splits(lists, domains), {"item:tags": 10}, {"item:tags": 6}
    )
    folder = tmp_path_factory.mktemp("lists") / "d"
    made.save(folder)
    back = Dataset.load(folder)
    assert (back.schema, back.fingerprint) == (made.schema, made.fingerprint)
    assert back.schema.lists == {"item:tags": 6}
    for part in (made.train, back.train, back.test):
        seen = []
        draw = None if seed is None else np.random.default_rng(seed)
        for batch, _ in part.batches([2, 0], size, draw):
            users, tags = batch["user_id"].tolist(), batch["item:tags"].tolist()
            assert tags == padded([lists[user] for user in users])
            seen += users
        assert Counter(seen) == Counter(user for user in range(length) if domains[user] in (0, 2))


def test_a_folder_without_lists_says_nothing_of_them(tmp_path: Path) -> None:
    """So that a folder made before there were lists has the fingerprint it had."""
    splits = _splits([[1]], [0])
    for columns in splits.values():
        del columns["item:tags"]
    data = Dataset.from_arrays("t", ["a"], splits)
    assert data.manifest["schema"].keys() == {"domains", "ids", "numeric"}


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("item:tags", Ragged.of([[0]]), "holds lists with ids from 0 to 0; expected 1 to .*id 0 pads"),
        (
            "item:tags",
            Ragged(np.array([0.5]), np.array([0, 1])),
            "holds lists of float64; expected lists of integers",
        ),
        ("item_id", Ragged.of([[1]]), "column 'item_id' of train holds lists; expected one value a row"),
        ("item:tags", Ragged.of([[1], [2]]), "columns of shapes"),
        ("item:tags", Ragged.of([[1, 1, 1]]), "holds lists of up to 3 ids; expected lists of up to 2"),
        ("item:tags", Ragged.of([[11]]), "holds ids up to 11; expected ids below 10"),
    ],
)
def test_lists_that_cannot_be(name: str, column: Ragged, message: str) -> None:
    splits = _splits([[1]], [0])
    for columns in splits.values():
        columns[name] = column
    with pytest.raises(DataError, match=message):
        Dataset.from_arrays("t", ["a"], splits, {"item:tags": 10}, {"item:tags": 2})
