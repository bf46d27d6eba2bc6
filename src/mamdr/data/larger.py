"""Built data from a table that is larger than memory: to the bytes what `build` makes, some domains at a time.

Chunks of the table are seen once for its domains and values, and laid out on disk by runs of domains; each run becomes
a `Portion`, as the whole table does in memory; once all are known, their rows are appended to the folder's columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from mamdr.data import negatives, storage
from mamdr.data.appending import Column
from mamdr.data.arrays import Array, as_columns, fitting, grouped
from mamdr.data.building import LONGEST, Lengths, Ratio, by_groups, said
from mamdr.data.domains import SPLITS, Dataset, content_of, vocabulary_path
from mamdr.data.partitions import Scan
from mamdr.data.portion import Known, Plan, Portion, Progress, portion
from mamdr.data.ragged import Ragged
from mamdr.data.schema import Schema
from mamdr.data.vectors import Vectors
from mamdr.files import atomic_folder

LABELLED, POSITIVE = 250, 1000
"""Bytes of memory that a row takes while its portion is made: one with a label, and a positive with its negatives."""


def rows_in(memory: int, columns: Iterable[str]) -> int:
    """Rows of a portion that so many bytes are enough for, but for what grows with the number of values."""
    return max(1, memory // (LABELLED if "label" in columns else POSITIVE))


def build_larger(
    chunks: Iterable[pl.DataFrame],
    folder: Path,
    *,
    memory: int,
    name: str,
    seed: int = 1,
    ctr_ratio: Ratio = None,
    max_length: Lengths = LONGEST,
    shared: Mapping[str, str] | None = None,
    vectors: Mapping[str, Vectors] | None = None,
    normalise: bool = True,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Write a data folder, and open it.

    Args:
        chunks: of a canonical table, each small beside `memory`.
        folder: the data folder to make, whole or not at all.
        memory: bytes for the rows of domains that are taken together; a domain that needs more is taken alone, and a
            column's distinct values are held beside it.
        name, seed, ctr_ratio, max_length, shared, vectors, normalise, options, progress: as `build`.

    Cost: that of `build`, and the table twice to disk and back.
    """
    storage.refuse_existing(folder, overwrite=overwrite)
    with atomic_folder(folder, overwrite=overwrite) as made:
        place = made / ".spilled"
        place.mkdir()
        scan = Scan(place, shared or {}, max_length)
        values = scan.see(chunks)
        ratios = None if "label" in scan.columns else negatives.ratios(scan.names, ctr_ratio)
        plan = Plan(scan.names, scan.by_group, values, ratios, seed, False, normalise)
        known = Known(plan, by_groups(vectors or {}, scan.by_group))
        spilled = _Spilled(place)
        bounds = scan.bounds(rows_in(memory, scan.columns))
        for (first, last), table in zip(bounds, scan.tables(bounds), strict=True):
            part = portion(plan, table, first, last)
            known.see(part)
            spilled.put(part)
            if progress:
                progress("building", last, len(plan.names))
        _finish(made, spilled, known, scan.lengths, shared or {}, name, said(known, options))
        place.rmdir()
    return Dataset.load(folder)


@dataclass
class _Spilled:
    """Portions on disk, and how many rows and values they have in each split."""

    place: Path
    parts: list[tuple[int, list[str], list[str]]] = field(default_factory=list)
    sizes: dict[str, list[int]] = field(default_factory=lambda: {part: [] for part in SPLITS})
    positives: dict[str, list[int]] = field(default_factory=lambda: {part: [] for part in SPLITS})
    values: dict[tuple[str, str], int] = field(default_factory=dict)

    def put(self, part: Portion) -> None:
        arrays: dict[str, Array] = {"parts": part.parts}
        for name, cells in part.rows.items():
            if isinstance(cells, Ragged):
                arrays |= {f"values {name}": cells.values, f"starts {name}": cells.starts}
            else:
                arrays[f"cells {name}"] = cells
        np.savez(self._file(len(self.parts)), **arrays)  # type: ignore[arg-type]
        self.parts.append((part.domains, part.numeric, list(part.rows)))
        for number, split in enumerate(SPLITS):
            own = part.parts == number
            domain, label = part.rows["domain"][own], part.rows["label"][own]
            self.sizes[split] += np.bincount(domain, minlength=part.domains).tolist()
            self.positives[split] += np.bincount(domain[label == 1], minlength=part.domains).tolist()
            for name, cells in part.rows.items():
                if isinstance(cells, Ragged):
                    known = self.values.get((split, name), 0)
                    self.values[split, name] = known + int(cells.lengths[own].sum())

    def get(self, number: int) -> Portion:
        domains, numeric, names = self.parts[number]
        with np.load(self._file(number)) as arrays:
            rows = {
                name: arrays[f"cells {name}"]
                if f"cells {name}" in arrays
                else Ragged(arrays[f"values {name}"], arrays[f"starts {name}"])
                for name in names
            }
            return Portion(rows, arrays["parts"], {}, numeric, domains)

    def drop(self, number: int) -> None:
        self._file(number).unlink()

    def _file(self, number: int) -> Path:
        return self.place / f"portion-{number:06d}.npz"


def _finish(
    made: Path,
    spilled: _Spilled,
    known: Known,
    lengths: Mapping[str, int],
    shared: Mapping[str, str],
    name: str,
    options: dict[str, Any],
) -> None:
    """Write vocabularies, vectors, columns and the manifest."""
    numbers = range(len(spilled.parts))
    if known.plan.normalise and spilled.parts[0][1]:
        for number in numbers:
            known.look_again(spilled.get(number))
    words, ids = known.vocabularies()
    sizes = {
        member: words[group].size for group, members in known.plan.by_group.items() for member in members
    }
    columns = [column for column in spilled.parts[0][2] if column not in ("domain", "label")]
    sizes = {column: sizes[column] for column in columns if column in sizes}
    numeric = tuple(column for column in columns if column not in sizes)
    rows = {group: own.rows(words[group]) for group, own in known.vectors.items()}
    elsewhere = fitting(rows, sizes, shared)
    tensors = {column: torch.from_numpy(own) for column, own in elsewhere.items()}
    schema = Schema(
        tuple(known.plan.names),
        sizes,
        numeric,
        dict(lengths),
        dict(shared),
        known.scales,
        tensors,
    )
    arrays = {storage.column_path("vectors", column): vectors for column, vectors in elsewhere.items()}
    blobs = {vocabulary_path(group): own.to_bytes() for group, own in words.items()}
    storage.put(made, arrays, blobs)
    files = storage.entries(arrays, blobs)
    with ExitStack() as stack:
        writer = _Writer(made, spilled, [*sizes, *numeric], lengths, stack)
        for number in numbers:
            part = spilled.get(number)
            writer.append(known.finished(part, ids), part)
            spilled.drop(number)
        files |= writer.entries()
    statistics = {
        part: {"rows": spilled.sizes[part], "positives": spilled.positives[part]} for part in SPLITS
    }
    content = content_of(name, known.plan.seed, options, schema, statistics, known.facts, files)
    storage.seal(made, content)


class _Writer:
    """Appends portions to the columns of all splits."""

    def __init__(
        self, made: Path, spilled: _Spilled, names: list[str], lists: Mapping[str, int], stack: ExitStack
    ) -> None:
        self.names, self.lists, self.columns = names, lists, dict[str, Column]()
        self.starts: dict[str, int] = {}
        self._made, self._stack = made, stack
        for part in SPLITS:
            count = sum(spilled.sizes[part])
            for column in names:
                if column in lists:
                    starts = storage.starts_path(part, column)
                    self._open(starts, np.int64, count + 1).add(np.zeros(1, np.int64))
                    self.starts[starts] = 0
                rows = spilled.values.get((part, column), 0) if column in lists else count
                kind = np.int32 if column in lists or column not in spilled.parts[0][1] else np.float32
                self._open(storage.column_path(part, column), kind, rows)
            self._open(storage.column_path(part, "label"), np.float32, count)
            offsets = np.concatenate([[0], np.cumsum(spilled.sizes[part])])
            self._open(storage.column_path(part, "offsets"), np.int64, len(offsets)).add(offsets)

    def append(self, rows: Mapping[str, Any], portion: Portion) -> None:
        for number, part in enumerate(SPLITS):
            own = {column: cells[portion.parts == number] for column, cells in rows.items()}
            columns, labels, _ = grouped(as_columns(part, {part: own}, portion.domains), portion.domains)
            for column, cells in columns.items():
                path = storage.column_path(part, column)
                if isinstance(cells, Ragged):
                    starts = storage.starts_path(part, column)
                    self.columns[starts].add(self.starts[starts] + cells.starts[1:])
                    self.starts[starts] += int(cells.starts[-1])
                    cells = cells.values
                self.columns[path].add(cells)
            self.columns[storage.column_path(part, "label")].add(labels)

    def entries(self) -> dict[str, dict[str, Any]]:
        """What the manifest says of the files."""
        return {path: column.entry() for path, column in self.columns.items()}

    def _open(self, path: str, kind: type[np.generic], count: int) -> Column:
        self.columns[path] = self._stack.enter_context(Column(self._made / path, kind, count))
        return self.columns[path]
