"""The folders that the authors' code prepares, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.data import raw

from mamdr.data.readers import authors
from mamdr.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return raw.authors(tmp_path / "split_by_theme_2")


def test_rows_labels_and_split_stay_as_they_are(folder: Path) -> None:
    data = authors.read(folder, "theirs")
    assert data.schema.domains == ("theme_0", "theme_1")
    for part, rows in (("train", 8), ("val", 3), ("test", 3)):
        split = data.split(part)
        assert split.size(0) == split.size(1) == rows
        for domain in (0, 1):
            ((batch, labels),) = split.batches([domain], 100, None)
            decode = data.vocabularies["user_id"].decode
            assert [decode(int(u)) for u in batch["user_id"]] == [
                f"raw-uid-{6 - (n + domain) % 6}" for n in range(rows)
            ]
            assert labels.tolist() == [n % 2 for n in range(rows)]
    assert data.facts["ctr_ratio"] == [0.3, 0.3]


def test_features_are_the_ids_own(folder: Path) -> None:
    data = authors.read(folder, "theirs")
    words, vectors = data.vocabularies["item_id"], data.schema.vectors["item_id"]
    for n in range(5):
        at = int(words.encode(words.values.filter(words.values == f"raw-pid-{5 - n}"))[0])
        assert vectors[at].tolist() == [n] * raw.WIDTH


def test_without_features_ids_are_trained(tmp_path: Path) -> None:
    assert authors.read(raw.authors(tmp_path / "prepared", vectors=False), "theirs").schema.vectors == {}


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_is_wrong_is_named(folder: Path) -> None:
    (folder / "domain_1" / "val.csv").rename(folder / "domain_1" / "old.csv")
    with pytest.raises(DataError, match=r"no val\.csv in .*domain_1"):
        authors.read(folder, "theirs")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("domain_0/train.csv", "\n1,1,0,1", "\n77,1,0,1", r"train\.csv line 3 has uid 77"),
        ("domain_0/train.csv", "\n1,1,0,1", "\n1,1,0,2", "line 3 has label 2"),
        ("domain_0/train.csv", "uid,pid", "user,pid", r"train\.csv cannot be read"),
        ("domain_0/domain_property.json", "ctr_ratio", "ratio", "has no domain_name, ctr_ratio"),
        ("processed_data/uid2id.json", '"raw-uid-6": 0', '"raw-uid-6": 1', "ids that are not 0 to 5"),
        ("processed_data/item_emb.json", '"3"', '"30"', "no vector for id '3'"),
        ("processed_data/item_emb.json", "3.000000", "three", "vectors that are none"),
        ("processed_data/item_emb.json", "3.000000 ", "", r"item_emb\.json holds .* of several widths"),
        ("processed_data/pid2id.json", "{", "", "is not JSON"),
    ],
)
def test_damage_names_file_and_line(folder: Path, name: str, old: str, new: str, message: str) -> None:
    spoil(folder / name, old, new)
    with pytest.raises(DataError, match=message):
        authors.read(folder, "theirs")


def test_a_domain_left_out_is_told(folder: Path) -> None:
    (folder / "domain_0").rename(folder / "domain_7")
    with pytest.raises(DataError, match="folders domain_0, domain_1"):
        authors.read(folder, "theirs")


def test_another_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(json.dumps({}))
    with pytest.raises(DataError, match=r"holds notes\.txt"):
        authors.read(tmp_path, "theirs")
