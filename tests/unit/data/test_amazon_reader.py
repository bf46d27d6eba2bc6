"""Amazon's review files: what is read, and that every damage names its file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mamdr.data.readers import amazon, blocks
from mamdr.errors import ConfigError, DataError


def _review(**changes: Any) -> dict[str, Any]:
    review = {
        "reviewerID": "A1",
        "asin": "B1",
        "overall": 5.0,
        "unixReviewTime": 10,
        "style": {"Color:": " x"},
    }
    return {key: value for key, value in (review | changes).items() if value is not None}


def _lines(*reviews: dict[str, Any]) -> str:
    return "".join(json.dumps(review) + "\n" for review in reviews)


def _write(folder: Path, text: str, name: str = "Gift_Cards_5.json.gz") -> Path:
    data = text.encode()
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def test_gz_and_plain_files_are_read_and_named_by_category(tmp_path: Path) -> None:
    _write(tmp_path, _lines(_review(), _review(asin="B2", overall=1.0)))
    _write(tmp_path, _lines(_review(reviewerID="A2")).rstrip("\n"), "Software_5.json")
    _write(tmp_path, _lines(_review(reviewerID="A3")), "Prime_Pantry.json")
    _write(tmp_path, "{}", "meta_Software.json.gz")
    _write(tmp_path, "hello", "README.txt")
    table = amazon.read(tmp_path)
    assert table.rows() == [
        ("A1", "B1", "Gift_Cards", 10, 5.0),
        ("A1", "B2", "Gift_Cards", 10, 1.0),
        ("A3", "B1", "Prime_Pantry", 10, 5.0),
        ("A2", "B1", "Software", 10, 5.0),
    ]
    assert amazon.read(tmp_path, ["Software", "Gift_Cards"])["domain"].to_list() == ["Software"] + 2 * [
        "Gift_Cards"
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("no json at all", "Gift_Cards_5.json.gz line 3 is not JSON"),
        ('{"reviewerID": "A", "asin": ', "line 3 is not JSON"),
        (json.dumps(_review()) + " tail", "line 3 is not JSON"),
        ("[1, 2]", "line 3 is no JSON object"),
        (json.dumps(_review(asin=None)), "line 3 has no field 'asin'"),
        (json.dumps(_review(reviewerID=None)), "line 3 has no field 'reviewerID'"),
        (json.dumps(_review(overall=None)), "line 3 has no field 'overall'"),
        (json.dumps(_review(unixReviewTime=None)), "line 3 has no field 'unixReviewTime'"),
        (json.dumps(_review(reviewerID="")), "line 3 has 'reviewerID' ''"),
        (json.dumps(_review(unixReviewTime="yesterday")), "line 3 has 'unixReviewTime' 'yesterday'"),
    ],
)
@pytest.mark.parametrize("block", [1 << 25, 50])
def test_a_bad_line_is_named(
    tmp_path: Path, line: str, says: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_BLOCK", block)
    _write(tmp_path, _lines(_review(), _review()) + line + "\n" + _lines(_review()))
    with pytest.raises(DataError, match=says):
        amazon.read(tmp_path)


@pytest.mark.parametrize("block", [7, 100, 1 << 25])
def test_blocks_of_any_size_give_the_same(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_BLOCK", block)
    _write(tmp_path, _lines(*[_review(asin=f"B{number}") for number in range(30)]))
    assert amazon.read(tmp_path)["item_id"].to_list() == [f"B{number}" for number in range(30)]


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    _write(tmp_path, _lines(_review()) + "\n\n" + _lines(_review(asin="B2")))
    assert len(amazon.read(tmp_path)) == 2
    _write(tmp_path, _lines(_review()) + "\n\nbroken\n")
    with pytest.raises(DataError, match="line 4 is not JSON"):
        amazon.read(tmp_path)


def test_a_truncated_gzip_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(_lines(*[_review(asin=f"B{number * 7919}") for number in range(500)]).encode())
    (tmp_path / "Gift_Cards_5.json.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"Gift_Cards_5.json.gz is no whole gzip file.*Fetch the file again"):
        amazon.read(tmp_path)


@pytest.mark.parametrize("data", [b"this is no gzip", b"\x1f\x8b\x08\x00garbage-garbage-garbage"])
def test_what_is_no_gzip_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "Gift_Cards_5.json.gz").write_bytes(data)
    with pytest.raises(DataError, match=r"Gift_Cards_5.json.gz is no whole gzip file"):
        amazon.read(tmp_path)


@pytest.mark.parametrize("name", ["Gift_Cards_5.json.gz", "Gift_Cards_5.json"])
@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    _write(tmp_path, text, name)
    with pytest.raises(DataError, match=f"{name} is empty"):
        amazon.read(tmp_path)


def test_a_file_of_no_bytes_is_named(tmp_path: Path) -> None:
    (tmp_path / "Gift_Cards_5.json.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"Gift_Cards_5.json.gz is empty"):
        amazon.read(tmp_path)


def test_descriptions_in_the_place_of_reviews_are_told(tmp_path: Path) -> None:
    _write(tmp_path, _lines({"asin": "B1", "title": "a card", "price": "$1"}))
    with pytest.raises(DataError, match=r"Gift_Cards_5\.json\.gz line 1 has no field 'reviewerID'"):
        amazon.read(tmp_path)


def test_an_unknown_category_gets_a_suggestion(tmp_path: Path) -> None:
    _write(tmp_path, _lines(_review()))
    with pytest.raises(
        ConfigError, match=r"unknown category 'Gift_Card'; expected one of Gift_Cards.*Did you mean"
    ):
        amazon.read(tmp_path, ["Gift_Card"])


def test_folders_without_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no review files"):
        amazon.read(tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        amazon.read(tmp_path / "none")


def test_a_category_in_two_files_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, _lines(_review()))
    _write(tmp_path, _lines(_review()), "Gift_Cards.json")
    with pytest.raises(DataError, match="category Gift_Cards lies in two files"):
        amazon.read(tmp_path)


def test_the_shapes_of_2014_and_2023(tmp_path: Path) -> None:
    _write(tmp_path, _lines(_review()), "reviews_Toys_and_Games_5.json.gz")
    new = {"user_id": "A2", "parent_asin": "P1", "asin": "B9", "rating": 4.0, "timestamp": 1588687728923}
    _write(tmp_path, _lines(new, new | {"parent_asin": "P2"}), "Video_Games.jsonl.gz")
    assert amazon.read(tmp_path).rows() == [
        ("A1", "B1", "Toys_and_Games", 10, 5.0),
        ("A2", "P1", "Video_Games", 1588687728, 4.0),
        ("A2", "P2", "Video_Games", 1588687728, 4.0),
    ]
    _write(tmp_path, _lines(new, _review()), "Video_Games.jsonl.gz")
    with pytest.raises(DataError, match="line 2 has no field 'user_id'"):
        amazon.read(tmp_path)
