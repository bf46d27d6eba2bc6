"""Built some domains at a time, data have the bytes that building them in memory gives."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mamdr.data import storage
from mamdr.data.building import build
from mamdr.data.larger import build_larger
from mamdr.data.market import synthetic_market, write_market
from mamdr.data.readers.table import read, read_chunks
from mamdr.data.vectors import Vectors
from mamdr.errors import ConfigError, DataError
from mamdr.seeds import generator

OWNERS = ("user", "item")


def table_of(rows: int, domains: int, seed: int, labels: bool, features: bool) -> pl.DataFrame:
    """A table in no order, with duplicates; features of every kind, one value for each owner."""
    draw = generator(seed, "table")
    users, items = draw.integers(0, 12, rows), draw.integers(0, 9, rows)
    columns: dict[str, Any] = {
        "user_id": users,
        "item_id": [f"i{item}" for item in items],
        "domain": [str(domain) for domain in draw.integers(8, 8 + domains, rows)],
    }
    if labels:
        columns["label"] = pl.Series(draw.integers(0, 2, rows), dtype=pl.Int8)
    if features:
        columns |= {
            "user:city": [f"c{user % 3}" for user in users],
            "user:history": [[f"i{k}" for k in range(user % 4)] for user in users],
            "item:tags": [[int(item) + k for k in range(item % 5)] for item in items],
            "item:price": pl.Series(items * 0.37 + 1, dtype=pl.Float32),
        }
    return pl.DataFrame(columns)


def chunks(table: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    yield from (table[begin : begin + rows] for begin in range(0, len(table), rows))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(
    rows=st.integers(1, 120),
    domains=st.integers(1, 7),
    seed=st.integers(0, 99),
    labels=st.booleans(),
    features=st.booleans(),
    chunk=st.integers(1, 60),
    memory=st.sampled_from([1, 20_000, 1 << 30]),
)
@settings(deadline=None, max_examples=20)
def test_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    domains: int,
    seed: int,
    labels: bool,
    features: bool,
    chunk: int,
    memory: int,
) -> None:
    folder = tmp_path_factory.mktemp("larger")
    table = table_of(rows, domains, seed, labels, features)
    how: dict[str, Any] = {
        "name": "t",
        "seed": seed,
        "options": {"source": "table"},
        "max_length": 3 if features else 50,
    }
    if features:
        how |= {"max_length": 3, "shared": {"user:history": "item_id"}}
        ids = pl.Series("ids", sorted(set(table["item_id"])))
        how["vectors"] = {"item_id": Vectors(ids, np.ones((len(ids), 2), np.float32), "vectors")}
    whole = build(table, **how)
    whole.save(folder / "whole")
    parts = build_larger(chunks(table, chunk), folder / "parts", memory=memory, **how)
    assert files(folder / "parts") == files(folder / "whole")
    assert parts.fingerprint == whole.fingerprint
    storage.verify(folder / "parts")
    shutil.rmtree(folder)


def test_a_market_of_any_size_is_the_market(tmp_path: Path) -> None:
    dials = {"domains": 9, "users": 200, "items": 100, "samples_per_domain": 80, "seed": 5}
    synthetic_market(**dials).save(tmp_path / "whole")
    write_market(tmp_path / "parts", memory=40_000, **dials)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_parquet_files_in_chunks(tmp_path: Path) -> None:
    table = table_of(100, 4, 1, True, True)
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    table[:60].write_parquet(paths[0])
    table[60:].write_parquet(paths[1])
    for rows in (1, 7, 1000):
        assert pl.concat(read_chunks(paths, None, rows)).equals(read(paths))
    table[:0].write_parquet(paths[1])
    with pytest.raises(DataError, match=r"b.parquet has a header and no rows"):
        list(read_chunks(paths, None, 7))
    paths[0].write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"a.parquet cannot be read"):
        list(read_chunks(paths, None, 7))
    with pytest.raises(ConfigError, match=r"a.csv in bounded memory"):
        list(read_chunks([tmp_path / "a.csv"], None, 7))
    with pytest.raises(DataError, match=r"there is no file"):
        list(read_chunks([tmp_path / "c.parquet"], None, 7))


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    table = table_of(50, 3, 0, True, False)
    odd = table.rename({"label": "rating"})
    with pytest.raises(DataError, match="the same columns throughout"):
        build_larger(iter([table, odd]), tmp_path / "out", memory=1, name="t")
    with pytest.raises(DataError, match="no rows"):
        build_larger(iter([]), tmp_path / "out", memory=1, name="t")
    with pytest.raises(ConfigError, match="CTR ratio"):
        build_larger(iter([table.drop("label")]), tmp_path / "out", memory=1, name="t", ctr_ratio=-1.0)
    assert list(tmp_path.iterdir()) == []
