"""A store's content leaves as Parquet, and comes back the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mamdr.errors import DataError
from mamdr.feature_store import create
from mamdr.feature_store.describe import describe
from mamdr.feature_store.exchange import export, take_in
from mamdr.feature_store.folder import open_updatable
from mamdr.testing.feature_stores import market, raw_table

pytest.importorskip("lmdb")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    market().save(tmp_path / "data")
    create(tmp_path / "data", tmp_path / "store")
    return tmp_path / "store"


def tables(folder: Path) -> dict[str, pl.DataFrame]:
    return {path.stem: pl.read_parquet(path) for path in folder.iterdir()}


def test_what_is_exported_is_what_was_imported(folder: Path, tmp_path: Path) -> None:
    export(open_updatable(folder).folded(), tmp_path / "out")
    found, raw = tables(tmp_path / "out"), raw_table()
    assert set(found) == {"users", "items", "interactions", "domains"}
    words = market().vocabularies
    for owner in ("user", "item"):
        own = f"{owner}_id"
        columns = [name for name in raw.columns if name.startswith(owner)]
        before = raw.select(columns).unique(own).filter(pl.col(own).is_in(words[own].values.implode()))
        after = found[f"{owner}s"].select(columns)
        if owner == "item":  # those that histories alone hold are known, and have no features
            bare = after.filter(~pl.col(own).is_in(before[own].implode()))
            assert (bare["item:tags"].list.len() == 0).all()
            after = after.join(before, on=own, how="semi")
        for name in columns:
            one, two = before.sort(own)[name].to_list(), after.sort(own)[name].to_list()
            if name == "item:price":
                np.testing.assert_allclose(one, two, rtol=1e-6)
            elif name == "user:history":  # items that train lacks have no name any more
                known = set(words[name].values)
                assert [[item for item in row if item in known] for row in one] == two
            else:
                assert one == two, name


def test_another_store_takes_in_what_one_gave(folder: Path, tmp_path: Path) -> None:
    store = open_updatable(folder)
    store.update(
        "item", pl.DataFrame({"item_id": ["new", "ï/1"], "item:price": [3.0, 4.0], "item:tags": [[], []]})
    )
    store.observe(pl.DataFrame({"user_id": ["u1", "late"], "item_id": ["new", "x"], "domain": ["d", "d"]}))
    export(store.folded(), tmp_path / "one")
    create(tmp_path / "data", tmp_path / "second")
    second = open_updatable(tmp_path / "second")
    rows = take_in(second, sorted((tmp_path / "one").iterdir()))
    assert rows == sum(len(table) for table in tables(tmp_path / "one").values())
    export(second.folded(), tmp_path / "two")
    one, two = tables(tmp_path / "one"), tables(tmp_path / "two")
    for name, table in one.items():
        keys = [key for key in ("domain", "user_id", "item_id") if key in table.columns]
        same, other = table.sort(keys), two[name].sort(keys)
        if "item:price" in table.columns:
            np.testing.assert_allclose(same["item:price"], other["item:price"], rtol=1e-6)
            same, other = same.drop("item:price"), other.drop("item:price")
        assert same.equals(other), name


def test_a_table_that_is_neither_is_refused(folder: Path, tmp_path: Path) -> None:
    pl.DataFrame({"user_id": ["a"], "item_id": ["b"]}).write_csv(tmp_path / "both.csv")
    with pytest.raises(DataError, match=r"both.csv has columns user_id, item_id"):
        take_in(open_updatable(folder), [tmp_path / "both.csv"])


def test_a_description_says_what_is_there(folder: Path) -> None:
    store = open_updatable(folder)
    store.update("user", pl.DataFrame({"user_id": ["u1", "late"]}))
    store.observe(pl.DataFrame({"item_id": ["x"], "domain": ["fresh"]}))
    said = describe(folder)
    assert said["snapshot"] == "000001"
    assert said["fingerprint"] == market().fingerprint
    assert said["users"] == market().schema.ids["user_id"] - 2
    assert said["updates"] == {"users": 2, "items": 0, "domains": 1, "entries": 2}
    assert said["varying"] == {"user": 0, "item": 0}
    assert said["features"]["item"] == ["item_id", "item:tags", "item:price"]
