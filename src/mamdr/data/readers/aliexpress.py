"""AliExpress's search logs, with the country as the domain.

    nl_user_train.csv    33 columns: the search page, and what describes user and query
    nl_item_train.csv    49 columns: the page, what describes the product, and 0 (shown), 1 (clicked) or 2 (bought)
    nl_user_test.csv, nl_item_test.csv, and the same for es, fr, us, ru

No header. A row of the items joins the page that its first column names; pages that only one file has are left out.
The label is a click (1 or 2). Which columns are categories is not said where the data lie; we read them as the
library MTReclib does: of a page 2 to 8, 32 and 33, of an item 19, 34, 35, 36 and 40 to 42; the others are numbers.
Nor do the files name users or products: rows that agree in all categories of a side are taken for one user, or for
one item. The page itself is no column of the result, for it would tell a row of val from its neighbours in train.
Both parts are pooled and split anew.
Source: Li et al., CIKM 2020; Tianchi data set 74690.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mamdr.data.interactions import canonical
from mamdr.data.readers import text
from mamdr.errors import DataError

_SOURCE = "Fetch AliExpress (Tianchi data set 74690) and unpack it into the raw folder"
_WIDTHS = {"user": 33, "item": 49}
_CATEGORIES = {"user": (*range(2, 9), 32, 33), "item": (19, 34, 35, 36, 40, 41, 42)}
_LABEL, _PAGE = 49, 1


def read(raw: Path) -> pl.DataFrame:
    """The canonical table of all countries that are there, with labels and features such as user:2 and item:19.

    Raises: DataError for a folder without such files, a file that is missing beside another of its country, what is
        wrong with a line, a label that is not 0, 1 or 2, pages that never meet.
    Cost: 4 s of one core and 1.4 GB a million rows; a country has tens of millions, so take a part.
    """
    files = {path.name.lower(): path for path in raw.rglob("*_*_*.csv")}
    found = sorted({name.split("_")[0] for name in files if name.endswith(("_train.csv", "_test.csv"))})
    if not found:
        raise DataError(
            f"{raw} holds no files of a country",
            "files such as nl_user_train.csv and nl_item_train.csv",
            _SOURCE,
        )
    pairs = [
        (country, [_file(raw, files, f"{country}_{side}_{part}.csv") for side in _WIDTHS])
        for country in found
        for part in ("train", "test")
        if part == "train" or any(f"{country}_{side}_test.csv" in files for side in _WIDTHS)
    ]
    return canonical(pl.concat([_part(country, *pair) for country, pair in pairs]), "AliExpress")


def _file(raw: Path, files: dict[str, Path], name: str) -> Path:
    return files.get(name) or text.find(raw, name, _SOURCE)


def _part(country: str, users: Path, items: Path) -> pl.DataFrame:
    pages = _side(users, "user")
    table = _side(items, "item").join(pages, on="page", maintain_order="left").drop("page")
    if not len(table):
        raise DataError(f"no page of {items.name} is in {users.name}", "files of one part", _SOURCE)
    return table.with_columns(pl.lit(country.upper()).alias("domain"))


def _side(path: Path, side: str) -> pl.DataFrame:
    names = [f"{side}:{number}" for number in range(1, _WIDTHS[side] + 1)]
    single = {f"{side}:{number}" for number in _CATEGORIES[side]} | {names[_PAGE - 1]}
    kinds: dict[str, text.Kind] = {name: pl.String if name in single else pl.Float64 for name in names}
    label = f"item:{_LABEL}"
    if side == "item":
        kinds[label] = pl.Int64
    frame = text.read(path, text.Lines(kinds, names, source=_SOURCE)).rename({names[_PAGE - 1]: "page"})
    given = [f"{side}:{number}" for number in _CATEGORIES[side]]
    frame = frame.with_columns(pl.concat_str(given, separator="|").alias(f"{side}_id"))
    if side == "user":
        return frame
    found = frame[label]
    text.check(path, 1, "label", found, found.is_in([0, 1, 2]), "0, 1 or 2 in the last column", _SOURCE)
    return frame.with_columns((pl.col(label) > 0).cast(pl.Int8).alias("label")).drop(label)
