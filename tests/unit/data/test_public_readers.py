"""Other public data: what each file becomes, and every way it can be wrong, by file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from tests.unit.data import raw_public as raw

from mamdr.data.catalog import build_source
from mamdr.data.readers import aliccp, aliexpress, blocks, ciao, kuairand, movielens
from mamdr.errors import ConfigError, DataError

READ: dict[str, Callable[[Path], pl.DataFrame]] = {
    "movielens-1m": movielens.read,
    "kuairand": kuairand.read,
    "ali-ccp": aliccp.read,
    "aliexpress": aliexpress.read,
    "ciao": ciao.read,
}
WRITE: dict[str, Callable[[Path], Path]] = {
    "movielens-1m": raw.movielens,
    "kuairand": raw.kuairand,
    "ali-ccp": raw.aliccp,
    "aliexpress": raw.aliexpress,
    "ciao": raw.ciao,
}


def edit(path: Path, line: int, old: str, new: str) -> None:
    """Change one line of a file; lines count from 1."""
    lines = path.read_bytes().decode("latin-1").split("\n")
    assert old in lines[line - 1], lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_bytes("\n".join(lines).encode("latin-1"))


def test_movielens_has_age_groups_for_domains(tmp_path: Path) -> None:
    table = movielens.read(raw.movielens(tmp_path))
    first = (tmp_path / "ratings.dat").read_text().splitlines()[0].split("::")
    row = table.row(0, named=True)
    assert (row["user_id"], row["item_id"], row["timestamp"]) == (1, 1, int(first[3]))
    assert row["label"] == (int(first[2]) > 3)
    assert row["user:zip"] == "01117-1"
    assert row["item:genres"] == ["Animation", "Children's", "Comedy"]
    ages = dict(table.select("user:age", "domain").unique().iter_rows())
    assert ages == {
        **dict.fromkeys((1, 18), "under 25"),
        **dict.fromkeys((25,), "25 to 34"),
        **dict.fromkeys((35, 45, 50, 56), "35 and over"),
    }
    stars = [int(line.split("::")[2]) for line in (tmp_path / "ratings.dat").read_text().splitlines()]
    assert table["label"].to_list() == [int(star in (4, 5)) for star in stars]


def test_kuairand_has_tabs_for_domains(tmp_path: Path) -> None:
    table = kuairand.read(raw.kuairand(tmp_path))
    logs = pl.concat([pl.read_csv(path) for path in sorted(tmp_path.glob("log_standard*"))])
    assert table["domain"].to_list() == [str(tab) for tab in logs["tab"]]
    assert table["label"].to_list() == logs["is_click"].to_list()
    row = table.row(0, named=True)
    assert (row["user:follow_user_num_range"], row["user:onehot_feat0"]) == ("(0,10]", "unknown")
    assert (row["item:tag"], row["item:author_id"]) == (["0", "28"], "0")
    assert (row["timestamp"], row["context:hour"]) == (1649467982, 0)
    without = table.filter(pl.col("item_id") == 104).row(0, named=True)
    assert (without["item:author_id"], without["item:tag"]) == ("unknown", ["unknown"])


def test_aliccp_has_field_301_for_domains(tmp_path: Path) -> None:
    table = aliccp.read(raw.aliccp(tmp_path))
    assert len(table) == 120
    assert set(table["domain"]) == {"9351665", "9351666", "9351667"}
    row = table.row(1, named=True)
    assert (row["user_id"], row["item_id"], row["user:121"], row["item:206"]) == (1, 1001, 39, 1)
    assert (row["user:109_14"], row["user:110_14"], row["item:210"]) == ([10, 21], [], [5, 7])
    assert (row["context:508"], row["context:509"], row["user:127"]) == (1, 0, 0)
    assert table.row(0, named=True)["item:210"] == []
    labels = [
        int(line.split(",")[1]) for line in (tmp_path / "sample_skeleton_train.csv").read_text().splitlines()
    ]
    assert table["label"].head(60).to_list() == labels


def test_aliccp_leaves_out_purchases_without_a_click(tmp_path: Path) -> None:
    path = raw.aliccp(tmp_path) / "sample_skeleton_train.csv"
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if text.split(",")[1] == "0")
    edit(path, line, ",0,0,", ",0,1,")
    table = aliccp.read(tmp_path)
    assert len(table) == 119


def test_aliccp_without_its_test_part(tmp_path: Path) -> None:
    raw.aliccp(tmp_path)
    (tmp_path / "sample_skeleton_test.csv").unlink()
    with pytest.raises(DataError, match=r"there is no sample_skeleton_test\.csv"):
        aliccp.read(tmp_path)
    (tmp_path / "common_features_test.csv").unlink()
    assert len(aliccp.read(tmp_path)) == 60


def test_aliexpress_has_countries_for_domains(tmp_path: Path) -> None:
    table = aliexpress.read(raw.aliexpress(tmp_path))
    assert table["domain"].value_counts().sort("domain").rows() == [("ES", 120), ("NL", 120)]
    es = tmp_path / "aliexpress_ES_datasets"
    item = (es / "es_item_train.csv").read_text().splitlines()[4].split(",")
    user = (es / "es_user_train.csv").read_text().splitlines()[1].split(",")
    row = table.row(4, named=True)
    assert row["label"] == int(item[-1] in "12")
    assert (row["item:19"], row["user:33"]) == (item[18], user[32])
    assert row["item:2"] == pytest.approx(float(item[1]))
    assert row["user_id"] == "|".join(user[column - 1] for column in (*range(2, 9), 32, 33))
    assert row["item_id"] == "|".join(item[column - 1] for column in (19, 34, 35, 36, 40, 41, 42))
    assert not {"page", "user:1", "item:1", "item:49"} & set(table.columns)


def test_ciao_has_categories_for_domains_and_no_labels(tmp_path: Path) -> None:
    table = ciao.read(raw.ciao(tmp_path))
    assert table.columns == ["user_id", "item_id", "domain"]
    assert table.row(4) == (4, 4, "2")


def test_ciao_as_it_lies_there(real_data: Path) -> None:
    table = ciao.read(real_data / "ciao")
    assert len(table) == 284_086
    assert table["domain"].n_unique() == 28


@pytest.mark.parametrize("name", READ)
def test_every_source_is_built_with_the_labels_it_has(tmp_path: Path, name: str) -> None:
    table = READ[name](WRITE[name](tmp_path))
    data = build_source(name, tmp_path)
    assert data.name == name
    assert sorted(data.schema.domains) == sorted(set(table["domain"]))
    assert data.options["source"] == name
    if name == "ciao":
        assert data.options["negatives"] == "drawn"
        return
    assert data.options["negatives"] == "given"
    kept = table.unique()
    rows = [data.split(part) for part in ("train", "val", "test")]
    assert sum(map(len, rows)) == len(kept)
    assert sum(int(part.labels.sum()) for part in rows) == kept["label"].sum()


@pytest.mark.parametrize("name", ["movielens-1m", "kuairand", "ali-ccp", "aliexpress"])
def test_blocks_of_any_size_give_the_same(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = READ[name](WRITE[name](tmp_path))
    monkeypatch.setattr(blocks, "_BLOCK", 700)
    assert READ[name](tmp_path).equals(whole)


def test_categories_choose_among_domains(tmp_path: Path) -> None:
    raw.kuairand(tmp_path)
    assert build_source("kuairand", tmp_path, ["2", "0"]).schema.domains == ("2", "0")
    with pytest.raises(ConfigError, match="unknown category '9'; expected one of 0, 1, 2"):
        build_source("kuairand", tmp_path, ["9"])


@pytest.mark.parametrize(
    ("name", "file"),
    [
        *[("movielens-1m", f"{name}.dat") for name in ("ratings", "users", "movies")],
        *[("ali-ccp", f"{name}_train.csv") for name in ("sample_skeleton", "common_features")],
        ("ciao", "interactions.parquet"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, name: str, file: str) -> None:
    (WRITE[name](tmp_path) / file).unlink()
    with pytest.raises(DataError, match=f"there is no {file}"):
        READ[name](tmp_path)


@pytest.mark.parametrize(
    "pattern", ["log_standard_*.csv", "user_features_*.csv", "video_features_basic_*.csv"]
)
def test_missing_files_of_kuairand_are_named(tmp_path: Path, pattern: str) -> None:
    for path in raw.kuairand(tmp_path).glob(pattern):
        path.unlink()
    with pytest.raises(DataError) as told:
        kuairand.read(tmp_path)
    assert f"there is no {pattern}" in str(told.value)


def test_missing_files_of_a_country_are_named(tmp_path: Path) -> None:
    raw.aliexpress(tmp_path)
    (tmp_path / "aliexpress_ES_datasets/es_user_train.csv").unlink()
    with pytest.raises(DataError, match=r"there is no es_user_train\.csv"):
        aliexpress.read(tmp_path)
    with pytest.raises(DataError, match="holds no files of a country"):
        aliexpress.read(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "spoilt", "missing"),
    [
        ("kuairand", "log_standard_4_08_to_4_21_1k.csv", "video_features_basic_1k.csv"),
        ("ali-ccp", "sample_skeleton_train.csv", "common_features_test.csv"),
        ("aliexpress", "aliexpress_ES_datasets/es_user_train.csv", "aliexpress_NL_datasets/nl_user_test.csv"),
    ],
)
def test_a_missing_file_is_told_before_any_is_read(
    tmp_path: Path, name: str, spoilt: str, missing: str
) -> None:
    WRITE[name](tmp_path)
    (tmp_path / spoilt).write_text("this would be told, were it read")
    (tmp_path / missing).unlink()
    with pytest.raises(DataError, match="there is no "):
        READ[name](tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "line", "old", "new", "says"),
    [
        ("movielens-1m", "ratings.dat", 7, "::", "", "line 7 has 3 fields"),
        ("movielens-1m", "ratings.dat", 7, "::9", "::x9", "line 7 has timestamp 'x9"),
        ("movielens-1m", "ratings.dat", 8, "1::", "77::", "line 8 has user '77'.*a line in users.dat"),
        ("movielens-1m", "ratings.dat", 2, "::260::", "::261::", "line 2 has movie '261'.*movies.dat"),
        ("movielens-1m", "users.dat", 3, "::25::", "::26::", "line 3 has age '26'"),
        ("movielens-1m", "movies.dat", 3, "::Fantasy", "::", "line 3 has no genres"),
        ("kuairand", "log_standard_4_08_to_4_21_1k.csv", 1, "tab", "tabs", "has no column 'tab'"),
        ("kuairand", "log_standard_4_08_to_4_21_1k.csv", 5, ",20220408,", ",", "line 5 has 18 fields"),
        (
            "kuairand",
            "log_standard_4_22_to_5_08_1k.csv",
            9,
            "20220408,",
            "20220408,x",
            "line 9 has hourmin 'x",
        ),
        ("kuairand", "user_features_1k.csv", 4, "2,", ",", "line 4 has no user_id"),
        (
            "ali-ccp",
            "sample_skeleton_train.csv",
            6,
            "bacff0",
            "bacff9",
            "line 6 has key 'bacff9'.*common_feat",
        ),
        ("ali-ccp", "sample_skeleton_test.csv", 3, "\x02", ":", "line 3 has features"),
        ("ali-ccp", "common_features_train.csv", 2, "bacff1,", "", "line 2 has 2 fields"),
        ("ali-ccp", "sample_skeleton_train.csv", 4, "4,", "4,?", "line 4 has click '\\?"),
        ("aliexpress", "aliexpress_NL_datasets/nl_item_train.csv", 5, "0.", "O.", "line 5 has item:2 'O"),
        ("aliexpress", "aliexpress_ES_datasets/es_user_test.csv", 2, ",", "", "line 2 has 32 fields"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(
    tmp_path: Path, name: str, file: str, line: int, old: str, new: str, says: str
) -> None:
    path = WRITE[name](tmp_path) / file
    edit(path, line, old, new)
    with pytest.raises(DataError, match=f"{path.name}.*{says}"):
        READ[name](tmp_path)


def test_a_label_that_is_none_is_named_by_its_line(tmp_path: Path) -> None:
    raw.aliexpress(tmp_path)
    path = tmp_path / "aliexpress_NL_datasets/nl_item_train.csv"
    lines = path.read_text().splitlines()
    lines[10] = lines[10][:-1] + "3"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"nl_item_train\.csv line 11 has label '3'"):
        aliexpress.read(tmp_path)


def test_pages_that_never_meet_are_told(tmp_path: Path) -> None:
    raw.aliexpress(tmp_path, ("nl",))
    path = tmp_path / "aliexpress_NL_datasets/nl_user_train.csv"
    path.write_text("\n".join(f"9{line}" for line in path.read_text().splitlines()))
    with pytest.raises(DataError, match=r"no page of nl_item_train\.csv is in nl_user_train\.csv"):
        aliexpress.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "wrong", "place", "says"),
    [
        ("movielens-1m", "users.dat", "ratings.dat", "line 1 has 5 fields"),
        ("kuairand", "user_features_1k.csv", "video_features_basic_1k.csv", "has no column 'video_id'"),
        ("ali-ccp", "sample_skeleton_train.csv", "common_features_train.csv", "line 1 has 6 fields"),
    ],
)
def test_a_wrong_file_in_its_place_is_told(
    tmp_path: Path, name: str, wrong: str, place: str, says: str
) -> None:
    WRITE[name](tmp_path)
    (tmp_path / place).write_bytes((tmp_path / wrong).read_bytes())
    with pytest.raises(DataError, match=f"{place} {says}"):
        READ[name](tmp_path)


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_file_is_named(tmp_path: Path, text: str) -> None:
    (raw.movielens(tmp_path) / "users.dat").write_text(text)
    with pytest.raises(DataError, match=r"users\.dat holds no rows"):
        movielens.read(tmp_path)


def test_a_line_between_that_is_empty_is_named(tmp_path: Path) -> None:
    path = raw.movielens(tmp_path) / "ratings.dat"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], "", *lines[4:]]))
    with pytest.raises(DataError, match=r"ratings\.dat line 5 is empty"):
        movielens.read(tmp_path)
