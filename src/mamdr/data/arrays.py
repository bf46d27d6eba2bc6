"""Checks and grouping of plain arrays before they become `DomainData`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mamdr.data.ragged import Column, Ragged
from mamdr.data.vocabulary import PADDING
from mamdr.errors import DataError

Array = npt.NDArray[Any]
REQUIRED = ("user_id", "item_id", "domain", "label")


def as_columns(split: str, splits: Mapping[str, Mapping[str, Column]], domains: int) -> dict[str, Column]:
    """The columns of one split, checked and brought to int32 (ids, domain) and float32 (numbers, label)."""
    if split not in splits:
        raise DataError(f"no split {split!r} among {sorted(splits)}", "train, val and test", "Give all three")
    given: dict[str, Column] = {
        name: values if isinstance(values, Ragged) else np.asarray(values)
        for name, values in splits[split].items()
    }
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        raise DataError(
            f"{split} has no column {', '.join(missing)}", ", ".join(REQUIRED), "Add what is missing"
        )
    lengths = {
        name: (len(values),) if isinstance(values, Ragged) else values.shape for name, values in given.items()
    }
    if set(lengths.values()) != {(len(given["label"]),)}:
        raise DataError(
            f"{split} has columns of shapes {lengths}", "one length for all", "Give one value a row"
        )
    return {name: _checked(split, name, values, domains) for name, values in given.items()}


def _checked(split: str, name: str, values: Column, domains: int) -> Column:
    where = f"column {name!r} of {split}"
    if isinstance(values, Ragged):
        return _checked_lists(where, name, values)
    if name == "label":
        if not np.isin(values, (0, 1)).all():
            raise DataError(
                f"{where} holds other values than 0 and 1", "0 or 1", "Turn ratings into 0 and 1 first"
            )
        return values.astype(np.float32)
    if values.dtype.kind == "f" and name not in REQUIRED:
        if not np.isfinite(values).all():
            raise DataError(f"{where} holds NaN or infinity", "finite numbers", "Fill or drop these rows")
        return values.astype(np.float32)
    if values.dtype.kind not in "iub":
        raise DataError(
            f"{where} holds {values.dtype}", "integers", "Encode the column, or import it as a table"
        )
    limit = domains if name == "domain" else np.iinfo(np.int32).max
    if len(values) and (values.min() < 0 or values.max() >= limit):
        raise DataError(
            f"{where} holds ids from {values.min()} to {values.max()}",
            f"0 to {limit - 1}",
            "Number the ids from 0",
        )
    return values.astype(np.int32)


def _checked_lists(where: str, name: str, lists: Ragged) -> Ragged:
    if name in REQUIRED:
        raise DataError(
            f"{where} holds lists", "one value a row", "Make the lists a feature, such as user:history"
        )
    values = lists.values
    if values.dtype.kind not in "iu":
        raise DataError(f"{where} holds lists of {values.dtype}", "lists of integers", "Encode the values")
    limit = np.iinfo(np.int32).max
    if len(values) and (values.min() <= PADDING or values.max() >= limit):
        raise DataError(
            f"{where} holds lists with ids from {values.min()} to {values.max()}",
            f"1 to {limit - 1} (id {PADDING} pads)",
            "Number the ids from 1",
        )
    return Ragged(values.astype(np.int32), lists.starts)


def longest(columns: Mapping[str, Mapping[str, Column]], given: Mapping[str, int]) -> dict[str, int]:
    """The most ids of a row of each column of lists: as given, or as found, and 1 when all are empty."""
    found = {
        name: max(1, *(int(part[name].lengths.max(initial=0)) for part in columns.values()))  # type: ignore[union-attr]
        for name, values in columns["train"].items()
        if isinstance(values, Ragged)
    }
    for name, length in given.items():
        if name not in found or found[name] > length:
            raise DataError(
                f"column {name!r} holds lists of up to {found.get(name, 0)} ids",
                f"lists of up to {length}",
                "Cut them (`Ragged.last`), or raise `lists`",
            )
    return found | dict(given)


def kinds(
    columns: Mapping[str, Mapping[str, Column]], ids: Mapping[str, int]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Number of ids of each id column (given, or the largest id plus one), and the numeric columns' names."""
    names = [name for name in columns["train"] if name not in ("domain", "label")]
    for split, values in columns.items():
        if _types(values) != _types(columns["train"]):
            raise DataError(
                f"{split} has columns {sorted(values)} of other names or kinds than train",
                f"{sorted(columns['train'])}",
                "Give every split the same columns",
            )
    found = {
        name: max(_largest(part[name]) for part in columns.values()) + 1
        for name in names
        if _values(columns["train"][name]).dtype == np.int32
    }
    for name, count in ids.items():
        if name not in found or found[name] > count:
            raise DataError(
                f"column {name!r} holds ids up to {found.get(name, 0) - 1}",
                f"ids below {count}",
                "Raise `ids`",
            )
    return found | dict(ids), tuple(name for name in names if name not in found)


def alike(sizes: Mapping[str, int], shared: Mapping[str, str]) -> dict[str, int]:
    """Number of ids of each id column, the same for those that share them."""
    for name, owner in shared.items():
        if name not in sizes or owner not in sizes or owner in shared:
            raise DataError(
                f"{name!r} shares the ids of {owner!r}",
                f"two of the id columns {', '.join(sizes)}, the second with ids of its own",
                "Correct `shared`",
            )
    most = dict(sizes)
    for name, owner in shared.items():
        most[owner] = max(most[owner], sizes[name])
    return {name: most[shared.get(name, name)] for name in sizes}


def fitting(
    vectors: Mapping[str, Array], sizes: Mapping[str, int], shared: Mapping[str, str]
) -> dict[str, Array]:
    """Vectors [number of ids, width] as float32, by the column whose ids they belong to."""
    for name, rows in vectors.items():
        wanted = sizes.get(name)
        if rows.ndim != 2 or len(rows) != wanted or not rows.shape[1] or not np.isfinite(rows).all():
            raise DataError(
                f"vectors of shape {list(rows.shape)} for {name!r}",
                f"[{wanted}, 1 or more] of finite numbers" if wanted else f"one of {', '.join(sizes)}",
                "Give one vector for each id of the column",
            )
    return {shared.get(name, name): np.ascontiguousarray(rows, np.float32) for name, rows in vectors.items()}


def _largest(column: Column) -> int:
    """The largest id of a column; of lists at least padding's."""
    return int(_values(column).max(initial=PADDING if isinstance(column, Ragged) else -1))


def _types(columns: Mapping[str, Column]) -> dict[str, tuple[Any, bool]]:
    """Each column's kind of values, and whether its rows are lists of them."""
    return {name: (_values(column).dtype, isinstance(column, Ragged)) for name, column in columns.items()}


def _values(column: Column) -> Array:
    return column.values if isinstance(column, Ragged) else column


def grouped(values: Mapping[str, Column], domains: int) -> tuple[dict[str, Column], Array, Array]:
    """Columns, labels and offsets with each domain's rows together, in the order they came in."""
    domain = _values(values["domain"])
    offsets = np.concatenate([[0], np.cumsum(np.bincount(domain, minlength=domains))]).astype(np.int64)
    if len(domain) and (np.diff(domain) < 0).any():
        order = np.argsort(domain, kind="stable")
        values = {name: column[order] for name, column in values.items()}
    columns = {name: column for name, column in values.items() if name not in ("domain", "label")}
    return columns, _values(values["label"]), offsets
