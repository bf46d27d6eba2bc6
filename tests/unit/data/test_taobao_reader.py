"""Taobao's Cloud Theme files, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.unit.data import raw

from mamdr.data.readers import taobao
from mamdr.errors import DataError

LOG, USERS = "theme_click_log.csv", "user_embedding.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return raw.taobao(tmp_path / "raw")


def rewrite(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_clicks_of_users_and_items_with_vectors_are_kept(folder: Path) -> None:
    table, vectors = taobao.read(folder)
    log = pl.read_csv(folder / LOG)
    kept = log.filter(pl.col("user_id") < 1029, pl.col("item_id") < 5019)
    assert len(table) == len(kept) < len(log)
    assert table["item_id"].to_list() == [str(item) for item in kept["item_id"]]
    assert vectors["user_id"].values.shape == (29, raw.WIDTH)
    line = (folder / USERS).read_text().splitlines()[3].split(",")
    assert vectors["user_id"].ids[2] == line[0]
    assert vectors["user_id"].values[2].tolist() == pytest.approx([float(x) for x in line[1].split()])


def test_domains_are_themes_in_the_order_of_the_log(folder: Path) -> None:
    table, _ = taobao.read(folder)
    log = pl.read_csv(folder / LOG)
    order = log["theme_id"].unique(maintain_order=True).to_list()
    sizes = dict(table["domain"].value_counts().iter_rows())
    kept = log.filter(pl.col("user_id") < 1029, pl.col("item_id") < 5019)
    for number, theme in enumerate(order, start=1):
        assert sizes[f"D{number}"] == len(kept.filter(pl.col("theme_id") == theme))


def test_the_first_themes_alone(folder: Path) -> None:
    assert set(taobao.read(folder, 2)[0]["domain"]) == {"D1", "D2"}


@pytest.mark.parametrize("name", [LOG, USERS, "item_embedding.csv"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"there is no {name}"):
        taobao.read(folder)


def test_a_column_that_is_missing_is_named(folder: Path) -> None:
    rewrite(folder, LOG, "theme_id", "theme")
    with pytest.raises(DataError, match="has no column 'theme_id'"):
        taobao.read(folder)


def test_a_click_without_a_theme_is_named_by_its_line(folder: Path) -> None:
    lines = (folder / LOG).read_text().splitlines()
    cells = lines[4].split(",")
    lines[4] = ",".join([cells[0], "", *cells[2:]])
    (folder / LOG).write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 5 has no theme_id"):
        taobao.read(folder)


@pytest.mark.parametrize("vector", ["1.0 2.0 3.0", "1.0 2.0 3.0 x", "", "1 2 3 4 5"])
def test_a_vector_that_is_none_is_named_by_its_line(folder: Path, vector: str) -> None:
    lines = (folder / USERS).read_text().splitlines()
    lines[6] = f"1005,{vector}"
    (folder / USERS).write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"user_embedding\.csv line 7 holds"):
        taobao.read(folder)


@pytest.mark.parametrize("name", [USERS, "item_embedding.csv"])
def test_the_log_in_the_place_of_vectors_is_told(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / LOG).read_bytes())
    with pytest.raises(DataError, match=rf"{name} line \d+ has id '10\d\d', again"):
        taobao.read(folder)


@pytest.mark.parametrize(("own", "says"), [("1003", "line 7 has id '1003', again"), ("", "line 7 has no id")])
def test_an_id_that_comes_twice_or_is_empty_is_named_by_its_line(folder: Path, own: str, says: str) -> None:
    lines = (folder / USERS).read_text().splitlines()
    lines[6] = f"{own},1.0 2.0 3.0 4.0"
    (folder / USERS).write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"{USERS} {says}"):
        taobao.read(folder)


def test_vectors_in_the_place_of_the_log_are_told(folder: Path) -> None:
    (folder / LOG).write_bytes((folder / USERS).read_bytes())
    with pytest.raises(DataError, match=r"theme_click_log\.csv has no column 'theme_id'"):
        taobao.read(folder)


def test_more_themes_than_there_are_is_told(folder: Path) -> None:
    with pytest.raises(DataError, match="holds 4 themes"):
        taobao.read(folder, 10)


def test_vectors_of_other_users_are_told(folder: Path) -> None:
    text = (folder / USERS).read_text().replace("\n10", "\n99")
    (folder / USERS).write_text(text)
    with pytest.raises(DataError, match=r"0 themes .* user and item both have vectors"):
        taobao.read(folder)
