"""From a data folder to what a store holds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mamdr.data.domains import Dataset, DomainData
from mamdr.data.ragged import Column, Ragged, joined
from mamdr.data.vocabulary import FIRST
from mamdr.feature_store.coder import Coder
from mamdr.feature_store.content import ENTITIES, Content, features_of
from mamdr.feature_store.keys import Keys
from mamdr.feature_store.table import Table

Ints = npt.NDArray[np.int64]


def content_of(data: Dataset) -> Content:
    """Users, items and interactions of a data set, coded as it codes them.

    A user's or an item's features are those of its last row in train, or in the other splits where train has none; the
    facts say of how many they vary from row to row ("varying"). A domain's items are those that its rows hold,
    whatever the label; a user has seen those of rows with label 1. Values that train lacked have no name in the data
    any more, and are left out.

    Raises: DataError for data without vocabularies (made in memory).
    """
    coder = Coder(data.schema, data.vocabularies)
    keys = {owner: Keys.of_values(data.vocabularies[f"{owner}_id"].values) for owner in ENTITIES}
    built = {owner: _table(data, coder, owner, len(keys[owner])) for owner in ENTITIES}
    user, item, domain, label = (np.concatenate(parts) for parts in zip(*_rows(data), strict=True))
    items = distinct_lists(domain, item - FIRST, len(data.schema.domains), item >= FIRST)
    pair = domain * (len(keys["user"]) + 1) + user - FIRST
    pairs, seen = by_pair(pair, item - FIRST, (label > 0) & (user >= FIRST) & (item >= FIRST))
    return Content(
        data.schema,
        data.vocabularies,
        data.fingerprint,
        {owner: table for owner, (table, _) in built.items()},
        keys,
        list(data.schema.domains),
        items,
        pairs,
        seen,
        {"data": data.name, "varying": {owner: varying for owner, (_, varying) in built.items()}},
    )


def by_pair(pair: Ints, item: Ints, mask: npt.NDArray[np.bool_]) -> tuple[Ints, Ragged]:
    """The distinct pairs [P] that the mask lets through, sorted, and the distinct items of each, sorted."""
    pair, item = pair[mask], item[mask]
    pairs, numbers = np.unique(pair, return_inverse=True)
    return pairs, distinct_lists(numbers, item, len(pairs), np.ones(len(item), dtype=bool))


def distinct_lists(group: Ints, value: Ints, groups: int, mask: npt.NDArray[np.bool_]) -> Ragged:
    """The distinct values of each group that the mask lets through, sorted, as int32."""
    group, value = group[mask], value[mask]
    order = np.lexsort((value, group))
    group, value = group[order], value[order]
    first = np.ones(len(group), dtype=bool)
    first[1:] = (group[1:] != group[:-1]) | (value[1:] != value[:-1])
    return Ragged.by_length(value[first].astype(np.int32), np.bincount(group[first], minlength=groups))


def _parts(data: Dataset) -> list[DomainData]:
    """Train last, so that its rows count where there are several."""
    return [data.test, data.val, data.train]


def _rows(data: Dataset) -> Iterator[tuple[Ints, ...]]:
    """User, item, domain and label of each row."""
    for part in _parts(data):
        domain = np.repeat(np.arange(len(part.offsets) - 1), np.diff(part.offsets.numpy()))
        ids = [part.columns[f"{owner}_id"].numpy().astype(np.int64) for owner in ENTITIES]
        yield *ids, domain, part.labels.numpy().astype(np.int64)


def _table(data: Dataset, coder: Coder, owner: str, size: int) -> tuple[Table, int]:
    """A row for each id, then the unknown one; and how many ids of train have rows that differ."""
    own = np.concatenate([part.columns[f"{owner}_id"].numpy() for part in _parts(data)]).astype(np.int64)
    last = np.full(size + 1, len(own), dtype=np.int64)
    known = own >= FIRST
    last[own[known] - FIRST] = np.flatnonzero(known)
    train = np.arange(len(own)) >= len(own) - len(data.train)
    columns: dict[str, Column] = {}
    varying = np.zeros(size, dtype=bool)
    for name in features_of(data.schema, owner):
        if name == f"{owner}_id":
            ids = np.arange(FIRST, FIRST + size, dtype=np.int32)
            columns[name] = joined([ids, coder.empty(name, 1)])
            continue
        cells = joined([*(_column(part, name) for part in _parts(data)), coder.empty(name, 1)])
        columns[name] = cells[last]
        rows = np.flatnonzero(train & known)
        differs = _differs(cells[rows], columns[name][own[rows] - FIRST])
        varying[own[rows[differs]] - FIRST] = True
    return Table(owner, columns), int(varying.sum())


def _column(part: DomainData, name: str) -> Column:
    return part.lists[name] if name in part.lists else part.columns[name].numpy()


def _differs(one: Column, other: Column) -> npt.NDArray[np.bool_]:
    if isinstance(one, Ragged) and isinstance(other, Ragged):
        return one.differs(other)
    different: npt.NDArray[np.bool_] = np.asarray(one) != np.asarray(other)
    return different
