"""Amazon's review files: one JSON object a line, one file a category, in the shapes of 2014, 2018 and 2023.

    2014         reviewerID, asin, overall, unixReviewTime      reviews_Toys_and_Games_5.json.gz
    2018         the same                                       Toys_and_Games_5.json.gz
    2023         user_id, parent_asin, rating, timestamp (ms)   Toys_and_Games.jsonl.gz

A category is a domain, named by its file without what is before and after it. Every review is a positive, whatever its
stars: the paper predicts that a user meets an item, not what they think of it (section V-A).
Sources of the files: McAuley et al. 2015; Ni, Li and McAuley 2019; Hou et al. 2024 ("Bridging Language and Items").
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mamdr.config import lookup
from mamdr.data.download import Remote
from mamdr.data.readers.blocks import blocks
from mamdr.errors import DataError


@dataclass(frozen=True)
class _Shape:
    """What a file's objects have: field -> type, field -> canonical name, and how many time units a second has."""

    fields: dict[str, Any]
    names: dict[str, str]
    units: int = 1


_2018 = _Shape(
    {"reviewerID": pl.String, "asin": pl.String, "overall": pl.Float64, "unixReviewTime": pl.Int64},
    {"reviewerID": "user_id", "asin": "item_id", "overall": "rating", "unixReviewTime": "timestamp"},
)
_2023 = _Shape(
    {"user_id": pl.String, "parent_asin": pl.String, "rating": pl.Float64, "timestamp": pl.Int64},
    {"user_id": "user_id", "parent_asin": "item_id", "rating": "rating", "timestamp": "timestamp"},
    units=1000,
)
_ENDS = ("_5.json.gz", "_5.json", ".jsonl.gz", ".jsonl", ".json.gz", ".json")
_ADDRESS = "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_v2/categoryFilesSmall/"


def find(raw: Path) -> dict[str, Path]:
    """Category -> its review file in a folder; files named meta_... describe products and are left out."""
    if not raw.is_dir():
        raise DataError(f"there is no folder {raw}", "a folder of Amazon review files", "Check --raw")
    found: dict[str, Path] = {}
    for path in sorted(raw.iterdir()):
        end = next((end for end in _ENDS if path.name.endswith(end)), None)
        if end is None or not path.is_file() or path.name.startswith((".", "meta_")):
            continue
        category = path.name.removesuffix(end).removeprefix("reviews_")
        if category in found:
            raise DataError(
                f"category {category} lies in two files, {found[category].name} and {path.name}",
                "one file a category",
                "Move one of them away",
            )
        found[category] = path
    if not found:
        raise DataError(
            f"{raw} holds no review files",
            "files such as Gift_Cards_5.json.gz",
            "Put them there, or change --raw",
        )
    return dict(sorted(found.items()))


def choose(found: dict[str, Path], categories: Sequence[str] | None) -> dict[str, Path]:
    """The files of the categories asked for, in that order; of all when none are named."""
    return {category: lookup(found, category, "category") for category in categories or found}


def remote(categories: Sequence[str]) -> list[Remote]:
    """Where the 5-core review files of 2018 are."""
    return [Remote(f"{category}_5.json.gz", f"{_ADDRESS}{category}_5.json.gz") for category in categories]


def read(
    raw: str | Path,
    categories: Sequence[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> pl.DataFrame:
    """The canonical table (positives, no label column) of a folder of review files, with a column `rating`.

    Args:
        categories: which, in the order wanted; all in alphabetical order by default.
        progress: called with a text, what is done and what there is in all.

    Raises: DataError naming file and line for a truncated gzip, a line that is no JSON, a missing field, an
        empty file; ConfigError for an unknown category. Cost: about a second for 300,000 reviews.
    """
    files = choose(find(Path(raw)), categories)
    tables = []
    for number, (category, path) in enumerate(files.items()):
        if progress:
            progress(f"reading {path.name}", number, len(files))
        tables.append(read_file(path).with_columns(pl.lit(category).alias("domain")))
    return pl.concat(tables).select("user_id", "item_id", "domain", "timestamp", "rating")


def read_file(path: Path) -> pl.DataFrame:
    """user_id, item_id, rating and timestamp of one review file."""
    shape, tables = None, []
    for block, line in blocks(path):
        shape = shape or _shape(block)
        tables.append(_parse(block, path, line, shape).rename(shape.names))
    if shape is None or not sum(map(len, tables)):
        raise DataError(f"{path.name} is empty", "one JSON review a line", "Fetch the file again")
    return pl.concat(tables).with_columns(pl.col("timestamp") // shape.units)


def _shape(block: bytes) -> _Shape:
    """The shape of a file by its first line; that of 2018 where it cannot be told."""
    try:
        first = json.loads(block.split(b"\n", 1)[0])
    except ValueError:
        return _2018
    return _2023 if isinstance(first, dict) and "parent_asin" in first else _2018


def _parse(block: bytes, path: Path, line: int, shape: _Shape) -> pl.DataFrame:
    """A block of lines at once; line by line when that fails, to name the line that is wrong."""
    try:
        frame = pl.read_ndjson(io.BytesIO(block), schema=shape.fields)
    except pl.exceptions.PolarsError:
        frame = pl.DataFrame(schema=shape.fields)
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    texts = [name for name, dtype in shape.fields.items() if dtype == pl.String]
    filled = frame.drop_nulls().filter(pl.all_horizontal(pl.col(name) != "" for name in texts))
    if len(filled) == lines:
        return filled
    numbered = enumerate(block.splitlines(), line)
    rows = [_review(text, path, number, shape) for number, text in numbered if text.strip()]
    return pl.DataFrame(rows, schema=shape.fields, orient="row")


def _review(text: bytes, path: Path, line: int, shape: _Shape) -> list[Any]:
    *some, last = shape.fields
    expected = f"one JSON object a line with {', '.join(some)} and {last}"
    action = "Fetch the file again, or drop the line"
    try:
        review = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path.name} line {line} is not JSON ({error})", expected, action) from error
    if not isinstance(review, dict):
        raise DataError(f"{path.name} line {line} is no JSON object", expected, action)
    for field, dtype in shape.fields.items():
        value = review.get(field)
        kinds = {pl.String: (str,), pl.Int64: (int,), pl.Float64: (int, float)}[dtype]
        if type(value) not in kinds or value == "":
            found = f"has no field {field!r}" if value is None else f"has {field!r} {value!r}"
            raise DataError(f"{path.name} line {line} {found}", expected, action)
    return [review[field] for field in shape.fields]
