"""Vectors made elsewhere: every kind of file, the rows that ids get, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from tests.oracles.features import scale, vector_rows

from mamdr.data.building import build
from mamdr.data.domains import SPLITS, Dataset
from mamdr.data.vectors import Vectors
from mamdr.data.vocabulary import Vocabulary
from mamdr.errors import ConfigError, DataError, MamdrError

VALUES = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, -6.0]], dtype=np.float32)


def _parquet(path: Path, ids: Any, lists: Any) -> Path:
    pl.DataFrame({"asin": ids, "picture": lists}).write_parquet(path)
    return path


def test_every_kind_of_file(tmp_path: Path) -> None:
    names, numbers = ["b", "a", "c"], np.array([4, 0, 9])
    _parquet(tmp_path / "v.parquet", names, VALUES.tolist())
    pl.DataFrame({"v": VALUES, "id": names}).write_parquet(tmp_path / "array.pq")
    np.savez(tmp_path / "v.npz", ids=np.array(names), vectors=VALUES)
    np.savez(tmp_path / "numbers.npz", ids=numbers, vectors=VALUES.astype(np.float64))
    save_file({"ids": numbers, "vectors": VALUES}, tmp_path / "v.safetensors")
    np.save(tmp_path / "v.npy", VALUES)
    for file, ids in (
        ("v.parquet", names),
        ("array.pq", names),
        ("v.npz", names),
        ("numbers.npz", [4, 0, 9]),
        ("v.safetensors", [4, 0, 9]),
        ("v.npy", [0, 1, 2]),
    ):
        read = Vectors.read(tmp_path / file)
        assert read.ids.to_list() == ids
        assert read.values.dtype == np.float32
        assert np.array_equal(read.values, VALUES)


def test_what_is_no_file_of_vectors(tmp_path: Path) -> None:
    (tmp_path / "odd.npz").write_bytes(b"odd")
    (tmp_path / "v.txt").write_text("1 2")
    np.savez(tmp_path / "names.npz", x=VALUES)
    np.savez(tmp_path / "text.npz", vectors=np.array([["a"]]))
    np.savez(tmp_path / "short.npz", ids=np.arange(2), vectors=VALUES)
    np.savez(tmp_path / "empty.npz", ids=np.arange(3), vectors=VALUES[:, :0])
    np.savez(tmp_path / "twice.npz", ids=np.array([1, 1, 2]), vectors=VALUES)
    np.savez(tmp_path / "nan.npz", ids=np.arange(3), vectors=VALUES * np.nan)
    np.savez(tmp_path / "floats.npz", ids=np.array([0.5, 1, 2]), vectors=VALUES)
    _parquet(tmp_path / "ragged.parquet", ["a", "b"], [[1.0], [1.0, 2.0]])
    pl.DataFrame({"a": [1], "b": [2]}).write_parquet(tmp_path / "flat.parquet")
    for file, message in (
        ("none.npz", "there is no file"),
        ("odd.npz", r"odd\.npz cannot be read"),
        ("v.txt", r"kind '\.txt'; expected \.parquet"),
        ("names.npz", r"names\.npz holds x; expected arrays ids and vectors"),
        ("text.npz", r"holds vectors of .*; expected numbers"),
        ("short.npz", r"holds 2 ids and vectors of shape \[3, 2\]"),
        ("empty.npz", r"vectors of shape \[3, 0\]; expected .*width, 1 or more"),
        ("twice.npz", "holds an id twice"),
        ("nan.npz", "with NaN or infinity"),
        ("floats.npz", "holds ids of Float64"),
        ("ragged.parquet", "vectors of several widths"),
        ("flat.parquet", r"has columns a, b; expected one of ids and one of lists"),
    ):
        with pytest.raises(DataError, match=message) as raised:
            Vectors.read(tmp_path / file)
        assert "\n" not in str(raised.value)


@given(
    words=st.sets(st.sampled_from("abcdefg"), min_size=1),
    made=st.sets(st.sampled_from("abcdefg"), min_size=1),
)
@settings(deadline=None)
def test_rows_by_id(words: set[str], made: set[str]) -> None:
    values = {word: [float(ord(word)), float(ord(word) % 5)] for word in made}
    vectors = Vectors(
        pl.Series(sorted(made, reverse=True)), np.array([values[w] for w in sorted(made, reverse=True)])
    )
    vocabulary = Vocabulary.fit(pl.Series(sorted(words)))
    assert vectors.known(vocabulary.values).tolist() == [word in made for word in sorted(words)]
    if words & made:
        rows = vectors.rows(vocabulary)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows, vector_rows(sorted(words), values), rtol=1e-6)
    else:
        with pytest.raises(DataError, match="no value of the column has a vector"):
            vectors.rows(vocabulary)


@pytest.mark.parametrize(("values", "ids"), [(["7", "8"], [8, 9]), ([7, 8], ["8", "x"])])
def test_numbers_and_strings_meet(values: list[Any], ids: list[Any]) -> None:
    vectors = Vectors(pl.Series(ids), VALUES[:2])
    words = Vocabulary.fit(pl.Series(values))
    assert vectors.known(words.values).tolist() == [False, True]
    assert vectors.rows(words)[3].tolist() == [1.0, 2.0]


def _clicks(rows: int = 40) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": [f"u{n % 4}" for n in range(rows)],
            "item_id": [f"i{n}" for n in range(rows)],
            "domain": ["x"] * rows,
            "label": [n % 2 for n in range(rows)],
            "user:history": [[f"i{n % 7}"] * (n % 3) for n in range(rows)],
            "item:price": [float(n * n) for n in range(rows)],
            "context:same": [0.1] * rows,
        }
    )


def _items(skip: int = 3, rows: int = 40) -> Vectors:
    """Vectors for most items of `_clicks`, and for some that it lacks."""
    known = [n for n in range(rows + 5) if n % 10 != skip]
    return Vectors(
        pl.Series([f"i{n}" for n in known]), np.array([[n, -n, 1] for n in known], dtype=np.float32)
    )


def test_built_data_have_a_vector_for_each_id_and_know_values_that_train_lacks(tmp_path: Path) -> None:
    shared = {"user:history": "item_id"}
    data = build(_clicks(), name="t", shared=shared, vectors={"user:history": _items()})
    assert list(data.schema.vectors) == ["item_id"]
    words, rows = data.vocabularies["item_id"], data.schema.vectors["item_id"]
    values = {f"i{n}": [float(n), -float(n), 1.0] for n in range(40) if n % 10 != 3}
    np.testing.assert_allclose(rows, vector_rows(words.values.to_list(), values), rtol=1e-5)
    for part in ("val", "test"):
        for identity in data.split(part).columns["item_id"].tolist():
            assert identity == 1 or words.decode(identity) is not None
    assert (
        sum((data.split(part).columns["item_id"] == 1).sum().item() for part in SPLITS) <= 4
    )  # only those without
    data.save(tmp_path / "d")
    back = Dataset.load(tmp_path / "d")
    assert back.fingerprint == data.fingerprint
    assert torch.equal(back.schema.vectors["item_id"], rows)
    assert (back.schema, back.schema.vectors.keys()) == (data.schema, data.schema.vectors.keys())
    other = build(_clicks(), name="t", shared=shared, vectors={"item_id": _items(skip=4)})
    assert other.fingerprint != data.fingerprint


@pytest.mark.parametrize(
    ("vectors", "error", "message"),
    [
        ({"item": _items()}, ConfigError, "vectors for 'item'; expected one file for a column of categories"),
        (
            {"item:price": _items()},
            ConfigError,
            "vectors for 'item:price'; expected one file for a column of cat",
        ),
        (
            {"item_id": _items(), "user:history": _items()},
            ConfigError,
            "'user:history', which has some already",
        ),
        (
            {"user_id": _items()},
            DataError,
            "no value of the column has a vector in vectors, whose ids are 'i0'",
        ),
    ],
)
def test_vectors_that_cannot_be(vectors: dict[str, Vectors], error: type[MamdrError], message: str) -> None:
    with pytest.raises(error, match=message):
        build(_clicks(), name="t", shared={"user:history": "item_id"}, vectors=vectors)


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("item_id", np.ones((3, 2)), r"vectors of shape \[3, 2\] for 'item_id'; expected \[5, 1 or more\]"),
        ("item_id", np.ones((5, 0)), r"vectors of shape \[5, 0\]"),
        ("item_id", np.full((5, 1), np.nan), "of finite numbers"),
        ("item", np.ones((5, 1)), r"for 'item'; expected one of user_id, item_id"),
    ],
)
def test_vectors_in_memory_that_cannot_be(name: str, rows: np.ndarray, message: str) -> None:
    row = {"user_id": [0], "item_id": [4], "domain": [0], "label": [1]}
    splits = {part: {key: np.array(cells) for key, cells in row.items()} for part in SPLITS}
    with pytest.raises(DataError, match=message):
        Dataset.from_arrays("t", ["a"], splits, vectors={name: rows})


def test_numbers_are_brought_to_the_scale_of_train(tmp_path: Path) -> None:
    plain, data = (build(_clicks(), name="t", normalise=normalise) for normalise in (False, True))
    assert plain.schema.scales == {}
    assert "scales" not in plain.manifest["schema"]
    mean, deviation = scale(plain.train.columns["item:price"].tolist())
    assert data.schema.scales["item:price"] == pytest.approx((mean, deviation))
    assert data.schema.scales["context:same"] == pytest.approx((0.1, 1.0))
    for part in SPLITS:
        wanted = [(number - mean) / deviation for number in plain.split(part).columns["item:price"].tolist()]
        assert data.split(part).columns["item:price"].tolist() == pytest.approx(wanted, abs=1e-6)
        assert data.split(part).columns["context:same"].abs().max() < 1e-6
    data.save(tmp_path / "d")
    assert Dataset.load(tmp_path / "d").schema.scales == data.schema.scales
