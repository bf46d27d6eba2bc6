"""Raw values to numbers and back to ids: columns of a canonical table as arrays, and vocabularies of what train holds.

Columns that share ids (a user's history and the items) are coded together, so that a value has one number in all of
them. A group of such columns goes by the name of the one whose vocabulary it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mamdr.data.interactions import features
from mamdr.data.lists import is_list
from mamdr.data.ragged import Ragged
from mamdr.data.vectors import Vectors
from mamdr.data.vocabulary import FIRST, UNKNOWN, Vocabulary
from mamdr.errors import ConfigError

_CONSTANT = 1e-6
"""A deviation so small, relative to the mean, is what rounding to float32 makes of a constant."""

Rows = dict[str, Any]
"""Column -> array [N], or `Ragged` of N lists."""

Values = dict[str, pl.Series]
"""Group -> its columns' distinct values, sorted."""


def groups(table: pl.DataFrame, shared: Mapping[str, str]) -> dict[str, list[str]]:
    """The categorical columns by whose ids they have.

    Args:
        table: canonical.
        shared: column -> the column whose ids it has.

    Raises: ConfigError for a name that is no categorical column's, and for a column that both shares and is shared.
    """
    names = [name for name in ("user_id", "item_id", *features(table)) if not table[name].dtype.is_float()]
    for name, owner in shared.items():
        for given in (name, owner):
            if given not in names:
                raise ConfigError(
                    f"shared: no column of categories is named {given!r}",
                    f"one of {', '.join(names)}",
                    "Correct the name",
                )
        if name in ("user_id", "item_id"):
            raise ConfigError(
                f"shared: {name!r} would take the ids of {owner!r}",
                "a feature's name first",
                f"Let {owner!r} share {name!r}",
            )
        if owner in shared:
            raise ConfigError(
                f"shared: {name!r} takes the ids of {owner!r}, which takes those of {shared[owner]!r}",
                "a column with ids of its own",
                f"Let {name!r} share {shared[owner]!r}",
            )
    found: dict[str, list[str]] = {name: [] for name in names if name not in shared}
    for name in names:
        found[shared.get(name, name)].append(name)
    return found


def coded(table: pl.DataFrame, by_group: Mapping[str, Sequence[str]]) -> tuple[Values, Rows]:
    """Each group's sorted values, and all features as numbers, which are positions in those."""
    values: Values = {}
    rows: Rows = {name: table[name].to_numpy().astype(np.float32) for name in numbers(table)}
    for group, members in by_group.items():
        cells = _alike([_flat(table[member]) for member in members])
        ends = np.cumsum([len(part) for part in cells])
        together: pl.Series = pl.concat(cells)
        values[group] = together.unique().sort()
        codes = np.split(together.rank("dense").to_numpy().astype(np.int64) - 1, ends[:-1])
        for member, own in zip(members, codes, strict=True):
            listed = is_list(table[member])
            rows[member] = Ragged.by_length(own, table[member].list.len().to_numpy()) if listed else own
    return values, {name: rows[name] for name in ("user_id", "item_id", *features(table))}


def fitted(
    rows: Rows,
    values: Values,
    by_group: Mapping[str, Sequence[str]],
    train: npt.NDArray[np.bool_],
    vectors: Mapping[str, Vectors],
) -> tuple[dict[str, Vocabulary], Rows]:
    """Vocabularies by column, and the rows with ids from them.

    A vocabulary holds the values that train holds, and those that have a vector, which is known whatever train holds.
    """
    vocabularies, encoded = {}, dict(rows)
    for group, members in by_group.items():
        known = values[group]
        held = vectors[group].known(known).copy() if group in vectors else np.zeros(len(known), dtype=bool)
        for member in members:
            held[_codes(rows[member][train])] = True
        seen = np.flatnonzero(held)
        ids = np.full(len(known), UNKNOWN, dtype=np.int32)
        ids[seen] = np.arange(FIRST, FIRST + len(seen))
        words = Vocabulary(known.gather(seen))
        for member in members:
            cells = rows[member]
            vocabularies[member] = words
            encoded[member] = (
                Ragged(ids[cells.values], cells.starts) if isinstance(cells, Ragged) else ids[cells]
            )
    return vocabularies, encoded


def standardised(
    rows: Rows, names: Sequence[str], train: npt.NDArray[np.bool_]
) -> dict[str, tuple[float, float]]:
    """Take the mean and the deviation of train out of these columns; what was taken. Of a constant, the mean alone."""
    scales = {}
    for name in names:
        seen = rows[name][train].astype(np.float64)
        mean, deviation = (float(seen.mean()), float(seen.std())) if len(seen) else (0.0, 0.0)
        deviation = deviation if deviation > _CONSTANT * abs(mean) else 1.0
        scales[name] = (mean, deviation)
        rows[name] = scaled(rows[name], mean, deviation)
    return scales


def scaled(values: npt.NDArray[np.float32], mean: float, deviation: float) -> npt.NDArray[np.float32]:
    """Numbers with the mean and the deviation of train taken out; the same bits in training and in serving."""
    found: npt.NDArray[np.float32] = ((values - mean) / deviation).astype(np.float32)
    return found


def distinct_codes(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The distinct values of an array, sorted. Several times faster than `np.unique`, which hashes where many differ.

    >>> distinct_codes(np.array([7, 3, 7])).tolist()
    [3, 7]
    """
    ordered = np.sort(codes)
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    found: npt.NDArray[np.int64] = ordered[first]
    return found


def numbers(table: pl.DataFrame) -> list[str]:
    """The numeric columns."""
    return [name for name in features(table) if table[name].dtype.is_float()]


def _flat(column: pl.Series) -> pl.Series:
    """A column's values, lists one after another."""
    return column.filter(column.list.len() > 0).explode() if is_list(column) else column


def _alike(cells: list[pl.Series]) -> list[pl.Series]:
    """The same values in one type; ids that are numbers here and strings there become strings."""
    cells = [part.alias("value") for part in cells]
    mixed = len({part.dtype for part in cells}) > 1
    return [part.cast(pl.String) for part in cells] if mixed else cells


def _codes(cells: Any) -> npt.NDArray[np.int64]:
    codes: npt.NDArray[np.int64] = cells.values if isinstance(cells, Ragged) else cells
    return codes
