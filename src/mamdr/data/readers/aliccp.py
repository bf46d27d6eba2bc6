"""Ali-CCP (Alibaba Click and Conversion Prediction), with the context field 301 as the domain.

    sample_skeleton_{train,test}.csv     sample, click, purchase, key, number of features, features
    common_features_{train,test}.csv     key, number of features, features

No header. Features are FIELD \\x02 ID \\x03 VALUE with \\x01 between; a sample has its own, and those of its key. The
label is the click. As in Scenario-Wise-Rec, domains are the values of field 301, and a purchase without a click is
left out. Field 101 is the user and 205 the item; 121 to 129 describe the user, 206, 207 and 216 the item, 508, 509,
702 and 853 both together. Fields that may come several times are lists: 109_14, 110_14, 127_14 and 150_14 (what the
user did) and 210 (of the item); Scenario-Wise-Rec keeps the last of them. A field that a sample lacks is id 0.
Differs from it: values, which weigh lists and combinations, are left out, rare ids are kept, and the two parts are
pooled and split anew.
Source: Ma et al., SIGIR 2018 (ESMM); Tianchi data set 408.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from mamdr.data.interactions import canonical
from mamdr.data.readers import text

_SOURCE = "Fetch Ali-CCP (Tianchi data set 408) and unpack it into the raw folder"
_USER = ("101", "121", "122", "124", "125", "126", "127", "128", "129")
_LISTS = {"user": ("109_14", "110_14", "127_14", "150_14"), "item": ("210",)}
_ITEM = ("205", "206", "207", "216")
_BOTH = ("508", "509", "702", "853")
DOMAIN = "301"
ABSENT = 0
_WRITTEN = r"^(?:\w+\x02\d+\x03[^\x01\x02\x03]+(?:\x01|$))+$"
_COMMON: dict[str, text.Kind] = {"key": pl.String, "count": pl.Int64, "features": pl.String}
_SAMPLE: dict[str, text.Kind] = {"sample": pl.String, "click": pl.Int64, "purchase": pl.Int64, **_COMMON}


def read(raw: Path) -> pl.DataFrame:
    """The canonical table, with labels and features such as user:121, user:109_14, item:206 and context:508.

    A file may hold the beginning of the whole alone; the folder may lack the test part, not the train part.
    Raises: DataError naming file and line for what is wrong, and a key that has no line of its own.
    Cost: 1.5 s of one core and 0.5 GB a million samples; of the whole, 85 million, take a part.
    """
    split = [part for part in ("train", "test") if part == "train" or _there(raw, part)]
    files = [
        [text.find(raw, f"{name}_{part}.csv", _SOURCE) for name in ("sample_skeleton", "common_features")]
        for part in split
    ]
    return canonical(pl.concat([_part(*pair) for pair in files]), "Ali-CCP")


def _there(raw: Path, part: str) -> bool:
    return any((raw / f"{name}_{part}.csv").exists() for name in ("sample_skeleton", "common_features"))


def _part(skeleton: Path, common: Path) -> pl.DataFrame:
    users = [frame.select("key", *_user_fields()) for frame, _ in _checked(common, _COMMON)]
    known = pl.concat(users).unique("key", keep="first", maintain_order=True)
    return pl.concat(list(_samples(skeleton, known, common.name)))


def _user_fields() -> list[pl.Expr]:
    single = [_field(name).alias(f"user:{name}") for name in _USER[1:]]
    lists = [_list(name).alias(f"user:{name}") for name in _LISTS["user"]]
    return [_field(_USER[0]).alias("user_id"), *single, *lists]


def _samples(path: Path, users: pl.DataFrame, common: str) -> Iterator[pl.DataFrame]:
    """The samples of a file, block by block, with the features of their users."""
    for frame, line in _checked(path, _SAMPLE):
        known = frame["key"].is_in(users["key"].implode())
        text.check(path, line, "key", frame["key"], known, f"a key that has a line in {common}", _SOURCE)
        kept = frame.filter((pl.col("click") == 1) | (pl.col("purchase") == 0))
        own = kept.select(
            "key",
            item_id=_field(_ITEM[0]),
            domain=_field(DOMAIN),
            label="click",
            **{f"item:{name}": _field(name) for name in _ITEM[1:]},
            **{f"item:{name}": _list(name) for name in _LISTS["item"]},
            **{f"context:{name}": _field(name) for name in _BOTH},
        )
        yield own.join(users, on="key", maintain_order="left").drop("key")


def _checked(path: Path, kinds: dict[str, text.Kind]) -> Iterator[tuple[pl.DataFrame, int]]:
    """Blocks whose features are written as they should be."""
    for frame, line in text.parts(path, text.Lines(kinds, tuple(kinds), source=_SOURCE)):
        features = frame["features"]
        right = features.str.contains(_WRITTEN)
        text.check(path, line, "features", features, right, r"FIELD\x02ID\x03VALUE, \x01 between", _SOURCE)
        yield frame, line


def _field(name: str) -> pl.Expr:
    """The id of a field that comes once."""
    found = pl.col("features").str.extract(rf"(?:^|\x01){name}\x02(\d+)\x03", 1)
    return found.cast(pl.Int64).fill_null(ABSENT)


def _list(name: str) -> pl.Expr:
    """The ids of a field that may come several times."""
    found = pl.col("features").str.extract_all(rf"(?:^|\x01){name}\x02\d+\x03")
    return found.list.eval(pl.element().str.extract(r"\x02(\d+)\x03", 1).cast(pl.Int64))
