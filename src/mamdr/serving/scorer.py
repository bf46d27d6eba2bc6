"""Scores without HTTP: a version, a domain, a user and items in; click probabilities out.

For each domain asked for, the merged dense part comes from a cache of so many bytes and the rows that the batch names
from the version's files, shared and specific. No table is ever copied for a domain.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mamdr.data.rows import Batch
from mamdr.engine.binding import Binding, RowMiss
from mamdr.engine.matmul import Matmul
from mamdr.engine.predict import mean_score
from mamdr.errors import DataError, MamdrError
from mamdr.feature_store import Entities, FeatureStore, Raw, batch_of
from mamdr.parameters import Ids, Point, Store
from mamdr.registry import Served, Version
from mamdr.serving.merged import Merged

_BATCH = 8192  # rows of one forward pass, those of evaluation


class TooLateError(MamdrError):
    """The time that a request has is over before its scores are made."""


@dataclass(frozen=True)
class Query:
    """What is asked of a domain.

    Args:
        domain: its name.
        user: raw id.
        items: raw ids to score; None ranks the domain's items.
        k: how many of the best to give, when items are ranked.
        exclude_seen: leave out what the user has seen there.
        context: raw values of the context's features.
    """

    domain: str
    user: Raw
    items: Sequence[Raw] | None = None
    k: int = 10
    exclude_seen: bool = True
    context: Mapping[str, object] | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """Scores of one query.

    Args:
        version: that answered.
        known_user: whether the user was known in training, or came with the domain.
        items: raw ids; for a ranking the best first.
        scores: click probabilities, one for each item.
        known_items: whether each item was known.
    """

    version: str
    known_user: bool
    items: list[Raw]
    scores: list[float]
    known_items: list[bool]


class Scorer:
    """Scores by versions that stand on one base, one call at a time (a thread of its own may own it).

    Args:
        version: the base.
        features: the storage of the data that the base was trained on.
        merged: the cache of merged parts.
    """

    def __init__(self, version: Version, features: FeatureStore, merged: Merged) -> None:
        self.version, self.features, self.merged = version, features, merged
        self._binding = Binding(version.module, version.space, packed_dropout=False)
        self._matmul = Matmul()

    def answer(self, served: Served, queries: Sequence[Query], deadline: float | None = None) -> list[Answer]:
        """Answers to queries of one domain, from one forward pass where they fit in one.

        Raises:
            DataError: an id that is neither text nor an integer, or wrong context.
            TooLateError: `deadline` (of `time.monotonic`) went by.
        """
        asked = [self._entities(served, query) for query in queries]
        batches = [
            batch_of(self.features, user, items, served.number, _rows(query.context))
            for query, (user, items) in zip(queries, asked, strict=True)
        ]
        sizes = [len(items) for _, items in asked]
        scores = torch.split(self.score(served, _joined(batches, served.number), deadline), sizes)
        return [
            _ranked(served, query, user, items, own)
            for query, (user, items), own in zip(queries, asked, scores, strict=True)
        ]

    def score(self, served: Served, batch: Batch, deadline: float | None = None) -> Tensor:
        """Click probabilities [B] of a batch's rows in its one domain; those of evaluation to rounding.

        Cost: the rows' forward pass, a pull of the distinct rows that they name, and one copy of the dense part; so
        often as rounds serve the domain.
        """
        rows = len(batch["domain"])
        parts = []
        for begin in range(0, rows, _BATCH):
            if deadline is not None and time.monotonic() > deadline:
                raise TooLateError(
                    "a request took too long", "an answer in time", "Ask for fewer rows at once"
                )
            piece = batch if rows <= _BATCH else {n: c[begin : begin + _BATCH] for n, c in batch.items()}
            parts.append(self._forward(served, piece))
        return torch.cat(parts) if parts else torch.empty(0)

    @torch.no_grad()
    def _forward(self, served: Served, batch: Batch) -> Tensor:
        ids = self._ids(batch)
        self._matmul.use(len(batch["domain"]) == _BATCH)
        try:
            return mean_score(
                [
                    self._score(self.merged.dense(served, number), rows, ids, batch)
                    for number, rows in enumerate(served.rows)
                ]
            )
        finally:
            self._matmul.use(False)

    def _score(self, dense: Tensor, rows: Store, ids: Ids, batch: Batch) -> Tensor:
        """Click probabilities by dense values and the rows of a store, of which `ids` are known to be wanted."""
        while True:
            self._make_room(ids)
            values = torch.cat([dense, rows.pull(ids).flat])
            self._binding.load(Point(self.version.space, ids, values))
            try:
                return torch.sigmoid(self.version.module(batch)).float()
            except RowMiss as miss:
                ids = miss.added_to(ids)

    def _ids(self, batch: Batch) -> Ids:
        """The distinct rows that a batch names, per table; ids that a module computes come as they are missed."""
        distinct = {name: _distinct(batch[name]) for name in self._columns()}
        found = []
        for table in self.version.space.tables:
            own = [distinct[name] for name in table.columns or ()]
            found.append(own[0] if len(own) == 1 else _union(own))
        return tuple(found)

    def _columns(self) -> set[str]:
        return {name for table in self.version.space.tables for name in table.columns or ()}

    def _make_room(self, ids: Ids) -> None:
        """Rows past a table's end, those of values that came with a domain, need places of their own."""
        for wanted, held in zip(ids, self._binding.held, strict=True):
            needed = int(wanted[-1]) + 1 if len(wanted) else 0
            if needed > len(held.slots):
                held.slots = torch.cat([held.slots, held.slots.new_full((needed - len(held.slots),), -1)])

    def _entities(self, served: Served, query: Query) -> tuple[Entities, Entities]:
        user = _named(self.features.lookup("user", [query.user]), "user_id", served.users)
        ranked = query.items is None
        items = self._candidates(query) if ranked else self.features.lookup("item", query.items or ())
        return user, _named(items, "item_id", served.items)

    def _candidates(self, query: Query) -> Entities:
        try:
            return self.features.candidates(query.domain, query.user if query.exclude_seen else None)
        except DataError:
            if query.domain in self.features.domains():
                raise
            return self.features.lookup("item", [])  # a domain that has no items so far


def _named(entities: Entities, column: str, own: Mapping[str, int]) -> Entities:
    """Entities with the ids of those that came with the domain."""
    if not own or bool(entities.known.all()):
        return entities
    known, ids = entities.known.copy(), entities.columns[column].clone()
    for place in (~known).nonzero()[0].tolist():
        identity = own.get(str(entities.ids[place]))
        if identity is not None:
            ids[place], known[place] = identity, True
    return replace(entities, known=known, columns={**entities.columns, column: ids})


def _ranked(served: Served, query: Query, user: Entities, items: Entities, scores: Tensor) -> Answer:
    places = list(range(len(items)))
    if query.items is None:
        best = torch.sort(scores, descending=True, stable=True).indices[: query.k]
        places, scores = best.tolist(), scores[best]
    return Answer(
        served.version,
        bool(user.known[0]),
        [items.ids[place] for place in places],
        scores.tolist(),
        [bool(items.known[place]) for place in places],
    )


def _rows(context: Mapping[str, object] | None) -> dict[str, Sequence[object]]:
    return {name: [value] for name, value in (context or {}).items()}


def _joined(batches: Sequence[Batch], number: int) -> Batch:
    """Batches of one domain as one; lists are padded to the longest."""
    if len(batches) == 1:
        return batches[0]
    joined = {}
    for name in batches[0]:
        columns = [batch[name] for batch in batches]
        if columns[0].ndim == 2:
            width = max(column.shape[1] for column in columns)
            columns = [torch.nn.functional.pad(c, (0, width - c.shape[1])) for c in columns]
        joined[name] = torch.cat(columns)
    joined["domain"] = torch.tensor([number]).expand(len(joined["domain"]))
    return joined


def _distinct(column: Tensor) -> Tensor:
    if len(column) and column.stride(0) == 0:
        column = column[:1]
    found: Tensor = torch.unique(column.long())
    return found


def _union(parts: Sequence[Tensor]) -> Tensor:
    return torch.unique(torch.cat(list(parts))) if parts else torch.empty(0, dtype=torch.int64)
