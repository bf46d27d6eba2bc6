"""Checks of updates before they are acknowledged, so that a replay of the log cannot fail."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mamdr.data.lists import INTEGER
from mamdr.errors import DataError
from mamdr.feature_store.content import Content, features_of
from mamdr.feature_store.log import Observed, Update, observations, updates
from mamdr.feature_store.protocol import LONGEST_ID


def features(content: Content, owner: str, table: pl.DataFrame) -> Iterator[Update]:
    """Updates of users or items.

    Raises: DataError as `UpdatableStore.update`.
    """
    own, known = f"{owner}_id", features_of(content.schema, owner)
    for name in table.columns:
        if name not in known:
            raise DataError(
                f"column {name!r} in an update of {owner}s", f"{', '.join(known)}", "Leave the column out"
            )
    ids = _ids(table, own, integers=content.keys[owner].integers)
    if ids.n_unique() < len(ids):
        twice = ids.filter(ids.is_duplicated())[0]
        raise DataError(f"{own} {twice!r} comes twice in an update", "each id once", "Keep one row of it")
    values = {name: _plain(table[name]) for name in table.columns if name != own}
    for name, cells in values.items():
        content.coder.column(name, cells)
    return updates(owner, ids.to_list(), values)


def interactions(content: Content, table: pl.DataFrame) -> Iterator[Observed]:
    """Interactions.

    Raises: DataError as `UpdatableStore.observe`.
    """
    items = _ids(table, "item_id", integers=content.keys["item"].integers)
    domains = _ids(table, "domain", integers=False)
    users = (
        _ids(table, "user_id", integers=content.keys["user"].integers)
        if "user_id" in table.columns
        else pl.Series([None] * len(table), dtype=pl.String)
    )
    labels = table["label"] if "label" in table.columns else pl.Series([1] * len(table), dtype=pl.Int8)
    if not labels.is_in([0, 1]).fill_null(False).all():
        raise DataError("a label that is neither 0 nor 1", "labels 0 and 1", "Turn ratings into 0 and 1")
    seen = (labels == 1).to_list()
    return observations(domains.to_list(), users.to_list(), items.to_list(), seen)


def _ids(table: pl.DataFrame, column: str, *, integers: bool) -> pl.Series:
    """A column of ids as text.

    Raises: DataError where it is absent, and for ids that are empty, too long or, of a store of integers, none.
    """
    if column not in table.columns:
        raise DataError(f"an update without {column}", f"a column {column}", "Add it")
    cells = table[column]
    if not (cells.dtype.is_integer() or cells.dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise DataError(f"{column} holds {cells.dtype}", "text or integers", "Convert the column first")
    texts = cells.cast(pl.String)
    if texts.null_count() or (texts == "").any():
        raise DataError(f"an empty {column}", "an id in every row", "Fill or drop these rows")
    if (texts.str.len_bytes() > LONGEST_ID).any():
        long = texts.filter(texts.str.len_bytes() > LONGEST_ID)[0]
        raise DataError(
            f"{column} {long[:20]!r}... of {len(long.encode())} bytes",
            f"ids of up to {LONGEST_ID}",
            "Shorten it",
        )
    if integers and not texts.str.contains(INTEGER).all():
        other = texts.filter(~texts.str.contains(INTEGER))[0]
        raise DataError(f"{column} {other!r}", "integers, as the data have", "Give the id that the data have")
    return texts


def _plain(cells: pl.Series) -> pl.Series:
    """Values that JSON can hold."""
    if cells.dtype in (pl.Categorical, pl.Enum, pl.UInt64):  # UInt64: hashes, text where they are coded
        return cells.cast(pl.String)
    return cells.arr.to_list() if isinstance(cells.dtype, pl.Array) else cells
