"""A snapshot's content and its updates as one content: what a compaction writes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mamdr.data.ragged import Ragged
from mamdr.feature_store.build import by_pair, distinct_lists
from mamdr.feature_store.content import ENTITIES, Content
from mamdr.feature_store.keys import Keys
from mamdr.feature_store.layers import Layers
from mamdr.feature_store.table import Table

Ints = npt.NDArray[np.int64]


def folded(layers: Layers) -> Content:
    """The content that reads as the layers do. Cost: that of copying it."""
    old = layers.content
    came = {owner: _came(layers, owner) for owner in ENTITIES}
    keys = {owner: old.keys[owner].extended(came[owner]) for owner in ENTITIES}
    tables = {owner: _table(layers, owner, came[owner]) for owner in ENTITIES}
    names = layers.domains()
    pairs, seen = _seen(layers, keys, names)
    return replace(
        old,
        tables=tables,
        keys=keys,
        domains=names,
        items=_items(layers, keys, names),
        pairs=pairs,
        seen=seen,
    )


def _came(layers: Layers, owner: str) -> list[str]:
    """The ids that the snapshot lacks, in the order they came."""
    texts = dict.fromkeys(layers.rows[owner].index)
    if owner == "item":
        texts |= dict.fromkeys(text for items in layers.items.values() for text in items)
        texts |= dict.fromkeys(text for items in layers.sights.values() for text in items)
    else:
        texts |= dict.fromkeys(user for _, user in layers.sights)
    given, keys = list(texts), layers.content.keys[owner]
    return [text for text, row in zip(given, keys.find(given), strict=True) if row == len(keys)]


def _table(layers: Layers, owner: str, came: list[str]) -> Table:
    """The old rows as they are now, those that came, and the unknown one."""
    rows = layers.rows[owner]
    size = len(rows.keys)
    now = [rows.current(np.arange(size)), rows.find(came), np.array([size])]
    return rows.pick(np.concatenate(now).astype(np.int64))


def _items(layers: Layers, keys: dict[str, Keys], names: list[str]) -> Ragged:
    old, place = layers.content.items, {name: number for number, name in enumerate(names)}
    late = [(place[domain], text) for domain, items in layers.items.items() for text in items]
    domain = np.concatenate([np.repeat(np.arange(len(old)), old.lengths), [number for number, _ in late]])
    row = np.concatenate([old.values, keys["item"].find([text for _, text in late])])
    return distinct_lists(domain.astype(np.int64), row.astype(np.int64), len(names), np.ones(len(row), bool))


def _seen(layers: Layers, keys: dict[str, Keys], names: list[str]) -> tuple[Ints, Ragged]:
    old, place = layers.content, {name: number for number, name in enumerate(names)}
    before, width = len(old.keys["user"]) + 1, len(keys["user"]) + 1
    pair = old.pairs // before * width + old.pairs % before
    late = [(place[domain], user, text) for (domain, user), items in layers.sights.items() for text in items]
    domain = np.array([number for number, _, _ in late], dtype=np.int64)
    more = domain * width + keys["user"].find([user for _, user, _ in late])
    pairs = np.concatenate([np.repeat(pair, old.seen.lengths), more]).astype(np.int64)
    row = np.concatenate([old.seen.values, keys["item"].find([text for _, _, text in late])]).astype(np.int64)
    return by_pair(pairs, row, np.ones(len(row), dtype=bool))
