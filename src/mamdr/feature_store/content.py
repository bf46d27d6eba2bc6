"""All that a snapshot holds, in memory or memory-mapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mamdr.data.ragged import Ragged
from mamdr.data.schema import Schema
from mamdr.data.vocabulary import Vocabulary
from mamdr.feature_store.coder import Coder
from mamdr.feature_store.keys import Keys
from mamdr.feature_store.table import Table

ENTITIES = ("user", "item")
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Content:
    """Users, items and who has seen what.

    Args:
        schema: the data's, with its vectors.
        words: id column -> vocabulary.
        fingerprint: the data's.
        tables: owner -> a row for each of its R ids, and the row of an unknown one behind them.
        keys: owner -> the ids of its R rows.
        domains: names.
        items: each domain's items, as sorted rows of the items' table.
        pairs: int64 [P], sorted; domain · (users' rows + 1) + user, for each user that has seen something there.
        seen: the items of each pair, as sorted rows.
        facts: figures of how it was made, for people.
    """

    schema: Schema
    words: Mapping[str, Vocabulary]
    fingerprint: str
    tables: dict[str, Table]
    keys: dict[str, Keys]
    domains: Sequence[str]
    items: Ragged
    pairs: Ints
    seen: Ragged
    facts: Mapping[str, object] = field(default_factory=dict)

    @cached_property
    def coder(self) -> Coder:
        """Codes raw features as these columns are coded."""
        return Coder(self.schema, self.words)

    @cached_property
    def places(self) -> dict[str, int]:
        """Domain -> its number."""
        return {name: number for number, name in enumerate(self.domains)}

    def items_of(self, domain: str) -> Ints:
        """Rows of a domain's items, sorted; none of a domain that is not here."""
        return _part(self.items, self.places.get(domain))

    def seen_by(self, domain: str, user: str) -> Ints:
        """Rows of the items that a user has seen in a domain, sorted."""
        place, row = self.places.get(domain), int(self.keys["user"].find([user])[0])
        if place is None or row == len(self.keys["user"]):
            return _part(self.seen, None)
        pair = place * (len(self.keys["user"]) + 1) + row
        at = int(np.searchsorted(self.pairs, pair))
        return _part(self.seen, at if at < len(self.pairs) and self.pairs[at] == pair else None)


def features_of(schema: Schema, owner: str) -> list[str]:
    """An owner's columns in the order of the schema, its ids among them."""
    return [name for name in schema.features if schema.owner(name) == owner]


def _part(lists: Ragged, number: int | None) -> Ints:
    if number is None:
        return np.zeros(0, dtype=np.int64)
    part: Ints = lists.values[lists.starts[number] : lists.starts[number + 1]].astype(np.int64)
    return part
