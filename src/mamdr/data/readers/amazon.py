"""Amazon's review files of 2018: one JSON object a line, one file a category.

A category is a domain, named by its file up to `_5.json`. Every review is a positive, whatever its stars: the
paper predicts that a user meets an item, not what they think of it (section V-A).
Source of the files: Ni, Li and McAuley, "Justifying recommendations using distantly-labeled reviews", 2019.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import polars as pl

from mamdr.config import lookup
from mamdr.errors import DataError

_FIELDS: dict[str, Any] = {
    "reviewerID": pl.String,
    "asin": pl.String,
    "overall": pl.Float64,
    "unixReviewTime": pl.Int64,
}
_NAMES = {"reviewerID": "user_id", "asin": "item_id", "unixReviewTime": "timestamp"}
_ENDS = ("_5.json.gz", "_5.json", ".json.gz", ".json")
_BLOCK = 1 << 25  # bytes parsed at once: memory stays bounded for files of any size


def find(raw: Path) -> dict[str, Path]:
    """Category -> its review file in a folder; files named meta_... describe products and are left out."""
    if not raw.is_dir():
        raise DataError(f"there is no folder {raw}", "a folder of Amazon review files", "Check --raw")
    found: dict[str, Path] = {}
    for path in sorted(raw.iterdir()):
        end = next((end for end in _ENDS if path.name.endswith(end)), None)
        if end is None or not path.is_file() or path.name.startswith((".", "meta_")):
            continue
        category = path.name.removesuffix(end)
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
    return found


def choose(found: dict[str, Path], categories: Sequence[str] | None) -> dict[str, Path]:
    """The files of the categories asked for, in that order; of all when none are named."""
    return {category: lookup(found, category, "category") for category in categories or found}


def read(
    raw: str | Path,
    categories: Sequence[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> pl.DataFrame:
    """The canonical table (positives, no label column) of a folder of review files.

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
    return pl.concat(tables).select("user_id", "item_id", "domain", "timestamp")


def read_file(path: Path) -> pl.DataFrame:
    """user_id, item_id and timestamp of one review file."""
    blocks = [_parse(block, path, line).select(list(_NAMES)).rename(_NAMES) for block, line in _blocks(path)]
    if not blocks or not sum(map(len, blocks)):
        raise DataError(f"{path.name} is empty", "one JSON review a line", "Fetch the file again")
    return pl.concat(blocks)


def _blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Whole lines of a file in blocks, each with the number of its first line."""
    line, rest = 1, b""
    opener = cast(Callable[[Path, str], IO[bytes]], gzip.open if path.suffix == ".gz" else open)
    with opener(path, "rb") as file:
        while True:
            try:
                data = file.read(_BLOCK)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise DataError(
                    f"{path.name} is no whole gzip file: it breaks off or is damaged after line "
                    f"{line + rest.count(10)} ({error})",
                    "a complete .json.gz file",
                    "Fetch the file again",
                ) from error
            end = data.rfind(b"\n") + 1
            block = rest + (data[:end] if data else b"")
            rest = data[end:] if end or not data else rest + data
            if not data:
                break
            if end:
                yield block, line
                line += block.count(b"\n")
    if block.strip():
        yield block, line


def _parse(block: bytes, path: Path, line: int) -> pl.DataFrame:
    """A block of lines at once; line by line when that fails, to name the line that is wrong."""
    try:
        frame = pl.read_ndjson(io.BytesIO(block), schema=_FIELDS)
    except pl.exceptions.PolarsError:
        frame = pl.DataFrame(schema=_FIELDS)
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    filled = frame.drop_nulls().filter(pl.col("reviewerID") != "", pl.col("asin") != "")
    if len(filled) == lines:
        return filled
    texts = enumerate(block.splitlines(), line)
    rows = [_review(text, path, number) for number, text in texts if text.strip()]
    return pl.DataFrame(rows, schema=_FIELDS, orient="row")


def _review(text: bytes, path: Path, line: int) -> list[Any]:
    expected = "one JSON object a line with reviewerID, asin, overall and unixReviewTime"
    action = "Fetch the file again, or drop the line"
    try:
        review = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path.name} line {line} is not JSON ({error})", expected, action) from error
    if not isinstance(review, dict):
        raise DataError(f"{path.name} line {line} is no JSON object", expected, action)
    for field, dtype in _FIELDS.items():
        value = review.get(field)
        kinds = {pl.String: (str,), pl.Int64: (int,), pl.Float64: (int, float)}[dtype]
        if type(value) not in kinds or value == "":
            found = f"has no field {field!r}" if value is None else f"has {field!r} {value!r}"
            raise DataError(f"{path.name} line {line} {found}", expected, action)
    return [review[field] for field in _FIELDS]
