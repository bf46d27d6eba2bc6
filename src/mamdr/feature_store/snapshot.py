"""A store that never changes: arrays, memory-mapped, so that all workers of a machine share its pages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from mamdr.data.schema import Schema
from mamdr.errors import DataError
from mamdr.feature_store.content import ENTITIES, Content
from mamdr.feature_store.keys import Ids, text_of, texts_of
from mamdr.feature_store.protocol import Entities, Health, Raw


class Snapshot:
    """Reads what a `Content` holds.

    Args:
        content: of a data folder (`mamdr.feature_store.build.content_of`) or of files.
        version: its name.
    """

    def __init__(self, content: Content, version: str = "memory") -> None:
        self.content, self.version = content, version

    @property
    def schema(self) -> Schema:
        return self.content.schema

    @property
    def fingerprint(self) -> str:
        return self.content.fingerprint

    def health(self) -> Health:
        return Health()

    def lookup(self, owner: str, ids: Sequence[Raw]) -> Entities:
        check_owner(owner)
        rows = self.content.keys[owner].find(texts_of(ids))
        table = self.content.tables[owner]
        return Entities(ids, table.known(rows), table.batch(rows))

    def domains(self) -> Sequence[str]:
        return self.content.domains

    def candidates(self, domain: str, unseen_by: Raw | None = None) -> Entities:
        if domain not in self.content.places:
            raise no_domain(domain)
        rows = self.content.items_of(domain)
        if unseen_by is not None:
            seen = self.content.seen_by(domain, text_of(unseen_by))
            rows = rows[~np.isin(rows, seen, assume_unique=True)] if len(seen) else rows
        table = self.content.tables["item"]
        return Entities(Ids(self.content.keys["item"], rows), table.known(rows), table.batch(rows))

    def seen(self, domain: str, user: Raw) -> frozenset[Raw]:
        return frozenset(Ids(self.content.keys["item"], self.content.seen_by(domain, text_of(user))))

    def encode(self, column: str, values: Sequence[object]) -> Tensor:
        return self.content.coder.batch(column, values)

    def close(self) -> None:
        """Nothing to do: the maps go with the last tensor that was read from them."""


def check_owner(owner: str) -> None:
    """Refuse what owns no rows of a store."""
    if owner not in ENTITIES:
        raise DataError(f"owner {owner!r}", "user or item", "Choose one of them")


def no_domain(domain: str) -> DataError:
    """That a domain is unknown."""
    return DataError(
        f"no domain is named {domain!r}",
        "a domain of the store",
        "See `domains`, or add it by its interactions",
    )
