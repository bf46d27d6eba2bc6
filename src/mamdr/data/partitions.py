"""A table that is larger than memory, laid out on disk so that it can be read some domains at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from mamdr.data.building import Lengths, cut
from mamdr.data.coding import Values, groups, merged, values_of
from mamdr.data.interactions import concatenate, domain_names
from mamdr.errors import DataError

_HELD = 1 << 22  # values of a group that wait to be brought together


@dataclass
class Scan:
    """What is known of a table after its chunks were seen once, each of which lies in a file now.

    Args:
        place: the folder of these files.
        shared, max_length: as `build` takes them.
    """

    place: Path
    shared: Mapping[str, str]
    max_length: Lengths
    files: list[Path] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    by_group: dict[str, list[str]] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)

    def see(self, chunks: Iterable[pl.DataFrame]) -> Values:
        """Write each chunk to a file, and find the domains' rows and all values."""
        waiting: dict[str, list[pl.Series]] = {}
        for chunk in chunks:
            table, self.lengths = cut(chunk, self.max_length)
            self.columns = self.columns or table.columns
            if set(table.columns) != set(self.columns):
                raise DataError(
                    f"columns {', '.join(table.columns)} after {', '.join(self.columns)}",
                    "the same columns throughout",
                    "Add what is missing, or import the files apart",
                )
            table = table.select(self.columns)
            self.by_group = self.by_group or groups(table, self.shared)
            for name, count in table["domain"].value_counts().iter_rows():
                self.counts[name] = self.counts.get(name, 0) + count
            for group, own in values_of(table, self.by_group).items():
                held = waiting.setdefault(group, [])
                held.append(own)
                if sum(map(len, held)) > _HELD + 2 * len(held[0]):
                    waiting[group] = [merged(held)]
            self.files.append(self.place / f"chunk-{len(self.files):06d}.parquet")
            table.write_parquet(self.files[-1], compression="uncompressed", statistics=False)
        if not self.files:
            raise DataError("no rows", "at least one row", "Give a table with interactions")
        return {group: merged(held) for group, held in waiting.items()}

    @property
    def names(self) -> list[str]:
        """The domains, in order."""
        return domain_names(pl.DataFrame({"domain": list(self.counts)}))

    def bounds(self, rows: int) -> list[tuple[int, int]]:
        """Runs of domains that have at most so many rows together, and one domain at least."""
        bounds, first, held = [], 0, 0
        for number, name in enumerate(self.names):
            if number > first and held + self.counts[name] > rows:
                bounds.append((first, number))
                first, held = number, 0
            held += self.counts[name]
        return [*bounds, (first, len(self.counts))]

    def tables(self, bounds: list[tuple[int, int]]) -> Iterator[pl.DataFrame]:
        """The rows of each run of domains, in the order of the table. Cost: reading and writing the table once more."""
        places = {name: run for run, (first, last) in enumerate(bounds) for name in self.names[first:last]}
        runs = pl.DataFrame({"domain": list(places), "run": list(places.values())})
        files: list[list[Path]] = [[] for _ in bounds]
        for file in self.files:
            table = pl.read_parquet(file, memory_map=False).join(
                runs, on="domain", how="left", maintain_order="left"
            )
            parts = table.partition_by("run", maintain_order=True)
            for part in parts:
                run = int(part["run"][0])
                target = self.place / f"run-{run:06d}-{file.name}"
                if len(parts) == 1:
                    os.replace(file, target)
                else:
                    part.drop("run").write_parquet(target, compression="uncompressed", statistics=False)
                files[run].append(target)
            file.unlink(missing_ok=True)
        for own in files:
            yield concatenate(
                [pl.read_parquet(file, memory_map=False) for file in own], [file.name for file in own]
            )
            for file in own:
                file.unlink()
