"""What a store takes from a data folder, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mamdr.data.building import build
from mamdr.data.vectors import Vectors
from mamdr.errors import DataError
from mamdr.feature_store import create, open_store
from mamdr.feature_store.build import content_of
from mamdr.feature_store.snapshot import Snapshot
from mamdr.testing import tiny_market


def test_data_without_vocabularies_are_refused() -> None:
    with pytest.raises(DataError, match="no vocabulary for"):
        content_of(tiny_market())


def test_ids_that_are_integers_are_found_as_text_too() -> None:
    rows = {"user_id": [7, 8, 7], "item_id": [1, 2, 2], "domain": ["d"] * 3, "label": [1, 0, 1]}
    store = Snapshot(content_of(build(pl.concat([pl.DataFrame(rows)] * 5), name="t")))
    found = store.lookup("user", [7, "7", "07", "8"])
    assert found.known.tolist() == [True, True, False, True]
    assert list(store.candidates("d").ids) == [1, 2]
    assert store.seen("d", "7") == {1, 2}


def test_features_that_vary_are_counted_and_the_last_of_train_is_kept() -> None:
    rows = pl.DataFrame(
        {
            "user_id": ["u"] * 40 + ["v"] * 40,
            "item_id": [f"i{n % 8}" for n in range(80)],
            "domain": ["d"] * 80,
            "label": [n % 2 for n in range(80)],
            "user:mood": ["calm"] * 20 + ["gay"] * 20 + ["calm"] * 40,
            "context:n": [float(n) for n in range(80)],
        }
    )
    data = build(rows, name="t")
    content = content_of(data)
    assert content.facts["varying"] == {"user": 1, "item": 0}
    own = data.train.columns["user_id"] == data.vocabularies["user_id"].encode(pl.Series(["u"]))[0]
    last = data.train.columns["user:mood"][own][-1]
    assert Snapshot(content).lookup("user", ["u"]).columns["user:mood"][0] == last


def test_vectors_come_along(tmp_path: Path) -> None:
    rows = {"user_id": ["u", "v"] * 9, "item_id": ["a", "b", "c"] * 6, "domain": ["d"] * 18}
    vectors = Vectors(pl.Series(["a", "never seen"]), np.ones((2, 3), dtype=np.float32))
    data = build(pl.DataFrame(rows), name="t", vectors={"item_id": vectors}, ctr_ratio=0.5)
    data.save(tmp_path / "data")
    create(tmp_path / "data", tmp_path / "store")
    store = open_store(tmp_path / "store", updates=False)
    assert store.schema.vectors["item_id"].equal(data.schema.vectors["item_id"])


def test_the_same_data_make_the_same_bytes(tmp_path: Path) -> None:
    rows = {"user_id": ["u", "v"] * 9, "item_id": ["a", "b", "c"] * 6, "domain": ["d"] * 18}
    build(pl.DataFrame(rows), name="t", ctr_ratio=0.5).save(tmp_path / "data")
    for name in ("one", "two"):
        create(tmp_path / "data", tmp_path / name)
    paths = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(paths) > 10
    assert all(
        (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes() for path in paths
    )


def test_a_store_is_not_made_over_another(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine").touch()
    with pytest.raises(DataError, match="already exists"):
        create(tmp_path / "data", tmp_path / "store")


def test_redis_needs_a_store_s_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no feature store"):
        open_store(tmp_path, redis="unix:///nowhere")
