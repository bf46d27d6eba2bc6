"""Vocabulary: sorted values from 2, unknown is 1, padding is 0."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mamdr.data.vocabulary import Vocabulary
from mamdr.errors import DataError


@given(st.lists(st.text(), min_size=1), st.lists(st.text()))
def test_known_values_come_back_and_others_are_unknown(known: list[str], others: list[str]) -> None:
    words = Vocabulary.fit(pl.Series(known))
    ids = words.encode(pl.Series(known)).tolist()
    assert [words.decode(identity) for identity in ids] == known
    assert set(ids) == set(range(2, words.size))
    foreign = [value for value in others if value not in known]
    assert words.encode(pl.Series(foreign, dtype=pl.String)).tolist() == [1] * len(foreign)


def test_ids_follow_the_order_of_the_values() -> None:
    assert Vocabulary.fit(pl.Series([30, -1, 7, 7])).encode(pl.Series([-1, 7, 30])).tolist() == [2, 3, 4]


def test_padding_and_unknown_mean_no_value() -> None:
    words = Vocabulary.fit(pl.Series(["a"]))
    assert [words.decode(identity) for identity in (-1, 0, 1, 2, 3)] == [None, None, None, "a", None]


@pytest.mark.parametrize("values", [["b", "a"], [3, 1]])
def test_bytes_round_trip(values: list[object], tmp_path: Path) -> None:
    words = Vocabulary.fit(pl.Series(values))
    (tmp_path / "w.parquet").write_bytes(words.to_bytes())
    assert Vocabulary.load(tmp_path / "w.parquet").values.equals(words.values)
    assert words.to_bytes() == words.to_bytes()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="a vocabulary that mamdr wrote"):
        Vocabulary.load(tmp_path / "w.parquet")
