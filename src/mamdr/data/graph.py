"""Who met whom in train, as a graph: users and items are its nodes, positives its edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mamdr.data.coding import distinct_codes
from mamdr.data.domains import Dataset
from mamdr.data.vocabulary import FIRST
from mamdr.errors import DataError


@dataclass(frozen=True, eq=False)
class Graph:
    """A graph of two kinds of nodes, which only meet the other kind.

    Args:
        users: how many nodes are users' ids; items' ids come after them.
        edges: int64 [E, 2], a user's node and an item's, each pair once, in order.
        starts: int64 [N + 1], where a node's neighbours begin in `targets`.
        targets: int64 [2E], the nodes that each node meets.
    """

    users: int
    edges: Tensor
    starts: Tensor
    targets: Tensor

    @classmethod
    def of_train(cls, data: Dataset) -> Graph:
        """The positives of train, all domains together; no other row is looked at.

        Raises: DataError when train has no positives of known users and items.
        """
        users, items = (data.schema.ids[name] for name in ("user_id", "item_id"))
        liked = data.train.labels.numpy() > 0
        ids = [data.train.columns[name].numpy()[liked].astype(np.int64) for name in ("user_id", "item_id")]
        first = FIRST if data.vocabularies else 0  # below it are ids that stand for no value
        known = (ids[0] >= first) & (ids[1] >= first)
        pairs = distinct_codes(ids[0][known] * items + ids[1][known])
        if not len(pairs):
            raise DataError(
                "train has no positives of known users and items", "one or more", "Give data with positives"
            )
        edges = np.stack([pairs // items, users + pairs % items], axis=1)
        both = np.concatenate([edges, edges[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        counts = np.bincount(both[:, 0], minlength=users + items)
        starts = np.concatenate([[0], np.cumsum(counts)])
        made = (torch.from_numpy(np.ascontiguousarray(part)) for part in (edges, starts, both[:, 1]))
        return cls(users, *made)

    @property
    def degrees(self) -> Tensor:
        """int64 [N]: how many nodes each meets."""
        return self.starts.diff()

    def drawn(self, nodes: Tensor, count: int, random: torch.Generator) -> Tensor:
        """int64 [len(nodes) * count]: neighbours of each of these nodes, drawn uniformly with replacement.

        Each node must have a neighbour.
        """
        begin, degree = self.starts[nodes, None], self.degrees[nodes, None]
        at = (torch.rand(len(nodes), count, generator=random, dtype=torch.float64) * degree).long()
        return self.targets[(begin + at).flatten()]
