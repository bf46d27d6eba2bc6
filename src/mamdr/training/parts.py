"""Specific parts in a checkpoint: as tensors where they are in memory, as the shelf's own files where they are on one.

A shelf's sealed files never change, so a checkpoint that shares a file with the run, or with the checkpoint before,
costs no bytes for it: it has one more name.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mamdr.parameters import Point, Space
from mamdr.training.segments import Segment
from mamdr.training.shelf import Place, Shelf

Parts = MutableMapping[int, Point]
Files = list[list[Any]]
"""Name, bytes and SHA-256 of each file of a shelf."""


def points_out(prefix: str, points: list[Point], space: Space) -> dict[str, Tensor]:
    """Points one after another, in one tensor of values and two for the ids of each table."""
    out = {
        f"{prefix}/flat": torch.cat([p.flat for p in points]) if points else torch.empty(0, dtype=space.dtype)
    }
    for t, table in enumerate(space.tables):
        ids = [p.ids[t] for p in points]
        out[f"{prefix}/ids/{table.name}"] = torch.cat(ids) if ids else torch.empty(0, dtype=torch.int64)
        out[f"{prefix}/count/{table.name}"] = torch.tensor([len(i) for i in ids], dtype=torch.int64)
    out[f"{prefix}/points"] = torch.tensor(len(points))
    return out


def points_in(prefix: str, tensors: Mapping[str, Tensor], space: Space) -> list[Point]:
    """What `points_out` put out."""
    number = int(tensors[f"{prefix}/points"])
    split = [
        torch.split(tensors[f"{prefix}/ids/{t.name}"].cpu(), tensors[f"{prefix}/count/{t.name}"].tolist())
        for t in space.tables
    ]
    flat, points, start = tensors[f"{prefix}/flat"], [], 0
    for index in range(number):
        ids = tuple(parts[index] for parts in split)
        size = space.size(ids)
        points.append(Point(space, ids, flat[start : start + size].clone()))
        start += size
    return points


def shelf_out(prefix: str, shelf: Shelf, folder: Path) -> tuple[dict[str, Tensor], Files]:
    """Put a shelf's files into a checkpoint's folder; where each domain's point lies in them, and what they are.

    Cost: the points that wait, once to disk.
    """
    places = dict(sorted(shelf.seal().items()))
    numbers: dict[Segment, int] = {}
    for place in places.values():
        numbers.setdefault(place.segment, len(numbers))
    files: Files = []
    if numbers:
        (folder / prefix).mkdir()
    for segment, number in numbers.items():
        name = f"{prefix}/{number:05d}"
        segment.give(folder / name)
        files.append([name, segment.size, segment.sha256])
    rows = [[domain, numbers[p.segment], p.begin, p.size] for domain, p in places.items()]
    return {f"{prefix}/places": torch.tensor(rows, dtype=torch.int64).view(-1, 4)}, files


def shelf_in(
    prefix: str, tensors: Mapping[str, Tensor], files: Files, folder: Path, shelf: Shelf
) -> str | None:
    """Fill a shelf from a checkpoint's files, unless one is not as it was saved: then its name is returned.

    Cost: reading the files once, for their hashes.

    Raises: OSError.
    """
    segments = []
    for name, size, sha256 in files:
        segment = Segment.open(folder / name)
        if (segment.size, segment.sha256) != (size, sha256):
            return str(name)
        segments.append(segment)
    rows = tensors[f"{prefix}/places"].cpu().tolist()
    shelf.place({domain: Place(segments[number], begin, size) for domain, number, begin, size in rows})
    return None
