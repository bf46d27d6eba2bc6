"""Columns of a raw table whose cells are lists of categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from mamdr.errors import DataError

INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
"""Text that is read as an integer; with leading zeros it stays text: "007" and "7" may be different users."""


def is_list(column: pl.Series) -> bool:
    """Whether a column's cells are lists."""
    return isinstance(column.dtype, (pl.List, pl.Array))


def split_lists(
    frame: pl.DataFrame, source: str, features: Sequence[str], lists: Mapping[str, str | None]
) -> pl.DataFrame:
    """The table with its lists as lists of Int64 or String.

    Args:
        frame: the raw table.
        source: its name in messages.
        features: its feature columns.
        lists: those that hold lists, and the sign between the values of one that is text. An empty text is an empty
            list; values that are all integers become integers. Columns of lists need not be named.

    Raises: DataError for a column that is absent or no feature, that holds neither lists nor text with a sign to cut
        it at, lists of other things than strings or integers, and lists with an empty name.

    >>> raw = pl.DataFrame({"item:tags": ["a|b", ""]})
    >>> split_lists(raw, "raw.csv", ["item:tags"], {"item:tags": "|"})["item:tags"].to_list()
    [['a', 'b'], []]
    """
    for name, sign in lists.items():
        if name not in features:
            raise DataError(
                f"{source} has no feature {name!r}; its features are {', '.join(features) or 'none'}",
                "a column named user:..., item:... or context:...",
                "Correct the name after --list, or rename the column",
            )
        if is_list(frame[name]):
            continue
        if frame[name].dtype != pl.String or not sign:
            raise DataError(
                f"column {name!r} of {source} holds {frame[name].dtype}",
                "lists, or text and the sign between its values",
                f"Convert the column, or for text write --list '{name}=SIGN'",
            )
        frame = frame.with_columns(_cut(frame[name], sign))
    return frame.with_columns(_plain(frame[name], source) for name in features if is_list(frame[name]))


def _cut(column: pl.Series, sign: str) -> pl.Series:
    cells = column.replace("", None).str.split(sign)
    values = cells.drop_nulls().explode()
    whole = len(values) > 0 and values.str.contains(INTEGER).all()
    return cells.cast(pl.List(pl.Int64 if whole else pl.String)).set(column == "", [])


def _plain(column: pl.Series, source: str) -> pl.Series:
    """The lists as Int64 or String, checked."""
    inner: pl.DataType = column.dtype.inner  # type: ignore[attr-defined]
    if not (inner.is_integer() or inner in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
        raise DataError(
            f"column {column.name!r} of {source} holds lists of {inner}",
            "lists of strings or integers",
            "Convert the column first",
        )
    if inner.is_integer() and inner != pl.UInt64:
        return column.cast(pl.List(pl.Int64))
    names = column.cast(pl.List(pl.String))
    blank = names.list.eval(pl.element().str.strip_chars() == "").list.any().fill_null(False)
    if (at := blank.arg_max()) is not None and blank[at]:
        raise DataError(
            f"column {column.name!r} of {source} holds a list with an empty name in row {at + 1}",
            "a name for every value",
            "Drop the empty ones",
        )
    return names
