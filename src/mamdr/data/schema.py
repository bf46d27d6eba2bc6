"""What a model must know of the data to be built: columns, sizes, kinds and owners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mamdr.config import nearest
from mamdr.errors import ConfigError, DataError

OWNERS = ("user", "item", "context")


def is_feature(column: str) -> bool:
    """Whether a column of this name is a feature: user:..., item:... or context:..."""
    return ":" in column and column.split(":", 1)[0] in OWNERS


@dataclass(frozen=True)
class Schema:
    """The columns of a batch.

    Args:
        domains: the domains' names; the position is the domain's id.
        ids: id column -> number of ids (rows an embedding needs); ids are in [0, number).
        numeric: columns of numbers. A batch has "domain" besides, with ids in [0, len(domains)).
        lists: id columns whose rows are lists -> the most ids of a row. A batch has them as [B, L], padded with id 0.
        shared: id column -> the id column whose ids, and embeddings, it has as well.
        scales: numeric column -> the mean and the deviation of train that were taken out of its numbers:
            a batch has (raw − mean) / deviation.
        vectors: id column -> vectors [number of ids, width] that were made elsewhere, zeros for padding. No part of
            what makes two schemas equal.

    >>> schema = Schema(("books",), {"user_id": 9, "item:tags": 5}, ("context:hour",), {"item:tags": 3})
    >>> [(name, schema.owner(name), schema.kind(name)) for name in schema.features]
    [('user_id', 'user', 'category'), ('item:tags', 'item', 'list'), ('context:hour', 'context', 'number')]
    """

    domains: tuple[str, ...]
    ids: dict[str, int]
    numeric: tuple[str, ...] = ()
    lists: dict[str, int] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    vectors: dict[str, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def features(self) -> tuple[str, ...]:
        """All columns but the domain: ids, then numbers."""
        return (*self.ids, *self.numeric)

    def owner(self, name: str) -> str:
        """Whom a feature describes: "user" (user_id, user:...), "item" (item_id, item:...), or else "context".

        Raises: ConfigError for a name that is no column's.
        """
        self._check(name)
        owner = name.removesuffix("_id").split(":")[0]
        return owner if owner in OWNERS else "context"

    def kind(self, name: str) -> str:
        """What a feature's rows are: "category" (an id), "list" (of ids) or "number".

        Raises: ConfigError for a name that is no column's.
        """
        self._check(name)
        return "number" if name in self.numeric else "list" if name in self.lists else "category"

    def check(self, batch: Mapping[str, Tensor]) -> None:
        """Find out whether the columns of a batch are as a module knows them; columns of other names are not looked at.

        Raises: DataError for ids out of range, a list that is none, or a column that should be none.
        """
        sizes = {**self.ids, "domain": len(self.domains)}
        for name, column in batch.items():
            if name in sizes:
                wanted, shape = 2 if name in self.lists else 1, tuple(column.shape)
                if column.ndim != wanted:
                    raise DataError(
                        f"column {name!r} of a batch has shape {shape}",
                        "[rows, ids], padded with 0" if wanted == 2 else "[rows]",
                        "Give one value a row" if wanted == 1 else "Give a list for each row",
                    )
                if column.numel() and (int(column.min()) < 0 or int(column.max()) >= sizes[name]):
                    raise DataError(
                        f"column {name!r} of a batch holds ids from {int(column.min())} to {int(column.max())}",
                        f"ids from 0 to {sizes[name] - 1}",
                        "Code raw values by the data's vocabularies",
                    )

    def _check(self, name: str) -> None:
        if name not in self.features:
            raise ConfigError(
                f"no feature is named {name!r}", "one of the data's", nearest(name, self.features)
            )

    def to_json(self) -> dict[str, Any]:
        """What a manifest says of it; what is not used is not said."""
        said: dict[str, Any] = {
            "domains": list(self.domains),
            "ids": [[column, count] for column, count in self.ids.items()],
            "numeric": list(self.numeric),
        }
        more = {
            "lists": self.lists,
            "shared": self.shared,
            "scales": {name: list(scale) for name, scale in self.scales.items()},
            "vectors": {name: rows.shape[1] for name, rows in self.vectors.items()},
        }
        return said | {name: values for name, values in more.items() if values}

    @classmethod
    def from_json(cls, said: Mapping[str, Any], vectors: Mapping[str, Tensor]) -> Schema:
        """What `to_json` gave, with the vectors, of which it says the widths alone."""
        scales = {name: (mean, deviation) for name, (mean, deviation) in said.get("scales", {}).items()}
        return cls(
            tuple(said["domains"]),
            dict(said["ids"]),
            tuple(said["numeric"]),
            dict(said.get("lists", {})),
            dict(said.get("shared", {})),
            scales,
            dict(vectors),
        )
