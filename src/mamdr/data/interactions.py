"""The one table that every reader makes and every later stage takes.

user_id    strings or integers >= 0      who
item_id    strings or integers >= 0      what
domain     strings                       where: the scenario's name
label      0 or 1, optional              a table without it holds positives alone
timestamp  integers, optional            may be unknown in some rows
user:NAME, item:NAME, context:NAME       features and their owner; strings and integers are categories,
                                         floats are numbers, lists of strings or integers are lists of categories
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from mamdr.data.lists import is_list, split_lists
from mamdr.data.schema import is_feature
from mamdr.errors import DataError

_KEYS = ("user_id", "item_id", "domain")


@dataclass(frozen=True)
class Columns:
    """What the canonical columns are called in a raw table; None for one that is taken if it is there.

    `lists` are features that hold lists written as text, and the sign between the values; None for one that must hold
    lists already.
    """

    user: str = "user_id"
    item: str = "item_id"
    domain: str = "domain"
    label: str | None = None
    timestamp: str | None = None
    lists: Mapping[str, str | None] = field(default_factory=dict)


def features(table: pl.DataFrame) -> list[str]:
    """The feature columns of a table, in its order.

    >>> features(pl.DataFrame({"user_id": [1], "user:age": [30], "rating": [5]}))
    ['user:age']
    """
    return [name for name in table.columns if is_feature(name)]


def canonical(frame: pl.DataFrame, source: str, columns: Columns | None = None) -> pl.DataFrame:
    """Choose, rename and check the canonical columns of a raw table; columns of other names are left out.

    Args:
        frame: the raw table.
        source: its name in messages, such as the file's.
        columns: what its columns are called.

    Raises: DataError for no rows, absent columns, empty cells, NaN, labels other than 0 and 1, negative ids,
        empty names, lists of other things than strings or integers. The message names the source, the column and
        the row (the first row is 1).

    >>> raw = pl.DataFrame({"user": ["u"], "item": [7], "shop": ["books"], "rating": [5]})
    >>> canonical(raw, "raw.csv", Columns("user", "item", "shop")).row(0)
    ('u', 7, 'books')
    """
    columns = columns or Columns()
    names = {"user_id": columns.user, "item_id": columns.item, "domain": columns.domain}
    for name, given in (("label", columns.label), ("timestamp", columns.timestamp)):
        if given is not None or name in frame.columns:
            names[name] = given or name
    _check_present(frame, source, names)
    if not len(frame):
        raise DataError(
            f"{source} has a header and no rows", "at least one row", "Give a file with interactions"
        )
    frame = split_lists(frame, source, features(frame), columns.lists)
    table = frame.select(
        *[pl.col(raw).alias(name) for name, raw in names.items()], *[pl.col(name) for name in features(frame)]
    )
    for name in table.columns:
        _check_whole(table[name], source, names.get(name, name))
    for name in _KEYS:
        _check_ids(table[name], source, names[name])
    changed = [pl.col("domain").cast(pl.String)]
    if "label" in names:
        changed.append(_labels(table["label"], source, names["label"]))
    if "timestamp" in names:
        changed.append(_times(table["timestamp"], source, names["timestamp"]))
    return _plain(table.with_columns(changed))


def concatenate(tables: Sequence[pl.DataFrame], sources: Sequence[str]) -> pl.DataFrame:
    """One table from several; an id that is a number here and a string there becomes a string.

    Raises: DataError when the tables do not have the same columns.
    """
    for table, source in zip(tables, sources, strict=True):
        if set(table.columns) != set(tables[0].columns):
            raise DataError(
                f"{source} gives columns {', '.join(table.columns)} and {sources[0]} gives "
                f"{', '.join(tables[0].columns)}",
                "the same columns in every file",
                "Import them apart, or add what is missing",
            )
    kinds = {name: kind for name in tables[0].columns if (kind := _common(name, tables, sources))}
    return pl.concat(
        [
            table.select(tables[0].columns).with_columns(pl.col(n).cast(kind) for n, kind in kinds.items())
            for table in tables
        ]
    )


def _common(name: str, tables: Sequence[pl.DataFrame], sources: Sequence[str]) -> pl.DataType | None:
    """The kind that a column has to become where tables hold it in several; None where they agree."""
    if len({table[name].dtype for table in tables}) == 1:
        return None
    lists = [source for table, source in zip(tables, sources, strict=True) if is_list(table[name])]
    if lists and len(lists) < len(tables):
        raise DataError(
            f"column {name!r} holds lists in {lists[0]} and none in another file",
            "the same kind in every file",
            f"Write --list '{name}=SIGN' for lists written as text",
        )
    return pl.List(pl.String()) if lists else pl.String()


def distinct(table: pl.DataFrame, also: Sequence[str] = ()) -> pl.DataFrame:
    """Drop duplicates and keep first rows, in order.

    Without labels a (user, item) pair counts once in a domain, as a positive is a fact and not a count; with
    labels only rows that agree in every column are dropped. Differs from the authors' code, which drops a
    pair only when the rating agrees too.

    Args:
        also: columns, of those there are, in which two rows must agree as well.
    """
    more = [name for name in also if name in table.columns]
    subset = None if "label" in table.columns else [*_KEYS, *more]
    return table.unique(subset=subset, keep="first", maintain_order=True)


def domain_names(table: pl.DataFrame) -> list[str]:
    """The domains' names in order: as numbers when all of them are numbers, else alphabetically.

    >>> domain_names(pl.DataFrame({"domain": ["10", "9", "10"]}))
    ['9', '10']
    """
    names: list[str] = table["domain"].unique().to_list()
    return sorted(names, key=(lambda name: (int(name), name)) if all(map(str.isdecimal, names)) else None)


def _check_present(frame: pl.DataFrame, source: str, names: dict[str, str]) -> None:
    for name, raw in names.items():
        if raw not in frame.columns:
            option, there = name.removesuffix("_id"), ", ".join(frame.columns) or "no columns"
            raise DataError(
                f"column {raw!r} is missing in {source}, which has {there}",
                f"a column for {name}",
                f"Rename the column, or name the one that holds it with --{option}",
            )


def _check_whole(column: pl.Series, source: str, raw: str) -> None:
    """No empty cell and no NaN, but for the time of an interaction, which may be unknown."""
    if column.name == "timestamp":
        return
    empty = column.is_null()
    if is_list(column):
        empty = empty | column.list.eval(pl.element().is_null()).list.any().fill_null(False)
    if column.dtype.is_float():
        empty = empty | ~column.is_finite().fill_null(True)
    if (at := empty.arg_max()) is not None and empty[at]:
        found = "an empty cell" if column[at] is None else f"{column[at]}".replace("nan", "NaN")
        found = "a list with an empty value" if isinstance(column[at], pl.Series) else found
        _refuse(source, raw, at, found, "a value in every row", "Fill or drop these rows")


def _check_ids(column: pl.Series, source: str, raw: str) -> None:
    if column.dtype.is_integer():
        if (low := column.arg_min()) is not None and column[low] < 0:
            _refuse(
                source,
                raw,
                low,
                str(column[low]),
                "ids of 0 or more",
                "Number the ids from 0, or use strings",
            )
    elif column.dtype in (pl.String, pl.Categorical, pl.Enum):
        blank = column.cast(pl.String).str.strip_chars() == ""
        if (at := blank.arg_max()) is not None and blank[at]:
            _refuse(source, raw, at, "an empty name", "a name in every row", "Fill or drop these rows")
    else:
        raise DataError(
            f"column {raw!r} of {source} holds {column.dtype}",
            "strings or integers",
            "Convert the column first",
        )


def _labels(column: pl.Series, source: str, raw: str) -> pl.Expr:
    numbers = column.cast(pl.Float64, strict=False)
    wrong = ~numbers.is_in([0.0, 1.0]).fill_null(False)
    if (at := wrong.arg_max()) is not None and wrong[at]:
        action = "Turn ratings into 0 and 1, or leave the column out if every row is a positive"
        _refuse(source, raw, at, repr(column[at]), "labels 0 and 1", action)
    return pl.lit(numbers.cast(pl.Int8)).alias("label")


def _times(column: pl.Series, source: str, raw: str) -> pl.Expr:
    times = column.cast(pl.Int64, strict=False)
    if times.null_count() > column.null_count():
        at = (times.is_null() & column.is_not_null()).arg_max() or 0
        _refuse(source, raw, at, repr(column[at]), "integers such as Unix time", "Convert the column first")
    return pl.lit(times).alias("timestamp")


def _plain(table: pl.DataFrame) -> pl.DataFrame:
    """Few kinds of columns for the later stages: Int64, String, Float32 (and the label's Int8)."""
    kinds: dict[str, pl.DataType] = {}
    for name, dtype in table.schema.items():
        if name == "label":
            continue
        if dtype == pl.UInt64 and table[name].cast(pl.Int64, strict=False).null_count():  # hashes
            kinds[name] = pl.String()
        elif dtype.is_integer() or dtype == pl.Boolean:
            kinds[name] = pl.Int64()
        elif isinstance(dtype, pl.List):
            kinds[name] = dtype
        else:
            kinds[name] = pl.Float32() if dtype.is_float() else pl.String()
    return table.with_columns(pl.col(name).cast(kind) for name, kind in kinds.items())


def _refuse(source: str, raw: str, at: int, found: str, expected: str, action: str) -> None:
    raise DataError(f"column {raw!r} of {source} holds {found} in row {at + 1}", expected, action)
