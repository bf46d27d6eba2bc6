"""A store's content as Parquet tables, and tables as its updates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mamdr.data.portion import Progress
from mamdr.data.readers.table import read_file
from mamdr.errors import DataError
from mamdr.feature_store.content import ENTITIES, Content
from mamdr.feature_store.keys import Keys
from mamdr.feature_store.protocol import UpdatableStore
from mamdr.files import atomic_folder


def export(content: Content, folder: str | Path) -> None:
    """Write four tables, all or none; `take_in` of them gives another store of the same data the same answers.

        users.parquet          user_id and the users' features, as they were before coding
        items.parquet          item_id and the items' features
        interactions.parquet   domain, user_id, item_id: what was seen
        domains.parquet        domain, item_id: the items of each domain

    A value that the data's vocabulary lacks has no code of its own, and is an empty cell. Numbers are those of before
    up to the last bits of a float32.
    """
    tables = {f"{owner}s": _entities(content, owner) for owner in ENTITIES}
    with atomic_folder(Path(folder)) as part:
        for name, table in {**tables, "interactions": _seen(content), "domains": _items(content)}.items():
            table.write_parquet(part / f"{name}.parquet")


def take_in(store: UpdatableStore, files: Sequence[str | Path], progress: Progress | None = None) -> int:
    """Update a store from files: .csv, .tsv or .parquet.

    A table with a column `domain` holds interactions, or items of domains where it has no user_id; one with `user_id`
    alone holds users, one with `item_id` alone items. Each file is durable when the next begins.

    Returns: how many rows were read.
    Raises: DataError for a table that is none of these, and what the store refuses.
    """
    rows = 0
    for number, file in enumerate(files):
        if progress:
            progress(f"reading {Path(file).name}", number, len(files))
        table = read_file(Path(file))
        here = set(table.columns)
        if "domain" in here:
            kept = [name for name in ("user_id", "item_id", "domain", "label") if name in here]
            rows += store.observe(table.select(kept))
            continue
        owners = [owner for owner in ENTITIES if f"{owner}_id" in here]
        if len(owners) != 1:
            raise DataError(
                f"{Path(file).name} has columns {', '.join(table.columns)}",
                "user_id or item_id with features, or domain with item_id",
                "Rename the columns, or cut the table in two",
            )
        rows += store.update(owners[0], table)
    return rows


def _entities(content: Content, owner: str) -> pl.DataFrame:
    keys, columns = content.keys[owner], content.tables[owner].columns
    whole = np.arange(len(keys))
    features = [content.coder.raw(name, column[whole]) for name, column in columns.items()]
    own = _named(f"{owner}_id", keys, whole)
    return pl.DataFrame([own, *(cells for cells in features if cells.name != own.name)])


def _named(name: str, keys: Keys, rows: npt.NDArray[Any]) -> pl.Series:
    texts = pl.Series(name, keys.texts(), dtype=pl.String)
    found = texts.gather(rows)
    return found.cast(pl.Int64) if keys.integers else found


def _seen(content: Content) -> pl.DataFrame:
    width, lengths = len(content.keys["user"]) + 1, content.seen.lengths
    domain, user = np.repeat(content.pairs // width, lengths), np.repeat(content.pairs % width, lengths)
    return pl.DataFrame(
        [
            pl.Series("domain", list(content.domains), dtype=pl.String).gather(domain),
            _named("user_id", content.keys["user"], user),
            _named("item_id", content.keys["item"], content.seen.values),
        ]
    )


def _items(content: Content) -> pl.DataFrame:
    domain = np.repeat(np.arange(len(content.items)), content.items.lengths)
    names = pl.Series("domain", list(content.domains), dtype=pl.String).gather(domain)
    return pl.DataFrame([names, _named("item_id", content.keys["item"], content.items.values)])
