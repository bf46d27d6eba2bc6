"""Build: from a table to a folder, the same bytes from the same seed, and domains of every poor kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.data import negative_counts, split_counts

from mamdr.data.building import build
from mamdr.data.catalog import source
from mamdr.data.describe import describe
from mamdr.data.domains import SPLITS, Dataset
from mamdr.errors import ConfigError, DataError

names = st.sampled_from(["one", "two", "three"])
tables = st.lists(
    st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcdefghij"), names), min_size=1, max_size=80
)


def _table(rows: list[tuple[Any, ...]], *more: str) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["user_id", "item_id", "domain", *more], orient="row")


def _raw(data: Dataset) -> dict[str, list[tuple[Any, Any, str, int]]]:
    """Every row of each split, with raw values where train knows them."""
    found = {}
    for part in SPLITS:
        rows = []
        for domain, name in enumerate(data.schema.domains):
            for batch, labels in data.split(part).batches([domain], 64, None):
                users, items = (
                    [data.vocabularies[column].decode(value) for value in batch[column].tolist()]
                    for column in ("user_id", "item_id")
                )
                rows += list(zip(users, items, [name] * len(users), labels.int().tolist(), strict=True))
        found[part] = rows
    return found


@given(rows=tables, seed=st.integers(0, 3))
@settings(deadline=None, max_examples=50)
def test_positives_negatives_and_ids(rows: list[tuple[str, str, str]], seed: int) -> None:
    data = build(_table(rows), name="t", seed=seed, ctr_ratio=0.4)
    positives = set(rows)
    for part, found in _raw(data).items():
        sizes = data.split(part)
        for user, item, domain, label in found:
            if user is not None and item is not None:
                assert ((user, item, domain) in positives) == (label == 1)
            else:
                assert part != "train"
        for column, count in data.schema.ids.items():
            cells = sizes.columns[column]
            assert len(cells) == 0 or (int(cells.min()) >= 1 and int(cells.max()) < count)
    for number, domain in enumerate(data.schema.domains):
        own = {(user, item) for user, item, where in positives if where == domain}
        wanted = sum(negative_counts(own, 0.4).values())
        sizes = [data.split(part).size(number) for part in SPLITS]
        assert sizes == [a + b for a, b in zip(split_counts(len(own)), split_counts(wanted), strict=True)]
        assert sizes[0] >= 1
        assert data.facts["users"][number] == len({user for user, _ in own})
        assert data.facts["items"][number] == len({item for _, item in own})
    assert sum(data.facts["duplicates"]) == len(rows) - len(positives)


def test_the_vocabulary_knows_train_alone() -> None:
    rows = [(f"u{number}", f"i{number % 7}", "a") for number in range(50)]
    data = build(_table([(*row, number % 2) for number, row in enumerate(rows)], "label"), name="t")
    assert {row[0] for row in _raw(data)["train"]} == set(data.vocabularies["user_id"].values)
    assert data.schema.ids["user_id"] == 30 + 2
    assert (data.val.columns["user_id"] == 1).all()
    assert (data.test.columns["user_id"] == 1).all()


def test_another_domain_changes_no_draw_and_no_split_of_the_first() -> None:
    rows = [(f"u{number % 9}", f"i{number % 23}", "m") for number in range(120)]
    alone = build(_table(rows), name="t", ctr_ratio=0.3)
    both = build(
        _table([*rows, *[(user, item, "b") for user, item, _ in rows[:60]]]), name="t", ctr_ratio=0.3
    )
    for part, found in _raw(alone).items():
        assert [row for row in _raw(both)[part] if row[2] == "m"] == found


def test_labels_are_kept_and_no_negative_is_drawn() -> None:
    data = build(_table([("u", "a", "x", 1), ("u", "b", "x", 0), ("u", "b", "x", 0)], "label"), name="t")
    assert sorted(_raw(data)["train"]) == [("u", "a", "x", 1), ("u", "b", "x", 0)]
    assert data.options["negatives"] == "given"
    assert data.facts["duplicates"] == [1]


@pytest.mark.parametrize("label", [0, 1])
def test_domains_with_one_row_or_one_class(label: int, tmp_path: Path) -> None:
    rows = [("u", "a", "single", label), *[("u", f"i{n}", "class", label) for n in range(10)]]
    build(_table(rows, "label"), name="t").save(tmp_path / "d")
    data = Dataset.load(tmp_path / "d")
    assert [data.train.size(domain) for domain in (0, 1)] == [6, 1]
    figures = describe(data)["domains"]
    assert figures["single"]["ctr_ratio"] == (None if label else 0.0)


def test_a_domain_without_train_rows_loads_and_gives_no_batch(tmp_path: Path) -> None:
    row = {"user_id": [0], "item_id": [0], "label": [1]}
    splits = {part: {name: np.array(cells) for name, cells in row.items()} for part in SPLITS}
    for part, domain in (("train", 0), ("val", 1), ("test", 1)):
        splits[part]["domain"] = np.array([domain])
    Dataset.from_arrays("t", ["a", "b"], splits).save(tmp_path / "d")
    data = Dataset.load(tmp_path / "d")
    assert (data.train.size(1), list(data.train.batches([1], 4, None))) == (0, [])
    assert describe(data)["domains"]["b"] == {
        "samples": 2, "percentage": 200 / 3, "positives": 2, "ctr_ratio": None,
        "train": 0, "val": 1, "test": 1, "users": None, "items": None, "duplicates": None,
    }  # fmt: skip


def test_features_of_drawn_rows_come_from_their_owners() -> None:
    rows = [(f"u{n % 5}", f"i{n % 11}", "a", n % 5 + 20, float(n % 11)) for n in range(55)]
    data = build(_table(rows, "user:age", "item:price"), name="t", ctr_ratio=0.9, normalise=False)
    assert data.schema.numeric == ("item:price",)
    for batch, _ in data.train.batches([0], 1000, None):
        ages = [data.vocabularies["user:age"].decode(value) for value in batch["user:age"].tolist()]
        users = [data.vocabularies["user_id"].decode(value) for value in batch["user_id"].tolist()]
        items = [data.vocabularies["item_id"].decode(value) for value in batch["item_id"].tolist()]
        assert ages == [int(user[1:]) + 20 for user in users]
        assert batch["item:price"].tolist() == [float(item[1:]) for item in items]


def test_features_that_drawn_rows_cannot_have() -> None:
    with pytest.raises(
        DataError, match="column 'context:hour' describes the context, and the table has no labels"
    ):
        build(_table([("u", "a", "x", 3), ("u", "b", "x", 4)], "context:hour"), name="t")
    with pytest.raises(DataError, match="column 'user:age' has several values for user 'u'"):
        build(_table([("u", "a", "x", 3), ("u", "b", "x", 4)], "user:age"), name="t")


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = [(f"u{number % 9}", f"i{number % 23}", f"d{number % 3}") for number in range(120)]

    def folder(name: str, seed: int) -> dict[str, bytes]:
        build(_table(rows), name="t", seed=seed).save(tmp_path / name)
        paths = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        return {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in paths}

    one, again, two = folder("one", 1), folder("again", 1), folder("two", 2)
    assert one == again
    assert one["train/item_id.npy"] != two["train/item_id.npy"]


def test_the_order_of_domains_can_be_given() -> None:
    table = _table([("u", "a", "x"), ("u", "b", "y")])
    assert build(table, name="t").schema.domains == ("x", "y")
    assert build(table, name="t", domains=["y", "x"]).schema.domains == ("y", "x")


def test_ratios_follow_the_order_of_the_domains() -> None:
    table = _table([("u", "a", "x"), ("u", "b", "y")])
    assert build(table, name="t", domains=["y", "x"]).facts["ctr_ratio"] == [0.22, 0.23]
    assert build(table, name="t", ctr_ratio={"y": 0.5}).facts["ctr_ratio"] == [0.22, 0.5]


def test_sources_are_looked_up_in_one_table() -> None:
    assert callable(source("amazon").read)
    with pytest.raises(ConfigError, match="unknown source 'amazn'"):
        source("amazn")
