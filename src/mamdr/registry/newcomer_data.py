"""The data set that a newcomer trains on: a version's sample of helpers, and its own interactions, coded alike.

Users and items are coded by the feature storage, as they are when scores are asked for. One that training did not know
gets a new id behind the table's end when it is in the newcomer's training rows: its shared row is that of unknown
values, and what the domain learns of it lies in its specific part. Values whose vectors were made elsewhere stay
unknown, since nobody made theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from mamdr.data import negatives, split
from mamdr.data.domains import SPLITS, Dataset, DomainData
from mamdr.data.interactions import distinct, features
from mamdr.data.ragged import Ragged, joined
from mamdr.errors import DataError
from mamdr.feature_store import Entities, FeatureStore
from mamdr.parameters import Space
from mamdr.registry.version import Version
from mamdr.training.joining import JoinOptions


class TooFewError(DataError):
    """Too few interactions to train on, so far."""


@dataclass(frozen=True, eq=False)
class NewcomerData:
    """A newcomer's data set.

    Args:
        data: helpers' rows and its own in train, its own in val and test; its number is the base's `newcomer`.
        space: the base's, with tables as long as there are ids.
        new: owner -> raw values that have new ids, in their order.
        counts: of its training rows: rows, positives, users, items.
    """

    data: Dataset
    space: Space
    new: dict[str, list[str]]
    counts: dict[str, int]


def newcomer_data(
    base: Version,
    features_of: FeatureStore,
    helpers: Path,
    table: pl.DataFrame,
    domain: str,
    options: JoinOptions,
) -> NewcomerData:
    """Code a newcomer's interactions.

    Args:
        base: the version that it joins.
        features_of: the storage of the base's data.
        helpers: the base's sample.
        table: canonical, with ids as text.

    Raises: DataError for features that training did not have; TooFewError for too few positives.
    """
    known = Dataset.load(helpers)
    rows = _rows(table, domain, options)
    parts = split.assign(rows.pop("domain"), rows["label"], [domain], options.seed)
    columns: dict[str, Any] = {}
    new: dict[str, list[str]] = {}
    for owner in ("user", "item"):
        column = f"{owner}_id"
        raw, places = np.unique(rows[column], return_inverse=True)
        entities = features_of.lookup(owner, raw.tolist())
        taught = np.zeros(len(raw), dtype=bool)
        taught[places[parts == split.TRAIN]] = True
        entities, new[owner] = _numbered(base, column, entities, taught)
        columns |= {name: _as_rows(cells)[places] for name, cells in entities.columns.items()}
    columns |= _context(features_of, rows, len(parts))
    schema = base.schema
    schema = replace(
        schema,
        domains=(*schema.domains[:-1], domain),
        ids={name: size + len(new.get(name.removesuffix("_id"), ())) for name, size in schema.ids.items()},
    )
    train, val, test = (
        _with(known.split(name), columns, rows["label"], parts == number)
        for number, name in enumerate(SPLITS)
    )
    labels = train.labels[int(train.offsets[-2]) :]
    own = parts == split.TRAIN
    counts = {
        "rows": len(labels),
        "positives": int(labels.sum()),
        "users": len(np.unique(rows["user_id"][own])),
        "items": len(np.unique(rows["item_id"][own])),
    }
    return NewcomerData(Dataset(domain, schema, train, val, test), _grown(base.space, new), new, counts)


def _rows(table: pl.DataFrame, domain: str, options: JoinOptions) -> dict[str, Any]:
    """Raw ids, labels and context of each row; with drawn negatives where there are no labels."""
    table = distinct(table.with_columns(pl.col("user_id", "item_id").cast(pl.String)))
    label = table["label"].to_numpy() if "label" in table.columns else np.ones(len(table), dtype=np.int8)
    if (found := int(label.sum())) < options.minimum:
        raise TooFewError(
            f"{domain!r} has {found} positives so far", f"{options.minimum} or more", "Give more interactions"
        )
    rows: dict[str, Any] = {name: table[name].to_numpy() for name in ("user_id", "item_id")}
    context = [name for name in features(table) if name.startswith("context:")]
    if "label" not in table.columns:
        users, user = np.unique(rows["user_id"], return_inverse=True)
        items, item = np.unique(rows["item_id"], return_inverse=True)
        drawn = negatives.draw(user, item, options.ctr_ratio, options.seed, domain)
        rows = {
            "user_id": np.concatenate([rows["user_id"], users[drawn[0]]]),
            "item_id": np.concatenate([rows["item_id"], items[drawn[1]]]),
        }
        label = np.concatenate([label, np.zeros(len(drawn[0]), dtype=np.int8)])
        context = []  # a drawn negative has none
    rows |= {name: table[name].to_list() for name in context}
    return rows | {"label": label, "domain": np.zeros(len(label), dtype=np.int64)}


def _numbered(
    base: Version, column: str, entities: Entities, taught: npt.NDArray[np.bool_]
) -> tuple[Entities, list[str]]:
    """Entities with new ids for those that training did not know and that the newcomer's training rows have."""
    if not extendable(base, column):
        return entities, []
    fresh = np.flatnonzero(~entities.known & taught)
    ids = entities.columns[column].clone()
    first = base.schema.ids[column]
    ids[torch.from_numpy(fresh)] = torch.arange(first, first + len(fresh))
    columns = {**entities.columns, column: ids}
    return replace(entities, columns=columns), [str(entities.ids[place]) for place in fresh.tolist()]


def extendable(base: Version, column: str) -> bool:
    """Whether ids of a column may go past its tables' ends: tables alone read them, and parts may have their rows."""
    schema = base.schema
    tables = [table for table in base.space.tables if column in (table.columns or ())]
    made = schema.shared.get(column, column) in schema.vectors
    return (
        bool(tables)
        and not made
        and all(table.columns is not None for table in base.space.tables)
        and all(table.name in base.space.specific for table in tables)
    )


def _grown(space: Space, new: dict[str, list[str]]) -> Space:
    more = {f"{owner}_id": len(values) for owner, values in new.items()}
    tables = tuple(
        replace(table, rows=table.rows + sum(more.get(name, 0) for name in table.columns or ()))
        for table in space.tables
    )
    return replace(space, tables=tables)


def _context(store: FeatureStore, rows: dict[str, Any], count: int) -> dict[str, Any]:
    names = [name for name in store.schema.features if store.schema.owner(name) == "context"]
    unknown = [name for name in rows if name.startswith("context:") and name not in names]
    if unknown:
        raise DataError(f"column {unknown[0]!r}", "columns that training had", "Leave the column out")
    return {name: _as_rows(store.encode(name, rows.get(name, [None] * count))) for name in names}


def _as_rows(cells: Tensor) -> Any:
    """A column of a batch as a column of a data set: lists [N, L], padded with 0, become lists."""
    if cells.ndim == 1:
        return cells.numpy() if cells.is_floating_point() else cells.numpy().astype(np.int32)
    held = cells != 0
    return Ragged.by_length(cells[held].numpy().astype(np.int32), held.sum(1).numpy())


def _with(
    known: DomainData, columns: dict[str, Any], labels: Any, chosen: npt.NDArray[np.bool_]
) -> DomainData:
    """A split of the helpers' rows with the newcomer's behind them, as a domain more."""
    plain = {
        name: torch.cat([column, torch.from_numpy(columns[name][chosen])])
        for name, column in known.columns.items()
    }
    lists: dict[str, Ragged] = {}
    for name, column in known.lists.items():
        both = joined([column, columns[name][chosen]])
        assert isinstance(both, Ragged)
        lists[name] = both
    own = torch.from_numpy(labels[chosen].astype(np.float32))
    offsets = torch.cat([known.offsets, known.offsets[-1:] + len(own)])
    return DomainData(plain, torch.cat([known.labels, own]), offsets, lists)
