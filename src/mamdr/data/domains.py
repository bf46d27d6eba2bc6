"""What training reads: each domain's rows together, in three splits, as int32 columns and float labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mamdr.data import storage
from mamdr.data.arrays import Array, as_columns, grouped, kinds
from mamdr.data.vocabulary import Vocabulary
from mamdr.errors import ConfigError

Batch = dict[str, torch.Tensor]
"""Column -> int64 [B] (ids) or float32 [B] (numeric features); always with "domain", int64 [B]."""

SPLITS = ("train", "val", "test")
_SPAN = (
    1 << 16
)  # rows gathered at once: their copies stay in the cache, and memory does not grow with the domain


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


class DomainData:
    """One split: the rows of a domain lie together, so a pass over a domain is one permutation and slices.

    Args:
        columns: name -> int32 [N] ids or float32 [N] numbers.
        labels: float32 [N], 0 or 1.
        offsets: int64 [D + 1]; domain d is rows offsets[d]:offsets[d + 1].

    >>> rows = DomainData({"item_id": torch.tensor([4, 2, 2], dtype=torch.int32)},
    ...                   torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0, 2, 3]))
    >>> len(rows), rows.size(0), rows.unique_ids(0, "item_id").tolist()
    (3, 2, [2, 4])
    >>> [(batch["item_id"].tolist(), labels.tolist()) for batch, labels in rows.batches([1], 8, None)]
    [([2], [1.0])]
    """

    def __init__(self, columns: dict[str, torch.Tensor], labels: torch.Tensor, offsets: torch.Tensor) -> None:
        self.columns, self.labels, self.offsets = columns, labels, offsets
        self._bounds: list[int] = offsets.tolist()
        self._unique: dict[tuple[int, str], torch.Tensor] = {}

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def size(self, domain: int) -> int:
        """Rows of a domain."""
        return self._bounds[domain + 1] - self._bounds[domain]

    def unique_ids(self, domain: int, column: str) -> torch.Tensor:
        """The ids of a column that a domain's rows hold, int64, sorted; kept after the first call."""
        key = (domain, column)
        if key not in self._unique:
            if column == "domain":
                ids = torch.tensor([domain] if self.size(domain) else [], dtype=torch.int64)
            else:
                values = self.columns[column][self._bounds[domain] : self._bounds[domain + 1]]
                ids = torch.unique(values, sorted=True).to(torch.int64)
            self._unique[key] = ids
        return self._unique[key]

    def batches(
        self, domains: Sequence[int], batch_size: int, generator: np.random.Generator | None
    ) -> Iterator[tuple[Batch, torch.Tensor]]:
        """One pass over the rows of these domains together, each row once.

        Args:
            domains: usually one.
            batch_size: rows of a batch, >= 1; the last one may be shorter.
            generator: draws the order (one number is taken from it); None keeps the stored order.

        Yields: batch and labels, float32 [B]. Cost: one permutation a pass, one gather a row and column, and
        10 to 20 µs a batch of 1024.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size {batch_size}", "1 or more", "Give a larger batch_size")
        names = [*self.columns, "domain"]
        span = max(1, _SPAN // batch_size) * batch_size
        for rows, domain in self._pass(domains, span, generator):
            parts = [part.unsafe_split(batch_size) for part in self._gather(rows, domain)]
            for *inputs, labels in zip(*parts, strict=True):
                yield dict(zip(names, inputs, strict=True)), labels

    def _pass(
        self, domains: Sequence[int], span: int, generator: np.random.Generator | None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The stored rows of a pass and their domains, `span` at a time."""
        chosen = torch.as_tensor(list(domains), dtype=torch.int64)
        sizes = self.offsets[chosen + 1] - self.offsets[chosen]
        total = int(sizes.sum())
        order = _permutation(total, generator)
        # A position of the pass belongs to domain number `owner`; `shift` leads from it to the stored row.
        shift = self.offsets[chosen] - (sizes.cumsum(0) - sizes)
        one = len(chosen) == 1
        owner = None if one else torch.repeat_interleave(torch.arange(len(chosen), dtype=torch.int32), sizes)
        for start in range(0, total, span):
            stop = min(start + span, total)
            picked = torch.arange(start, stop) if order is None else order[start:stop]
            if owner is None:
                yield picked + shift, chosen.repeat(stop - start)
            else:
                which = owner.index_select(0, picked)
                yield picked + shift.index_select(0, which), chosen.index_select(0, which)

    def _gather(self, rows: torch.Tensor, domain: torch.Tensor) -> list[torch.Tensor]:
        """The columns at these rows, then the domain and the labels, in the order a batch is made of."""
        gathered = [column.index_select(0, rows) for column in self.columns.values()]
        inputs = [column if column.is_floating_point() else column.to(torch.int64) for column in gathered]
        return [*inputs, domain, self.labels.index_select(0, rows)]


def _permutation(total: int, generator: np.random.Generator | None) -> torch.Tensor | None:
    """A random order of `total` positions, int32 where that is enough; None for the stored order."""
    if generator is None or not total:
        return None
    source = torch.Generator().manual_seed(int(generator.integers(1 << 63)))
    return torch.randperm(total, generator=source, dtype=torch.int32 if total < 1 << 31 else torch.int64)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Train, val and test of all domains, with what their ids mean.

    Args:
        vocabularies: id column -> raw values; may be empty for data made in memory.
        seed, options: what the data was made with, kept in the manifest.
        facts: name -> one value a domain (such as "users", "items", "ctr_ratio"), kept in the manifest.

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
