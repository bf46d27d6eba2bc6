"""What every feature store gives: the coded columns of users and items, a domain's items, and what a user has seen.

A store is made from a built data folder and codes as that folder does, so a model that was trained on it reads here
what it read there. Ids are raw ones: text, or integers where the data's ids are integers; "17" and 17 mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import polars as pl
from torch import Tensor

from mamdr.data.rows import Batch
from mamdr.data.schema import Schema

Raw = str | int
"""A user's or an item's id as the outside knows it."""

LONGEST_ID = 200
"""Bytes of UTF-8 that the id of an updated user or item, or a domain's name, may have."""


@dataclass(frozen=True, eq=False)
class Entities:
    """N users, or N items, as a model reads them.

    Args:
        ids: raw, [N].
        known: bool [N]; whether training had the id. One it had not has id 1 ("unknown"), and the features
            that the store was told of it, or else none.
        columns: the owner's columns of a batch: int64 [N] (ids), int64 [N, L] (lists), float32 [N] (numbers).
    """

    ids: Sequence[Raw]
    known: npt.NDArray[np.bool_]
    columns: Batch

    def __len__(self) -> int:
        return len(self.known)

    def at(self, rows: Tensor) -> Entities:
        """Those at these places [M], int64; a place may come again."""
        places = rows.tolist()
        columns = {name: column.index_select(0, rows) for name, column in self.columns.items()}
        return Entities([self.ids[place] for place in places], self.known[places], columns)


@dataclass(frozen=True)
class Health:
    """How a store is.

    Args:
        state: "ok", or "degraded": it answers, but without the updates since its snapshot.
        reason: why, in a few words; empty when all is well.
    """

    state: str = "ok"
    reason: str = ""


class FeatureStore(Protocol):
    """Reading. Threads may share a store; processes open their own."""

    @property
    def schema(self) -> Schema:
        """The data's, with its vectors: what a model is built from."""
        ...

    @property
    def fingerprint(self) -> str:
        """That of the data whose codes the columns have (`Dataset.fingerprint`): a model of other data must not
        read here."""
        ...

    @property
    def version(self) -> str:
        """Of the snapshot that it stands on, such as "000002"."""
        ...

    def health(self) -> Health:
        """Whether updates can be read. Cost: at most one round trip."""
        ...

    def lookup(self, owner: str, ids: Sequence[Raw]) -> Entities:
        """Users or items by their ids, in this order; an id may come again, and none need be known.

        Args:
            owner: "user" or "item".

        Cost: about 30 µs for 100 from a snapshot.
        Raises: DataError for an id that is neither text nor an integer.
        """
        ...

    def domains(self) -> Sequence[str]:
        """Names of the domains that have items: the data's in their order, then those that came since."""
        ...

    def candidates(self, domain: str, unseen_by: Raw | None = None) -> Entities:
        """A domain's items, without those that a user has seen there.

        Raises: DataError for a domain that the store does not hold.
        """
        ...

    def seen(self, domain: str, user: Raw) -> frozenset[Raw]:
        """The items that a user has interacted with in a domain; empty for a user or domain that is unknown."""
        ...

    def encode(self, column: str, values: Sequence[object]) -> Tensor:
        """Raw values of any column as a batch has them, such as the context of a request.

        Raises: DataError for values of another kind than the column's.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections; may be called again."""
        ...


@runtime_checkable
class UpdatableStore(FeatureStore, Protocol):
    """Reading, and updates that are durable once a call has returned, and are seen by the next read."""

    def update(self, owner: str, table: pl.DataFrame) -> int:
        """Features of users or items, known or new; each row replaces what the store had of its id.

        Args:
            owner: "user" or "item".
            table: the column `user_id` or `item_id`, and any of the owner's features; one that is left out keeps its
                value.

        Returns: how many rows there are.
        Raises: DataError for other columns, ids that are empty, longer than `LONGEST_ID` bytes or come twice, and
            values of another kind than the column's.
        """
        ...

    def observe(self, table: pl.DataFrame) -> int:
        """Interactions: their items become the domains' own, and those with label 1 (all, without labels) are seen.

        Args:
            table: canonical: user_id, item_id, domain, and label where there are some. The domain may be new.

        Returns: how many rows there are.
        """
        ...
