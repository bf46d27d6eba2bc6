"""Any CSV or Parquet: kinds of files and columns, and what cannot be read."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from mamdr.data.interactions import Columns
from mamdr.data.readers import table
from mamdr.errors import DataError

CSV = "user_id,item_id,domain,label,context:hour,item:price\n7,a,x,1,3,0.5\n8,b,y,0,4,1\n"
ROWS = [(7, "a", "x", 1, 3, 0.5), (8, "b", "y", 0, 4, 1.0)]


def _write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_every_kind_of_file_gives_the_same_table(tmp_path: Path) -> None:
    raw = pl.DataFrame(ROWS, schema=CSV.split("\n")[0].split(","), orient="row")
    raw.write_parquet(tmp_path / "t.parquet")
    files = [
        _write(tmp_path / "t.csv", CSV),
        _write(tmp_path / "t.csv.gz", CSV),
        _write(tmp_path / "t.tsv", CSV.replace(",", "\t")),
        tmp_path / "t.parquet",
    ]
    for file in files:
        assert table.read([file]).rows() == ROWS
    assert table.read(files).rows() == ROWS * 4


def test_leading_zeros_are_kept(tmp_path: Path) -> None:
    file = _write(tmp_path / "t.csv", "user_id,item_id,domain\n007,1,x\n7,2,x\n")
    assert table.read([file])["user_id"].to_list() == ["007", "7"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("t.csv", "", r"t.csv is empty"),
        ("t.csv", "user_id,item_id,domain\n", r"t.csv has a header and no rows"),
        ("t.csv", "user_id,item_id\n1,2\n", r"column 'domain' is missing in t.csv"),
        ("t.csv", "user_id,item_id,domain\n1,2,x\n1,2,x,4,5\n", r"t.csv cannot be read"),
        ("t.csv", "user_id,item_id,domain\n1,-2,x\n", r"column 'item_id' of t.csv holds -2 in row 1"),
        ("t.csv", "user_id,item_id,domain,label\n1,2,x,NaN\n", r"column 'label' of t.csv holds"),
        (
            "t.csv",
            "user_id,item_id,domain,label\n1,2,x,1\n1,2,x,\n",
            r"column 'label' of t.csv holds an empty cell",
        ),
        (
            "t.csv",
            "user_id,item_id,domain,item:price\n1,2,x,1\n1,2,x,nan\n",
            r"'item:price' of t.csv holds NaN in row 2",
        ),
        ("t.parquet", "PAR1 and no more", r"t.parquet cannot be read"),
        ("t.xlsx", "what", r"t.xlsx is of kind '.xlsx'"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        table.read([_write(tmp_path / name, text)])


def test_a_truncated_gzip_is_named(tmp_path: Path) -> None:
    text = CSV + "".join(f"{number * 7919},z{number},x,1,3,0.5\n" for number in range(2000))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode())[:3000])
    with pytest.raises(DataError, match=r"t.csv.gz cannot be read"):
        table.read([tmp_path / "t.csv.gz"])


def test_absent_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        table.read([tmp_path / "t.csv"])
    with pytest.raises(DataError, match="no files were given"):
        table.read([])


def test_the_real_table_has_its_columns_named(real_data: Path) -> None:
    file = real_data / "amazon2018" / "interactions_6of13.parquet"
    rows = table.read([file], Columns("user", "item", "category"))
    assert len(rows) == 757_714
    assert rows["user_id"].n_unique() == 85_701
