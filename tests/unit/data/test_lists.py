"""Lists from files: how they are written, what they become in built data, and what cannot be a list."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.features import list_ids

from mamdr.data.building import build
from mamdr.data.domains import SPLITS, Dataset
from mamdr.data.interactions import Columns, canonical
from mamdr.data.readers import table
from mamdr.errors import ConfigError, DataError

TAGS = Columns(lists={"item:tags": "|"})
HEADER = "user_id,item_id,domain,label,item:tags\n"


def _csv(path: Path, *cells: str) -> Path:
    path.write_text(HEADER + "".join(f"u{row},i{row},x,1,{cell}\n" for row, cell in enumerate(cells)))
    return path


def _table(
    lists: list[list[str]] | list[list[int]], items: list[str] | list[int] | None = None
) -> pl.DataFrame:
    rows = range(len(lists))
    columns = {
        "user_id": [f"u{row}" for row in rows],
        "item_id": items or [f"i{row % 3}" for row in rows],
        "domain": ["x"] * len(lists),
        "label": [row % 2 for row in rows],
        "user:history": lists,
    }
    return pl.DataFrame(columns)


def test_text_is_cut_at_its_sign(tmp_path: Path) -> None:
    read = table.read([_csv(tmp_path / "t.csv", "a|b", "", "c")], TAGS)
    assert read["item:tags"].to_list() == [["a", "b"], [], ["c"]]


def test_lists_of_integers_are_integers_whatever_they_look_like_alone(tmp_path: Path) -> None:
    assert table.read([_csv(tmp_path / "t.csv", "7", "8", "")], TAGS)["item:tags"].to_list() == [[7], [8], []]
    assert table.read([_csv(tmp_path / "t.csv", "7|07")], TAGS)["item:tags"].to_list() == [["7", "07"]]


def test_parquet_needs_no_option_and_files_of_both_kinds_are_joined(tmp_path: Path) -> None:
    frame = table.read([_csv(tmp_path / "t.csv", "7|8")], TAGS)
    frame.write_parquet(tmp_path / "t.parquet")
    assert table.read([tmp_path / "t.parquet"]).rows() == frame.rows()
    names = _csv(tmp_path / "names.csv", "a")
    both = table.read([tmp_path / "t.parquet", names], TAGS)
    assert both["item:tags"].to_list() == [["7", "8"], ["a"]]
    with pytest.raises(DataError, match=r"'item:tags' holds lists in t\.parquet and none in another file"):
        table.read([tmp_path / "t.parquet", names])


@pytest.mark.parametrize(
    ("cells", "lists", "message"),
    [
        (["a|"], {"item:tags": "|"}, "'item:tags' of t holds a list with an empty name in row 1"),
        (["a", None], {"item:tags": "|"}, "'item:tags' of t holds an empty cell in row 2"),
        ([["a"], None], {}, "'item:tags' of t holds an empty cell in row 2"),
        ([["a"], [None]], {}, "'item:tags' of t holds a list with an empty value in row 2"),
        ([[0.5]], {}, "'item:tags' of t holds lists of Float64; expected lists of strings or integers"),
        ([[["a"]]], {}, "'item:tags' of t holds lists of List"),
        ([3], {"item:tags": "|"}, "'item:tags' of t holds Int64; expected lists, or text"),
        (["a"], {"item:tags": None}, "'item:tags' of t holds String; .*--list 'item:tags=SIGN'"),
        (["a"], {"item:tag": "|"}, "t has no feature 'item:tag'; its features are item:tags"),
    ],
)
def test_what_is_no_list(cells: list[object], lists: dict[str, str | None], message: str) -> None:
    rows = len(cells)
    raw = pl.DataFrame(
        {"user_id": ["u"] * rows, "item_id": ["i"] * rows, "domain": ["x"] * rows, "item:tags": cells}
    )
    with pytest.raises(DataError, match=message) as raised:
        canonical(raw, "t", Columns(lists=lists))
    assert "\n" not in str(raised.value)


def test_a_key_is_no_list() -> None:
    with pytest.raises(DataError, match="'item_id' of t holds List"):
        canonical(pl.DataFrame({"user_id": ["u"], "item_id": [["i"]], "domain": ["x"]}), "t")


words = st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), min_size=1, max_size=25)


@given(lists=words, longest=st.integers(1, 7))
@settings(deadline=None, max_examples=40)
def test_ids_are_those_of_train_and_the_last_are_kept(lists: list[list[str]], longest: int) -> None:
    data = build(_table(lists), name="t", max_length=longest)
    assert data.schema.lists == {"user:history": longest}
    raw = {
        part: [
            lists[int(data.vocabularies["user_id"].decode(user)[1:])] if user > 1 else None
            for user in data.split(part).columns["user_id"].tolist()
        ]
        for part in SPLITS
    }
    train = [row for row in raw["train"] if row is not None]
    assert len(train) == len(data.train)  # every user of train is known to train
    wanted = [list_ids(train, row, longest) for row in train]
    assert data.train.lists["user:history"].to_lists() == wanted
    assert data.schema.ids["user:history"] == 2 + len({word for row in train for word in row[-longest:]})


def test_drawn_rows_take_the_lists_of_their_owners() -> None:
    users = {f"u{n}": [f"i{n}", "i0"][: n % 3] for n in range(5)}
    items = {f"i{n}": [f"t{n % 4}"] * (n % 2) for n in range(11)}
    rows = [(f"u{n % 5}", f"i{n % 11}", "x") for n in range(55)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "domain"], orient="row").with_columns(
        pl.Series("user:history", [users[user] for user, _, _ in rows]),
        pl.Series("item:tags", [items[item] for _, item, _ in rows], dtype=pl.List(pl.String)),
    )
    data = build(frame, name="t", ctr_ratio=0.9, shared={"user:history": "item_id"})
    words = data.vocabularies
    for batch, _ in data.train.batches([0], 1000, None):
        for user, item, history, tags in zip(
            *(batch[name].tolist() for name in ("user_id", "item_id", "user:history", "item:tags")),
            strict=True,
        ):
            assert [words["item_id"].decode(one) for one in history if one] == users[
                words["user_id"].decode(user)
            ]
            assert [words["item:tags"].decode(tag) for tag in tags if tag] == items[
                words["item_id"].decode(item)
            ]
    other = frame.with_columns(pl.Series("user:history", [[f"h{n}"] for n in range(55)]))
    with pytest.raises(DataError, match="'user:history' has several values for user"):
        build(other, name="t", ctr_ratio=0.9)


def test_shared_columns_have_one_vocabulary_and_one_file(tmp_path: Path) -> None:
    frame = _table([["i2", "x"], [], ["i0"], ["i1", "i0"], ["i2"]])
    data = build(frame, name="t", shared={"user:history": "item_id"})
    assert data.vocabularies["user:history"] is data.vocabularies["item_id"]
    assert data.schema.ids["user:history"] == data.schema.ids["item_id"]
    assert data.options["totals"] == {"users": 5, "items": 3}  # "x" is in a history alone
    data.save(tmp_path / "d")
    assert not (tmp_path / "d/vocabulary/user%3Ahistory.parquet").exists()
    back = Dataset.load(tmp_path / "d")
    assert (back.schema, back.fingerprint) == (data.schema, data.fingerprint)
    assert back.schema.shared == {"user:history": "item_id"}
    assert back.vocabularies["user:history"] is back.vocabularies["item_id"]


def test_shared_columns_of_numbers_and_strings_meet_as_strings() -> None:
    data = build(_table([["7"], ["8"]], [7, 9]), name="t", shared={"user:history": "item_id"})
    assert set(data.vocabularies["item_id"].values) <= {"7", "8", "9"}


@pytest.mark.parametrize(
    ("shared", "message"),
    [
        ({"user:histry": "item_id"}, "no column of categories is named 'user:histry'"),
        (
            {"user:history": "item"},
            "no column of categories is named 'item'; expected one of user_id, item_id",
        ),
        ({"item_id": "user:history"}, "Let 'user:history' share 'item_id'"),
        ({"user:history": "user:history"}, "a column with ids of its own"),
    ],
)
def test_columns_that_cannot_share(shared: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(_table([["a"], []]), name="t", shared=shared)


@pytest.mark.parametrize("length", [{"user:history": 0}, {"item:tags": 3}])
def test_lengths_that_cannot_be(length: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="1 or more, for a column of lists"):
        build(_table([["a"], []]), name="t", max_length=length)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    frame = _table([[f"i{n % 4}"] * (n % 5) for n in range(40)])
    folders = []
    for name in ("one", "two"):
        build(frame, name="t", shared={"user:history": "item_id"}).save(tmp_path / name)
        paths = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        folders.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in paths})
    assert folders[0] == folders[1]
    assert "train/starts/user%3Ahistory.npy" in folders[0]
