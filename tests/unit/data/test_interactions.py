"""The canonical table: what is taken, what is refused and how that is said."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from mamdr.data.interactions import Columns, canonical, concatenate, distinct, domain_names
from mamdr.errors import DataError

GOOD: dict[str, list[Any]] = {"user_id": ["u", "v"], "item_id": [1, 2], "domain": ["a", "b"], "label": [0, 1]}


def _table(**changes: list[Any]) -> pl.DataFrame:
    return pl.DataFrame({**GOOD, **changes}, strict=False)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"label": [0, 2]}, r"column 'label' of t.csv holds 2 in row 2; expected labels 0 and 1"),
        ({"label": ["yes", "no"]}, r"column 'label' of t.csv holds 'yes' in row 1"),
        ({"label": [0.5, 1.0]}, r"holds 0.5 in row 1"),
        ({"label": [1.0, float("nan")]}, r"column 'label' of t.csv holds NaN in row 2"),
        ({"label": [1, None]}, r"column 'label' of t.csv holds an empty cell in row 2"),
        ({"user_id": [0, -4]}, r"column 'user_id' of t.csv holds -4 in row 2; expected ids of 0 or more"),
        ({"item_id": [-1, 3]}, r"column 'item_id' of t.csv holds -1 in row 1"),
        ({"domain": [1, -1]}, r"column 'domain' of t.csv holds -1 in row 2"),
        ({"domain": ["a", " "]}, r"column 'domain' of t.csv holds an empty name in row 2"),
        ({"user_id": [None, "u"]}, r"column 'user_id' of t.csv holds an empty cell in row 1"),
        ({"user_id": [1.0, float("nan")]}, r"column 'user_id' of t.csv holds NaN in row 2"),
        ({"user_id": [1.5, 2.0]}, r"column 'user_id' of t.csv holds Float64; expected strings or integers"),
        ({"item:price": [1.0, float("inf")]}, r"column 'item:price' of t.csv holds inf in row 2"),
        ({"user:age": [3, None]}, r"column 'user:age' of t.csv holds an empty cell in row 2"),
        ({"timestamp": ["2018-01-01", "2"]}, r"column 'timestamp' of t.csv holds '2018-01-01' in row 1"),
    ],
)
def test_bad_cells_are_refused_by_column_and_row(changes: dict[str, list[Any]], says: str) -> None:
    with pytest.raises(DataError, match=says):
        canonical(_table(**changes), "t.csv")


@pytest.mark.parametrize("name", ["user_id", "item_id", "domain"])
def test_a_missing_column_is_named_with_the_option_that_helps(name: str) -> None:
    option = name.removesuffix("_id")
    with pytest.raises(DataError, match=rf"column '{name}' is missing in t.csv, which has .*--{option}\."):
        canonical(_table().drop(name), "t.csv")


def test_a_named_label_must_exist() -> None:
    with pytest.raises(DataError, match="column 'clicked' is missing"):
        canonical(_table(), "t.csv", Columns(label="clicked"))


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="a header and no rows"):
        canonical(_table().head(0), "t.csv")


def test_columns_are_renamed_and_foreign_ones_left_out() -> None:
    raw = pl.DataFrame(
        {"who": [1], "what": ["x"], "where": [3], "rating": [5], "item:brand": ["b"], "hit": [True]}
    )
    table = canonical(raw, "t", Columns("who", "what", "where", "hit"))
    assert table.to_dict(as_series=False) == {
        "user_id": [1], "item_id": ["x"], "domain": ["3"], "label": [1], "item:brand": ["b"]
    }  # fmt: skip


def test_unknown_times_and_large_hashes_are_fine() -> None:
    big = (1 << 64) - 1
    raw = pl.DataFrame({"user_id": [big], "item_id": [2], "domain": ["a"], "timestamp": [None]})
    table = canonical(raw.cast({"user_id": pl.UInt64}), "t")
    assert table.row(0) == (str(big), 2, "a", None)


def test_positives_count_once_a_domain() -> None:
    rows = {
        "user_id": ["u", "u", "u"],
        "item_id": [1, 1, 1],
        "domain": ["a", "a", "b"],
        "timestamp": [5, 6, 7],
    }
    assert distinct(pl.DataFrame(rows))["timestamp"].to_list() == [5, 7]


def test_labelled_rows_are_dropped_only_when_all_columns_agree() -> None:
    rows = {"user_id": ["u"] * 4, "item_id": [1] * 4, "domain": ["a"] * 4, "label": [0, 1, 1, 1],
            "context:hour": [1, 1, 1, 2]}  # fmt: skip
    assert len(distinct(pl.DataFrame(rows))) == 3


def test_domains_are_ordered_as_numbers_only_when_all_are() -> None:
    assert domain_names(pl.DataFrame({"domain": ["10", "9"]})) == ["9", "10"]
    assert domain_names(pl.DataFrame({"domain": ["10", "9", "x"]})) == ["10", "9", "x"]


def test_files_must_have_the_same_columns_and_may_differ_in_kind() -> None:
    one, two = canonical(_table(), "1"), canonical(_table(user_id=[7, 8]), "2")
    assert concatenate([one, two], ["1", "2"])["user_id"].to_list() == ["u", "v", "7", "8"]
    with pytest.raises(DataError, match="the same columns in every file"):
        concatenate([one, two.drop("label")], ["1", "2"])
