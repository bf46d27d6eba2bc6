"""A store that takes updates: a snapshot, and a log of what came since."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import polars as pl
from torch import Tensor

from mamdr.data.schema import Schema
from mamdr.errors import DataError, ServiceError
from mamdr.feature_store import incoming
from mamdr.feature_store.content import Content
from mamdr.feature_store.folding import folded
from mamdr.feature_store.keys import text_of, texts_of
from mamdr.feature_store.layers import Layers
from mamdr.feature_store.log import Change, Log, from_bytes, to_bytes
from mamdr.feature_store.protocol import Entities, Health, Raw
from mamdr.feature_store.snapshot import check_owner, no_domain

RETRY = 1.0
"""Seconds for which a log that did not answer is left alone."""

Open = Callable[[str], tuple[str, Content]]
"""A snapshot of at least this version ("": the newest), and its version; DataError where there is none."""


class OverlayStore:
    """Reads a snapshot and the log's updates over it, and appends to the log.

    What the log holds is replayed into memory, so a read costs what the snapshot's does, and the question whether the
    log has grown. Where the log cannot be reached the store answers with what it has and says that it is degraded.

    Args:
        log: where updates are kept.
        open_snapshot: see `Open`.
        clock: seconds that never go back.
    """

    def __init__(self, log: Log, open_snapshot: Open, clock: Callable[[], float] = time.monotonic) -> None:
        self.log, self._open, self._clock = log, open_snapshot, clock
        self._lock = threading.Lock()
        self._trouble, self._silent_until = "", -float("inf")
        self._begin("", "")
        self._fresh()

    def _begin(self, version: str, epoch: str) -> None:
        self._version, content = self._open(version)
        self._layers, self._epoch, self._after = Layers(content), epoch, ""

    @property
    def schema(self) -> Schema:
        return self._layers.content.schema

    @property
    def fingerprint(self) -> str:
        return self._layers.content.fingerprint

    @property
    def version(self) -> str:
        return self._version

    @property
    def layers(self) -> Layers:
        """The snapshot's content and the updates that are known."""
        return self._layers

    def folded(self) -> Content:
        """Both as one content.

        Raises: ServiceError where the log cannot be reached.
        """
        return folded(self.settled()[0])

    @property
    def pending(self) -> int:
        """Entries of the log, all of which are held in memory until a compaction."""
        return len(self.log.read("").entries)

    def health(self) -> Health:
        self._fresh()
        return Health("degraded", self._trouble) if self._trouble else Health()

    def lookup(self, owner: str, ids: Sequence[Raw]) -> Entities:
        check_owner(owner)
        return self._fresh().lookup(owner, ids, texts_of(ids))

    def domains(self) -> Sequence[str]:
        return self._fresh().domains()

    def candidates(self, domain: str, unseen_by: Raw | None = None) -> Entities:
        layers = self._fresh()
        if domain not in layers.content.places and domain not in layers.items:
            raise no_domain(domain)
        return layers.candidates(domain, None if unseen_by is None else text_of(unseen_by))

    def seen(self, domain: str, user: Raw) -> frozenset[Raw]:
        return self._fresh().seen(domain, text_of(user))

    def encode(self, column: str, values: Sequence[object]) -> Tensor:
        return self._layers.content.coder.batch(column, values)

    def update(self, owner: str, table: pl.DataFrame) -> int:
        check_owner(owner)
        return self._append(list(incoming.features(self._layers.content, owner, table)), len(table))

    def observe(self, table: pl.DataFrame) -> int:
        return self._append(list(incoming.interactions(self._layers.content, table)), len(table))

    def close(self) -> None:
        self.log.close()

    def settled(self) -> tuple[Layers, str]:
        """The snapshot and the updates up to a position of the log, for a compaction.

        Raises: ServiceError where the log cannot be reached.
        """
        with self._lock:
            self._catch_up()
            return self._layers, self._after

    def _append(self, changes: list[Change], rows: int) -> int:
        if changes:
            self.log.append([to_bytes(change) for change in changes])
            with self._lock:
                self._catch_up()
        return rows

    def _fresh(self) -> Layers:
        """What is known now."""
        if self.log.changed() and self._clock() >= self._silent_until:
            with self._lock:
                try:
                    self._catch_up()
                except (ServiceError, DataError) as error:
                    self._trouble, self._silent_until = error.found, self._clock() + RETRY
        return self._layers

    def _catch_up(self) -> None:
        """Replay what the log has that is not replayed yet; from a newer snapshot, where the log stands on one."""
        news = self.log.read(self._after)
        if news.base > self._version or (self._epoch and news.epoch != self._epoch):
            self._begin(news.base, news.epoch)
            news = self.log.read("")
        for position, entry in news.entries:
            self._layers.apply(from_bytes(entry))
            self._after = position
        self._epoch, self._trouble = news.epoch, ""
