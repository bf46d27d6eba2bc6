"""A snapshot's content with updates over it, in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from mamdr.data.rows import Batch
from mamdr.feature_store.content import ENTITIES, Content
from mamdr.feature_store.keys import Ids
from mamdr.feature_store.log import Change, Observed, Update
from mamdr.feature_store.protocol import Entities, Raw
from mamdr.feature_store.table import Table

Ints = npt.NDArray[np.int64]


class Rows:
    """An owner's rows: the base's 0 to R − 1, its unknown one R, and those of updates behind it.

    Readers need no lock: an update's rows are there before anything leads to them.
    """

    def __init__(self, content: Content, owner: str) -> None:
        self.base, self.keys = content.tables[owner], content.keys[owner]
        self.over: Table | None = None
        self.index: dict[str, int] = {}
        """Updated id -> its row."""
        self.moved = np.zeros((2, 0), dtype=np.int64)
        """Rows of the base that were updated, sorted, and their rows now."""

    def find(self, texts: Sequence[str]) -> Ints:
        """Rows of ids [N]."""
        rows = self.keys.find(texts)
        if self.index and not self.index.keys().isdisjoint(texts):
            for place, row in enumerate(map(self.index.get, texts)):
                if row is not None:
                    rows[place] = row
        return rows

    def current(self, rows: Ints) -> Ints:
        """Rows of the base as they are now."""
        before, now = self.moved
        if not len(before):
            return rows
        places = np.minimum(np.searchsorted(before, rows), len(before) - 1)
        return np.where(before[places] == rows, now[places], rows)

    def pick(self, rows: Ints) -> Table:
        """A table of rows of either kind."""
        over = rows >= len(self.base)
        if self.over is None or not over.any():
            return self.base.pick(rows)
        both = Table.joined([self.base.pick(rows[~over]), self.over.pick(rows[over] - len(self.base))])
        places = np.empty(len(rows), dtype=np.int64)
        places[~over], places[over] = np.split(np.arange(len(rows)), [int((~over).sum())])
        return both.pick(places)

    def batch(self, rows: Ints) -> tuple[npt.NDArray[np.bool_], Batch]:
        """Which rows training knew, and their columns."""
        if self.over is None or not len(rows) or int(rows.max()) < len(self.base):
            return self.base.known(rows), self.base.batch(rows)
        table, whole = self.pick(rows), np.arange(len(rows))
        return table.known(whole), table.batch(whole)

    def put(self, texts: Sequence[str], rows: Table) -> None:
        """Set the rows of ids, each once."""
        start = len(self.base) + (len(self.over) if self.over is not None else 0)
        self.over = rows if self.over is None else Table.joined([self.over, rows])
        self.index |= {text: start + place for place, text in enumerate(texts)}
        base, now = self.keys.find(texts), np.arange(start, start + len(texts))
        there = base < len(self.keys)
        moved: dict[int, int] = dict(zip(*self.moved.tolist(), strict=True))
        moved |= dict(zip(base[there].tolist(), now[there].tolist(), strict=True))
        self.moved = np.array(sorted(moved.items()), dtype=np.int64).reshape(-1, 2).T


class Layers:
    """Reads a content and the changes that were applied to it."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.rows = {owner: Rows(content, owner) for owner in ENTITIES}
        self.items: dict[str, dict[str, None]] = {}
        """Domain -> items that came to it, in order."""
        self.sights: dict[tuple[str, str], dict[str, None]] = {}
        """Domain and user -> items that were seen since."""

    def apply(self, change: Change) -> None:
        """Take in a change; to do so twice is as once."""
        if isinstance(change, Observed):
            self._observe(change)
        else:
            self._update(change)

    def lookup(self, owner: str, ids: Sequence[Raw], texts: Sequence[str]) -> Entities:
        rows = self.rows[owner]
        return Entities(ids, *rows.batch(rows.find(texts)))

    def domains(self) -> list[str]:
        return [
            *self.content.domains,
            *(name for name in list(self.items) if name not in self.content.places),
        ]

    def candidates(self, domain: str, unseen_by: str | None) -> Entities:
        base, more = self.content.items_of(domain), list(self.items.get(domain, ()))
        keys, items = self.content.keys["item"], self.rows["item"]
        if unseen_by is not None:
            late = self.sights.get((domain, unseen_by), {})
            seen = np.concatenate([self.content.seen_by(domain, unseen_by), keys.find(list(late))])
            base = base[~np.isin(base, seen)] if len(seen) else base
            more = [text for text in more if text not in late]
        ids = Ids(keys, np.concatenate([base, len(keys) + np.arange(len(more))]), [self.raw(t) for t in more])
        return Entities(ids, *items.batch(np.concatenate([items.current(base), items.find(more)])))

    def seen(self, domain: str, user: str) -> frozenset[Raw]:
        keys = self.content.keys["item"]
        late = [self.raw(text) for text in list(self.sights.get((domain, user), ()))]
        return frozenset([*Ids(keys, self.content.seen_by(domain, user)), *late])

    def raw(self, text: str, owner: str = "item") -> Raw:
        """An id as the data have it."""
        return int(text) if self.content.keys[owner].integers else text

    def _update(self, change: Update) -> None:
        rows, coder = self.rows[change.owner], self.content.coder
        table = rows.pick(rows.find(change.ids))
        for name, values in change.values.items():
            table = table.replaced(name, coder.column(name, pl.Series(name, values, strict=False)))
        rows.put(change.ids, table)

    def _observe(self, change: Observed) -> None:
        keys = self.content.keys["item"]
        rows = keys.find(change.item)
        held = {domain: set(self.content.items_of(domain).tolist()) for domain in set(change.domain)}
        for domain, user, item, seen, row in zip(
            change.domain, change.user, change.item, change.seen, rows.tolist(), strict=True
        ):
            if row not in held[domain]:
                self.items.setdefault(domain, {})[item] = None
            if seen and user is not None:
                self.sights.setdefault((domain, user), {})[item] = None
