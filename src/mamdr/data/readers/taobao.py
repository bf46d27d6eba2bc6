"""Taobao's Cloud Theme files: clicks by theme, and a vector for each user and each item.

    theme_click_log.csv    user_id, theme_id, item_id and other columns; a row is a click
    user_embedding.csv     an id, and its vector as numbers with spaces between
    item_embedding.csv     the same

A theme is a domain. Domains are numbered in the order in which the log first shows them, and are called D1, D2, ... as
in the paper's Table IV; only clicks whose user and item have vectors are kept (both as the authors do).
Source: Tianchi data set 9716 ("Cloud Theme Click"); MAMDR, section V-A.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from mamdr.data.vectors import Vectors
from mamdr.errors import DataError

CLICKS = "theme_click_log.csv"
VECTORS = {"user_id": "user_embedding.csv", "item_id": "item_embedding.csv"}
_COLUMNS = ("user_id", "theme_id", "item_id")
_SOURCE = "Fetch it from Tianchi (data set 9716) into the raw folder"


def read(
    raw: str | Path,
    themes: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[pl.DataFrame, dict[str, Vectors]]:
    """The canonical table (clicks, no label column) of the first themes, and the vectors of users and items.

    Args:
        themes: how many, in the order of the log; None is all.
        progress: called with a text, what is done and what there is in all.

    Raises: DataError for an absent file or column, a vector that is none or of another width (with its line), a log
        whose users or items have no vectors, fewer themes than asked for.
    Cost: a few seconds a million lines.
    """
    raw = Path(raw)
    told = progress or (lambda text, done, total: None)
    told(f"reading {CLICKS}", 0, 3)
    clicks = _clicks(raw / CLICKS)
    vectors = {}
    for number, (column, name) in enumerate(VECTORS.items(), start=1):
        told(f"reading {name}", number, 3)
        vectors[column] = _vectors(raw / name)
    names = clicks["theme_id"].unique(maintain_order=True).to_list()
    if themes is not None and len(names) < themes:
        raise DataError(f"{CLICKS} holds {len(names)} themes", f"{themes} or more", _SOURCE)
    for column, own in vectors.items():
        clicks = clicks.filter(pl.Series(own.known(clicks[column])))
    kept = set(clicks["theme_id"].unique().to_list())
    # As the authors count: domains that keep a click, by the number of their theme in the whole log.
    numbered = [name for name in names if name in kept][:themes]
    if not numbered or (themes is not None and len(numbered) < themes):
        raise DataError(
            f"{len(numbered)} themes of {CLICKS} hold clicks whose user and item both have vectors",
            f"{themes or 1} or more",
            "Give the vector files that belong to the log",
        )
    called = pl.DataFrame({"theme_id": numbered, "domain": [f"D{n}" for n in range(1, len(numbered) + 1)]})
    table = clicks.join(called, on="theme_id", how="inner", maintain_order="left")
    return table.select("user_id", "item_id", "domain"), vectors


def _clicks(path: Path) -> pl.DataFrame:
    _check_there(path)
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path.name} is no CSV ({str(error).splitlines()[0]})", _should(_COLUMNS), _SOURCE
        ) from error
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(f"{path.name} has no column {missing[0]!r}", _should(_COLUMNS), _SOURCE)
    table = frame.select(_COLUMNS)
    for name in _COLUMNS:
        empty = (table[name].is_null() | (table[name].str.strip_chars() == "")).fill_null(True)
        if (at := empty.arg_max()) is not None and empty[at]:
            raise DataError(f"{path.name} line {at + 2} has no {name}", _should(_COLUMNS), _SOURCE)
    if not len(table):
        raise DataError(f"{path.name} has a header and no rows", "one click a row", _SOURCE)
    return table


def _should(columns: tuple[str, ...]) -> str:
    return f"a CSV with {', '.join(columns)}"


def _vectors(path: Path) -> Vectors:
    """Ids and vectors of a file; the line of what is wrong with it."""
    _check_there(path)
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path.name} is no CSV ({str(error).splitlines()[0]})", "an id and a vector a line", _SOURCE
        ) from error
    if frame.width < 2 or not len(frame):
        raise DataError(
            f"{path.name} has {frame.width} columns and {len(frame)} rows",
            "an id and a vector a line",
            _SOURCE,
        )
    ids, texts = frame.to_series(0), frame.to_series(1)
    numbers = texts.str.split(" ").list.eval(
        pl.element().filter(pl.element() != "").cast(pl.Float32, strict=False)
    )
    widths = numbers.list.len()
    width = int(widths[0] or 0)
    wrong = (widths != width).fill_null(True) | numbers.list.eval(
        pl.element().is_null()
    ).list.any().fill_null(True)
    if not width or wrong.any():
        at = int(wrong.arg_max() or 0)
        raise DataError(
            f"{path.name} line {at + 2} holds {(texts[at] or '')[:40]!r}",
            f"{width or 'some'} numbers with spaces between, as in its first line",
            _SOURCE,
        )
    again = ~ids.is_first_distinct() | ids.is_null()
    if again.any():
        at = int(again.arg_max() or 0)
        found = f"has id {ids[at]!r}, again" if ids[at] else "has no id"
        raise DataError(f"{path.name} line {at + 2} {found}", "each id once", _SOURCE)
    values = np.asarray(numbers.explode().to_numpy(), dtype=np.float32).reshape(len(frame), width)
    return Vectors(ids, values, path.name)


def _check_there(path: Path) -> None:
    if not path.is_file():
        found = (
            ", ".join(sorted(p.name for p in path.parent.iterdir())[:5])
            if path.parent.is_dir()
            else "no such folder"
        )
        raise DataError(
            f"there is no {path.name} in {path.parent} ({found or 'it is empty'})", path.name, _SOURCE
        )
