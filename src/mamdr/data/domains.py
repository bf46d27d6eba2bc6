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
from mamdr.data.arrays import Array, alike, as_columns, fitting, grouped, kinds, longest
from mamdr.data.ragged import Column, Ragged
from mamdr.data.rows import Batch, DomainData
from mamdr.data.schema import Schema
from mamdr.data.vocabulary import Vocabulary
from mamdr.errors import ConfigError

__all__ = ["SPLITS", "Batch", "Dataset", "DomainData", "Ragged", "Schema"]

SPLITS = ("train", "val", "test")


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
        return content_of(
            self.name,
            self.seed,
            self.options,
            self.schema,
            {name: _statistics(self.split(name)) for name in SPLITS},
            self.facts,
            storage.entries(self._arrays(), self._blobs()),
        )

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
            for column, lists in part.lists.items():
                arrays[storage.column_path(name, column)] = lists.values
                arrays[storage.starts_path(name, column)] = lists.starts
        for column, rows in self.schema.vectors.items():
            arrays[storage.column_path("vectors", column)] = rows.numpy()
        return arrays

    def _blobs(self) -> dict[str, bytes]:
        shared = self.schema.shared
        own = {shared.get(name, name): words for name, words in self.vocabularies.items()}
        return {vocabulary_path(name): words.to_bytes() for name, words in own.items()}

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
        schema = Schema.from_json(content["schema"], _read_vectors(folder, content["schema"]))
        parts = {name: _read_split(folder, name, schema, content["statistics"][name]) for name in SPLITS}
        paths = {name: folder / vocabulary_path(name) for name in schema.ids if name not in schema.shared}
        words = {name: Vocabulary.load(path) for name, path in paths.items() if path.is_file()}
        owners = {name: schema.shared.get(name, name) for name in schema.ids}
        data = cls(
            content["name"],
            schema,
            parts["train"],
            parts["val"],
            parts["test"],
            vocabularies={name: words[owner] for name, owner in owners.items() if owner in words},
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
        splits: Mapping[str, Mapping[str, Column]],
        ids: Mapping[str, int] | None = None,
        lists: Mapping[str, int] | None = None,
        shared: Mapping[str, str] | None = None,
        scales: Mapping[str, tuple[float, float]] | None = None,
        vectors: Mapping[str, Array] | None = None,
        **details: Any,
    ) -> Dataset:
        """Data from arrays in memory, with ids that are integers already.

        Args:
            splits: "train", "val", "test" -> {"user_id", "item_id", "domain", "label", features}, each [N].
                Rows may come in any order; they are grouped by domain, stably. Columns of integers are ids,
                columns of floats are numeric, a `Ragged` is a column of lists of ids (id 0 is their padding).
            ids: id column -> number of ids; by default the largest id found, plus one.
            lists: column of lists -> the most ids of a row; by default the longest list's.
            shared: id column -> the id column whose ids and embeddings it has as well.
            scales: numeric column -> the mean and the deviation that were taken out of it.
            vectors: id column -> float [number of ids, width], made elsewhere.
            details: vocabularies, seed, options, facts as in the class.

        Raises: DataError for absent columns, lengths that differ, ids out of range, lists too long, vectors
            that are not one for each id, labels not 0 or 1, NaN.
        """
        columns = {part: as_columns(part, splits, len(domains)) for part in SPLITS}
        shared = dict(shared or {})
        sizes, numeric = kinds(columns, ids or {})
        sizes = alike(sizes, shared)
        schema = Schema(
            tuple(domains),
            sizes,
            numeric,
            longest(columns, lists or {}),
            shared,
            dict(scales or {}),
            {name: torch.from_numpy(rows) for name, rows in fitting(vectors or {}, sizes, shared).items()},
        )
        order = [*sizes, *numeric, "domain", "label"]  # as a loaded folder has them
        parts = {
            part: _group({name: cells[name] for name in order}, len(domains))
            for part, cells in columns.items()
        }
        return cls(name, schema, parts["train"], parts["val"], parts["test"], **details)


def content_of(
    name: str,
    seed: int | None,
    options: dict[str, Any],
    schema: Schema,
    statistics: dict[str, dict[str, list[int]]],
    facts: dict[str, list[Any]],
    files: dict[str, dict[str, Any]],
) -> storage.Content:
    """What manifest.json holds."""
    return {
        "format": storage.FORMAT,
        "version": storage.VERSION,
        "name": name,
        "seed": seed,
        "options": options,
        "schema": schema.to_json(),
        "statistics": statistics,
        "facts": facts,
        "files": files,
    }


def _group(values: Mapping[str, Column], domains: int) -> DomainData:
    columns, labels, offsets = grouped(values, domains)
    lists = {name: column for name, column in columns.items() if isinstance(column, Ragged)}
    tensors = {
        name: torch.from_numpy(column) for name, column in columns.items() if not isinstance(column, Ragged)
    }
    return DomainData(tensors, torch.from_numpy(labels), torch.from_numpy(offsets), lists)


def vocabulary_path(column: str) -> str:
    """Where a column's vocabulary lies inside the folder."""
    return storage.column_path("vocabulary", column).removesuffix(".npy") + ".parquet"


def _statistics(part: DomainData) -> dict[str, list[int]]:
    """Rows and positives of each domain."""
    sums = np.concatenate([[0], np.cumsum(part.labels.numpy(), dtype=np.int64)])
    offsets = part.offsets.numpy()
    return {"rows": np.diff(offsets).tolist(), "positives": np.diff(sums[offsets]).tolist()}


def _read_vectors(folder: Path, said: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    sizes = dict(said["ids"])
    return {
        name: torch.from_numpy(
            storage.read_array(folder, storage.column_path("vectors", name), np.float32, sizes[name], width)
        )
        for name, width in said.get("vectors", {}).items()
    }


def _read_split(folder: Path, name: str, schema: Schema, statistics: Mapping[str, list[int]]) -> DomainData:
    rows = sum(statistics["rows"])

    def read(path: str, dtype: type[np.generic], count: int = rows) -> Array:
        return storage.read_array(folder, path, dtype, count)

    def column(column: str, dtype: type[np.generic]) -> torch.Tensor:
        return torch.from_numpy(read(storage.column_path(name, column), dtype))

    lists = {}
    for listed in schema.lists:
        starts = read(storage.starts_path(name, listed), np.int64, rows + 1)
        values = read(storage.column_path(name, listed), np.int32, int(starts[-1]))
        lists[listed] = Ragged(values, starts)
    columns = {plain: column(plain, np.int32) for plain in schema.ids if plain not in lists}
    columns |= {number: column(number, np.float32) for number in schema.numeric}
    offsets = read(storage.column_path(name, "offsets"), np.int64, len(schema.domains) + 1)
    return DomainData(columns, column("label", np.float32), torch.from_numpy(offsets), lists)
