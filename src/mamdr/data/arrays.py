"""Checks and grouping of plain arrays before they become `DomainData`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mamdr.errors import DataError

Array = npt.NDArray[Any]
REQUIRED = ("user_id", "item_id", "domain", "label")


def as_columns(split: str, splits: Mapping[str, Mapping[str, Array]], domains: int) -> dict[str, Array]:
    """The columns of one split, checked and brought to int32 (ids, domain) and float32 (numbers, label)."""
    if split not in splits:
        raise DataError(f"no split {split!r} among {sorted(splits)}", "train, val and test", "Give all three")
    given = {name: np.asarray(values) for name, values in splits[split].items()}
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        raise DataError(
            f"{split} has no column {', '.join(missing)}", ", ".join(REQUIRED), "Add what is missing"
        )
    lengths = {name: values.shape for name, values in given.items()}
    if set(lengths.values()) != {(len(given["label"]),)}:
        raise DataError(
            f"{split} has columns of shapes {lengths}", "one length for all", "Give one value a row"
        )
    return {name: _checked(split, name, values, domains) for name, values in given.items()}


def _checked(split: str, name: str, values: Array, domains: int) -> Array:
    where = f"column {name!r} of {split}"
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


def kinds(
    columns: Mapping[str, Mapping[str, Array]], ids: Mapping[str, int]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Number of ids of each id column (given, or the largest id plus one), and the numeric columns' names."""
    names = [name for name in columns["train"] if name not in ("domain", "label")]
    for split, values in columns.items():
        types = {name: values[name].dtype for name in values}
        if types != {name: array.dtype for name, array in columns["train"].items()}:
            raise DataError(
                f"{split} has columns {sorted(types)} of other names or kinds than train",
                f"{sorted(columns['train'])}",
                "Give every split the same columns",
            )
    found = {
        name: max(int(part[name].max(initial=-1)) for part in columns.values()) + 1
        for name in names
        if columns["train"][name].dtype == np.int32
    }
    for name, count in ids.items():
        if name not in found or found[name] > count:
            raise DataError(
                f"column {name!r} holds ids up to {found.get(name, 0) - 1}",
                f"ids below {count}",
                "Raise `ids`",
            )
    return found | dict(ids), tuple(name for name in names if name not in found)


def grouped(values: Mapping[str, Array], domains: int) -> tuple[dict[str, Array], Array, Array]:
    """Columns, labels and offsets with each domain's rows together, in the order they came in."""
    domain = values["domain"]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(domain, minlength=domains))]).astype(np.int64)
    if len(domain) and (np.diff(domain) < 0).any():
        order = np.argsort(domain, kind="stable")
        values = {name: column[order] for name, column in values.items()}
    columns = {name: column for name, column in values.items() if name not in ("domain", "label")}
    return columns, values["label"], offsets
