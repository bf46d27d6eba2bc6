"""Raw values to numbers and back to ids: columns of a canonical table as arrays, and vocabularies of what train holds.

Columns that share ids (a user's history and the items) are coded together, so that a value has one number in all of
them. A group of such columns goes by the name of the one whose vocabulary it is.
"""

from __future__ import annotations

import math
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

Marks = npt.NDArray[np.bool_]
Ints = npt.NDArray[Any]
Floats = npt.NDArray[Any]


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


def values_of(table: pl.DataFrame, by_group: Mapping[str, Sequence[str]]) -> Values:
    """Each group's sorted values."""
    values: Values = {}
    for group, members in by_group.items():
        values[group] = merged([_flat(table[member]) for member in members])
    return values


def merged(values: Sequence[pl.Series]) -> pl.Series:
    """The distinct values of several, sorted."""
    together: pl.Series = pl.concat(_alike(list(values)))
    return together.unique().sort()


def coded(table: pl.DataFrame, by_group: Mapping[str, Sequence[str]], values: Values) -> Rows:
    """All features as numbers, which are positions in their group's values. Cost: a hash join for each column."""
    rows: Rows = {name: table[name].to_numpy().astype(np.float32) for name in numbers(table)}
    for group, members in by_group.items():
        words = Vocabulary(values[group])
        for member in members:
            own = words.encode(_flat(table[member])).astype(np.int64) - FIRST
            listed = is_list(table[member])
            rows[member] = Ragged.by_length(own, table[member].list.len().to_numpy()) if listed else own
    return {name: rows[name] for name in ("user_id", "item_id", *features(table))}


def known_marks(values: Values, vectors: Mapping[str, Vectors]) -> dict[str, Marks]:
    """For each group's values, whether they are known whatever train holds: those that have a vector."""
    return {
        group: vectors[group].known(own).copy() if group in vectors else np.zeros(len(own), dtype=bool)
        for group, own in values.items()
    }


def mark(
    held: dict[str, Marks], rows: Rows, by_group: Mapping[str, Sequence[str]], train: npt.NDArray[np.bool_]
) -> None:
    """Note which of each group's values rows of train hold, in place."""
    for group, members in by_group.items():
        for member in members:
            held[group][_codes(rows[member][train])] = True


def fitted(values: Values, held: Mapping[str, Marks]) -> tuple[dict[str, Vocabulary], dict[str, Ints]]:
    """By group the vocabulary of the values that are marked, and for each value its id, which is the unknown one where
    it is not."""
    words, ids = {}, {}
    for group, known in values.items():
        seen = np.flatnonzero(held[group])
        ids[group] = np.full(len(known), UNKNOWN, dtype=np.int32)
        ids[group][seen] = np.arange(FIRST, FIRST + len(seen))
        words[group] = Vocabulary(known.gather(seen))
    return words, ids


def encoded(rows: Rows, by_group: Mapping[str, Sequence[str]], ids: Mapping[str, Ints]) -> Rows:
    """The rows with ids in the place of positions."""
    made = dict(rows)
    for group, members in by_group.items():
        for member in members:
            cells, own = rows[member], ids[group]
            made[member] = (
                Ragged(own[cells.values], cells.starts) if isinstance(cells, Ragged) else own[cells]
            )
    return made


def sums(
    cells: Floats, mean: float, power: int, domain: Ints, train: npt.NDArray[np.bool_], domains: int
) -> Floats:
    """For each domain the sum of (number − mean) ** power over its rows of train, [D] float64.

    Domain by domain, so that a table that is taken in parts has the same bits as one that is taken whole.
    """
    weights = (cells[train].astype(np.float64) - mean) ** power
    return np.bincount(domain[train], weights=weights, minlength=domains)


def scale_of(mean: float, squares: Sequence[float], count: int) -> tuple[float, float]:
    """Mean and deviation to take out of a column; of a constant, the mean alone."""
    deviation = math.sqrt(math.fsum(squares) / count) if count else 0.0
    return mean, deviation if deviation > _CONSTANT * abs(mean) else 1.0


def standardised(cells: Floats, scale: tuple[float, float]) -> Floats:
    """Numbers without their mean and deviation, float32."""
    return scaled(cells, *scale)


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
