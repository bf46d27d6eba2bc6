"""What training reads: each domain's rows together, in three splits, as int32 columns and float labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mamdr.data import storage
from mamdr.data.arrays import Array, as_columns, grouped, kinds
from mamdr.data.rows import Batch, DomainData
from mamdr.data.vocabulary import Vocabulary
from mamdr.errors import ConfigError

__all__ = ["SPLITS", "Batch", "Dataset", "DomainData", "Schema"]

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Schema:
    """What a model must know of the data to be built.

    Args:
        domains: the domains' names; the position is the domain's id.
        ids: id column -> number of ids (rows an embedding needs); ids are in [0, number).
        numeric: columns of numbers. A batch has "domain" besides, with ids in [0, len(domains)).
    """

    domains: tuple[str, ...]
    ids: dict[str, int]
    numeric: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Train, val and test of all domains, with what their ids mean.

    Args:
        vocabularies: id column -> raw values; may be empty for data made in memory.
        seed, options: what the data was made with, kept in the manifest.
        facts: name -> one value a domain (such as "users", "items", "ctr_ratio"), kept in the manifest.
        folder: where the data were loaded from; None for data made in memory. No part of the manifest.

    >>> rows = {"user_id": np.array([1, 2]), "item_id": np.array([3, 3]), "domain": np.array([1, 0]),
    ...         "label": np.array([1, 0])}
    >>> data = Dataset.from_arrays("tiny", ["a", "b"], {"train": rows, "val": rows, "test": rows})
    >>> data.schema.ids, data.train.size(1)
    ({'user_id': 3, 'item_id': 4}, 1)
    """

    name: str
    schema: Schema
    train: DomainData
    val: DomainData
    test: DomainData
    vocabularies: dict[str, Vocabulary] = field(default_factory=dict)
    seed: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, list[Any]] = field(default_factory=dict)
    folder: Path | None = None

    def split(self, name: str) -> DomainData:
        """A split by its name."""
        if name not in SPLITS:
            raise ConfigError(f"no split is named {name!r}", "train, val or test", "Choose one of them")
        part: DomainData = getattr(self, name)
        return part

    @cached_property
    def manifest(self) -> storage.Content:
        """What manifest.json holds: schema, options, statistics, and the size and hash of every file."""
        return {
            "format": storage.FORMAT,
            "version": storage.VERSION,
            "name": self.name,
            "seed": self.seed,
            "options": self.options,
            "schema": {
                "domains": list(self.schema.domains),
                "ids": [[column, count] for column, count in self.schema.ids.items()],
                "numeric": list(self.schema.numeric),
            },
            "statistics": {name: _statistics(self.split(name)) for name in SPLITS},
            "facts": self.facts,
            "files": storage.entries(self._arrays(), self._blobs()),
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest's content; equal for equal data, saved or not."""
        return storage.digest(self.manifest)

    def _arrays(self) -> dict[str, Array]:
        arrays: dict[str, Array] = {}
        for name in SPLITS:
            part = self.split(name)
            for column, values in {**part.columns, "label": part.labels, "offsets": part.offsets}.items():
                arrays[storage.column_path(name, column)] = values.numpy()
        return arrays

    def _blobs(self) -> dict[str, bytes]:
        return {_vocabulary_path(name): words.to_bytes() for name, words in self.vocabularies.items()}

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the data as a folder, whole or not at all; the same data gives the same bytes."""
        storage.write(Path(folder), self.manifest, self._arrays(), self._blobs(), overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> Dataset:
        """Open a built folder, memory-mapped. Cost: a few file opens, whatever the size of the data.

        Raises: DataError for a folder that is absent, damaged, half-written or of another format.
        """
        folder = Path(folder)
        content = storage.read_manifest(folder)
        said = content["schema"]
        schema = Schema(tuple(said["domains"]), dict(said["ids"]), tuple(said["numeric"]))
        parts = {name: _read_split(folder, name, schema, content["statistics"][name]) for name in SPLITS}
        words = {name: folder / _vocabulary_path(name) for name in schema.ids}
        data = cls(
            content["name"],
            schema,
            parts["train"],
            parts["val"],
            parts["test"],
            vocabularies={name: Vocabulary.load(path) for name, path in words.items() if path.is_file()},
            seed=content["seed"],
            options=content["options"],
            facts=content["facts"],
            folder=folder.resolve(),
        )
        data.__dict__["manifest"] = content  # the cached property: what was written, without hashing again
        return data

    @classmethod
    def from_arrays(
        cls,
        name: str,
        domains: Sequence[str],
        splits: Mapping[str, Mapping[str, Array]],
        ids: Mapping[str, int] | None = None,
        **details: Any,
    ) -> Dataset:
        """Data from arrays in memory, with ids that are integers already.

        Args:
            splits: "train", "val", "test" -> {"user_id", "item_id", "domain", "label", features}, each [N].
                Rows may come in any order; they are grouped by domain, stably. Columns of integers are ids,
                columns of floats are numeric.
            ids: id column -> number of ids; by default the largest id found, plus one.
            details: vocabularies, seed, options, facts as in the class.

        Raises: DataError for absent columns, lengths that differ, ids out of range, labels not 0 or 1, NaN.
        """
        columns = {part: as_columns(part, splits, len(domains)) for part in SPLITS}
        sizes, numeric = kinds(columns, ids or {})
        order = [*sizes, *numeric, "domain", "label"]  # as a loaded folder has them
        parts = {
            part: _group({name: cells[name] for name in order}, len(domains))
            for part, cells in columns.items()
        }
        schema = Schema(tuple(domains), sizes, numeric)
        return cls(name, schema, parts["train"], parts["val"], parts["test"], **details)


def _group(values: Mapping[str, Array], domains: int) -> DomainData:
    columns, labels, offsets = grouped(values, domains)
    tensors = {name: torch.from_numpy(column) for name, column in columns.items()}
    return DomainData(tensors, torch.from_numpy(labels), torch.from_numpy(offsets))


def _vocabulary_path(column: str) -> str:
    return storage.column_path("vocabulary", column).removesuffix(".npy") + ".parquet"


def _statistics(part: DomainData) -> dict[str, list[int]]:
    """Rows and positives of each domain."""
    sums = np.concatenate([[0], np.cumsum(part.labels.numpy(), dtype=np.int64)])
    offsets = part.offsets.numpy()
    return {"rows": np.diff(offsets).tolist(), "positives": np.diff(sums[offsets]).tolist()}


def _read_split(folder: Path, name: str, schema: Schema, statistics: Mapping[str, list[int]]) -> DomainData:
    rows = sum(statistics["rows"])

    def read(column: str, dtype: type[np.generic], count: int = rows) -> torch.Tensor:
        return torch.from_numpy(storage.read_array(folder, storage.column_path(name, column), dtype, count))

    columns = {column: read(column, np.int32) for column in schema.ids}
    columns |= {column: read(column, np.float32) for column in schema.numeric}
    offsets = read("offsets", np.int64, len(schema.domains) + 1)
    return DomainData(columns, read("label", np.float32), offsets)
