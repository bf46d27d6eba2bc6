"""DomainData and Dataset: passes, grouping, and folders that come back as they were."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mamdr.data import rows as module
from mamdr.data.domains import SPLITS, Dataset, DomainData
from mamdr.errors import ConfigError, DataError

Rows = list[tuple[int, int, int, int]]
rows = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3), st.integers(0, 1)),
    min_size=1,
    max_size=60,
)


def _arrays(rows: Rows) -> dict[str, Any]:
    cells = np.array(rows, dtype=np.int64).reshape(-1, 4)
    price = cells[:, 1].astype(np.float64) / 2
    names = ("user_id", "item_id", "domain", "label")
    return {**dict(zip(names, cells.T, strict=True)), "item:price": price}


def _dataset(rows: Rows, **details: Any) -> Dataset:
    splits = {part: _arrays(rows) for part in SPLITS}
    return Dataset.from_arrays("made", ["a", "b", "c", "d"], splits, **details)


def _passed(part: DomainData, domains: list[int], size: int, seed: int | None) -> Rows:
    source = None if seed is None else np.random.default_rng(seed)
    seen = []
    for batch, labels in part.batches(domains, size, source):
        assert 1 <= len(labels) <= size
        assert {name: column.dtype for name, column in batch.items()} == {
            "user_id": torch.int64, "item_id": torch.int64, "item:price": torch.float32, "domain": torch.int64
        }  # fmt: skip
        assert labels.dtype == torch.float32
        assert torch.equal(batch["item:price"], batch["item_id"] / 2)
        columns = (batch["user_id"], batch["item_id"], batch["domain"], labels.long())
        seen += list(zip(*(column.tolist() for column in columns), strict=True))
    return seen


@given(
    rows=rows,
    chosen=st.sets(st.integers(0, 3), min_size=1).flatmap(lambda some: st.permutations(sorted(some))),
    size=st.integers(1, 20),
    span=st.sampled_from([1, 16, 1 << 16]),
    seed=st.none() | st.integers(0, 9),
)
@settings(deadline=None)
def test_a_pass_gives_every_row_once(
    rows: Rows, chosen: list[int], size: int, span: int, seed: int | None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SPAN", span)
        seen = _passed(_dataset(rows).train, chosen, size, seed)
    expected = [row for domain in chosen for row in rows if row[2] == domain]
    assert Counter(seen) == Counter(expected)
    if seed is None:
        assert seen == expected


def test_the_order_depends_on_the_generator_alone() -> None:
    part = _dataset([(number % 10, number // 10, 0, 0) for number in range(100)]).train
    one, again, two = (_passed(part, [0], 7, seed) for seed in (1, 1, 2))
    assert one == again
    assert one != two
    source = np.random.default_rng(1)
    first, second = (next(part.batches([0], 100, source))[0]["user_id"] for _ in range(2))
    assert not torch.equal(first, second)


def test_orders_of_many_domains_are_those_of_each() -> None:
    part = _dataset([(number % 10, number // 10, number % 3, 0) for number in range(100)]).train
    domains, seeds, most = [2, 0, 2, 1], [1, 2, 1 << 40, 4], [99, 5, 1, 33]
    each = [
        part.order_of(domain, np.random.default_rng(seed))[:count]
        for domain, seed, count in zip(domains, seeds, most, strict=True)
    ]
    assert torch.equal(part.orders_of(domains, seeds, most), torch.cat(each))
    assert part.orders_of([], [], []).tolist() == []


def test_a_pass_is_a_fair_shuffle() -> None:
    part = _dataset([(number, 0, 0, 0) for number in range(4)]).train
    source = np.random.default_rng(0)
    orders = Counter(tuple(next(part.batches([0], 4, source))[0]["user_id"].tolist()) for _ in range(4800))
    assert len(orders) == 24
    assert max(abs(count - 200) for count in orders.values()) < 5 * 200**0.5


def test_sizes_and_unique_ids() -> None:
    part = _dataset([(3, 1, 2, 0), (1, 1, 2, 1), (3, 0, 0, 1)]).train
    assert (len(part), [part.size(domain) for domain in range(4)]) == (3, [1, 0, 2, 0])
    assert part.unique_ids(2, "user_id").tolist() == [1, 3]
    assert part.unique_ids(2, "user_id").dtype == torch.int64
    assert part.unique_ids(2, "domain").tolist() == [2]
    assert part.unique_ids(1, "domain").tolist() == part.unique_ids(1, "item_id").tolist() == []


@pytest.mark.parametrize("domains", [[], [1], [1, 3]])
def test_nothing_comes_from_domains_without_rows(domains: list[int]) -> None:
    part = _dataset([(3, 1, 2, 0)]).train
    assert list(part.batches(domains, 4, np.random.default_rng(0))) == []


def test_batch_size_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="batch_size 0"):
        next(_dataset([(0, 0, 0, 0)]).train.batches([0], 0, None))


def test_batches_may_be_written_to_without_changing_the_data(tmp_path: Path) -> None:
    _dataset([(3, 1, 0, 0), (4, 2, 0, 1)]).save(tmp_path / "d")
    part = Dataset.load(tmp_path / "d").train
    for batch, labels in part.batches([0], 2, None):
        labels.fill_(7)
        for column in batch.values():
            column.fill_(7)
    assert _passed(part, [0], 2, None) == [(3, 1, 0, 0), (4, 2, 0, 1)]


@given(rows=rows)
@settings(deadline=None, max_examples=20)
def test_a_saved_dataset_comes_back(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("saved") / "d"
    made = _dataset(rows, seed=3, options={"x": 1}, facts={"users": [1, 2, 3, 4]})
    made.save(folder)
    back = Dataset.load(folder)
    assert (back.name, back.schema, back.seed, back.options, back.facts) == (
        made.name, made.schema, made.seed, made.options, made.facts
    )  # fmt: skip
    assert back.fingerprint == made.fingerprint
    for name in SPLITS:
        one, two = made.split(name), back.split(name)
        assert list(one.columns) == list(two.columns)
        assert all(torch.equal(one.columns[column], two.columns[column]) for column in one.columns)
        assert torch.equal(one.labels, two.labels)
        assert torch.equal(one.offsets, two.offsets)


def test_the_schema_follows_the_arrays() -> None:
    schema = _dataset([(3, 1, 0, 0)], ids={"user_id": 9}).schema
    assert (schema.ids, schema.numeric) == ({"user_id": 9, "item_id": 2}, ("item:price",))


def test_other_rows_give_another_fingerprint() -> None:
    prints = {_dataset([(3, 1, 0, 0), (user, 1, 0, 0)]).fingerprint for user in (1, 2, 2)}
    assert len(prints) == 2


def test_splits_are_called_by_name() -> None:
    data = _dataset([(0, 0, 0, 0)])
    assert data.split("val") is data.val
    with pytest.raises(ConfigError, match="no split is named 'dev'"):
        data.split("dev")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"label": [0, 2]}, "column 'label' of train holds other values than 0 and 1"),
        ({"label": [0, np.nan]}, "column 'label' of train holds other values"),
        ({"label": [0]}, "one length for all"),
        ({"user_id": [0, -1]}, "column 'user_id' of train holds ids from -1 to 0"),
        ({"user_id": [0, 1 << 40]}, "column 'user_id' of train holds ids"),
        ({"user_id": [0.0, 1.0]}, "column 'user_id' of train holds float64"),
        ({"domain": [0, 4]}, "column 'domain' of train holds ids from 0 to 4; expected 0 to 3"),
        ({"item:price": [0.5, np.nan]}, "column 'item:price' of train holds NaN"),
        ({"item:kind": ["x", "y"]}, "column 'item:kind' of train holds"),
        ({"item:kind": [1, 2]}, "of other names or kinds than train"),
    ],
)
def test_arrays_that_cannot_be_used(changes: dict[str, list[Any]], says: str) -> None:
    good = _arrays([(0, 0, 0, 0), (0, 0, 0, 0)])
    bad = good | {name: np.array(values) for name, values in changes.items()}
    with pytest.raises(DataError, match=says):
        Dataset.from_arrays("bad", list("abcd"), {"train": bad, "val": good, "test": good})


def test_missing_columns_and_splits() -> None:
    good = _arrays([(0, 0, 0, 0)])
    with pytest.raises(DataError, match="no split 'test'"):
        Dataset.from_arrays("bad", ["a"], {"train": good, "val": good})
    short = {name: values for name, values in good.items() if name != "label"}
    with pytest.raises(DataError, match="val has no column label"):
        Dataset.from_arrays("bad", ["a"], {"train": good, "val": short, "test": good})


def test_ids_must_fit_the_number_given() -> None:
    with pytest.raises(DataError, match="ids up to 3; expected ids below 2"):
        _dataset([(3, 1, 0, 0)], ids={"user_id": 2})


def _halves(
    part: DomainData, domain: int, share: float, size: int, split: int, seed: int
) -> list[list[Rows]]:
    """Support and query of each mini-batch, as rows."""
    seen = []
    drawn = part.support_and_query(domain, share, split, size, np.random.default_rng(seed))
    for batch, labels, cut in drawn:
        assert torch.equal(batch["item:price"], batch["item_id"] / 2)
        columns = (batch["user_id"], batch["item_id"], batch["domain"], labels.long())
        pair = list(zip(*(column.tolist() for column in columns), strict=True))
        seen.append([pair[:cut], pair[cut:]])
    return seen


@given(
    rows=rows,
    domain=st.integers(0, 3),
    share=st.sampled_from([0.01, 0.3, 0.5, 0.8, 0.99]),
    size=st.integers(1, 20),
    seed=st.integers(0, 9),
)
def test_support_and_query_are_a_pass_in_two_parts(
    rows: Rows, domain: int, share: float, size: int, seed: int
) -> None:
    part = _dataset(rows).train
    count = part.size(domain)
    if count < 2:
        return
    halves = _halves(part, domain, share, size, 5, seed)
    support, query = ([row for pair in halves for row in pair[which]] for which in (0, 1))
    assert Counter([*support, *query]) == Counter(row for row in rows if row[2] == domain)
    assert len(support) == min(max(round(share * count), 1), count - 1)
    assert len(halves) == min(-(-count // size), len(support), len(query))
    for which in (0, 1):
        lengths = [len(pair[which]) for pair in halves]
        assert max(lengths) - min(lengths) <= 1
        assert min(lengths) >= 1


def test_a_row_stays_support_or_query() -> None:
    """Whatever the order of a pass; another split has other rows."""
    part = _dataset([(u, i, 0, 0) for u in range(6) for i in range(10)]).train

    def support(split: int, seed: int) -> set[tuple[int, ...]]:
        return {row for pair in _halves(part, 0, 0.5, 7, split, seed) for row in pair[0]}

    assert support(1, 1) == support(1, 2) != support(2, 1)
    assert _halves(part, 0, 0.5, 7, 1, 1) != _halves(part, 0, 0.5, 7, 1, 2)
    assert _halves(part, 0, 0.5, 7, 1, 1) == _halves(part, 0, 0.5, 7, 1, 1)


def test_the_only_row_of_a_domain_is_support_and_query() -> None:
    part = _dataset([(1, 2, 3, 1), (0, 0, 0, 0)]).train
    assert _halves(part, 3, 0.8, 4, 0, 0) == [[[(1, 2, 3, 1)], [(1, 2, 3, 1)]]]


def test_support_and_query_of_nothing_is_an_error() -> None:
    part = _dataset([(1, 2, 3, 1)]).train
    for domain, size in ((0, 4), (3, 0)):
        with pytest.raises(ConfigError, match="batch_size"):
            _halves(part, domain, 0.8, size, 0, 0)
