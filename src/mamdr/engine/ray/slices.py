"""A shard's share on disk, and how shards of any number read what shards of another number wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mamdr.errors import CheckpointError
from mamdr.files import atomic_file
from mamdr.parameters import Ids, Moments, Point

if TYPE_CHECKING:
    from mamdr.engine.ray.shard import Job

_STEP = "step"


def save(
    folder: Path, name: str, ids: Sequence[Tensor], dense: Tensor, tables: Sequence[Tensor], moments: Moments
) -> dict[str, Any]:
    """Write a share; its file's name, bytes and rows.

    Args:
        folder, name: where to.
        ids: of the rows of each table, sorted.
        dense, tables: the values.
        moments: by place among these rows.

    Raises:
        DataError: the disk is full or cannot be written; nothing half-written is left.
    """
    tensors = {"dense": dense}
    for t, (rows, values) in enumerate(zip(ids, tables, strict=True)):
        tensors |= {f"ids/{t}": rows, f"values/{t}": values}
    for purpose, point in moments.points.items():
        tensors[f"moment/{purpose}"] = point.dense
        for t, rows in enumerate(ids):
            tensors[f"moment/{purpose}/ids/{t}"] = rows[point.ids[t]]
            tensors[f"moment/{purpose}/values/{t}"] = point.rows(t)
    path = folder / name
    with atomic_file(path) as part:
        try:
            apart = {key: value.clone() for key, value in tensors.items()}  # views of one memory are refused
            save_file(apart, part, {_STEP: str(moments.step)})
        except SafetensorError as error:  # how safetensors says that the disk is full
            raise OSError(str(error)) from error
    return {"name": name, "bytes": path.stat().st_size, "rows": sum(map(len, ids))}


def load(folder: Path, files: Sequence[str], job: Job) -> tuple[list[Tensor], Tensor, Moments]:
    """A share out of the files of a checkpoint: ids, flat values and moments (by place among these ids).

    Raises:
        CheckpointError: a file is absent or damaged.
    """
    share = job.share
    found: dict[str, list[Tensor]] = {}
    steps = [0]
    for name in files:
        try:
            with safe_open(folder / name, "pt") as file:
                steps.append(int((file.metadata() or {}).get(_STEP, 0)))
                for key, value in _wanted(file, job).items():
                    found.setdefault(key, []).append(value)
        except (OSError, SafetensorError, ValueError) as error:
            raise CheckpointError(
                f"{folder / name} cannot be read ({error})",
                "a file of a cluster's checkpoint, on a disk that every machine sees",
                "Restore it, or check that --out is a shared folder",
            ) from error
    whole = {key: torch.cat(parts) for key, parts in found.items()}
    ids, values = _table_rows(whole, "", job)
    flat = torch.cat(
        [whole.get("dense", torch.empty(0, dtype=share.dtype)), *(v.reshape(-1) for v in values)]
    )
    moments = Moments(max(steps))
    for purpose in sorted({key.split("/")[1] for key in whole if key.startswith("moment/")}):
        rows, kept = _table_rows(whole, f"moment/{purpose}/", job)
        places: Ids = tuple(torch.searchsorted(own, r) for own, r in zip(ids, rows, strict=True))
        dense = whole.get(f"moment/{purpose}", torch.empty(0, dtype=share.dtype))
        moments.points[purpose] = Point(share, places, torch.cat([dense, *(v.reshape(-1) for v in kept)]))
    return ids, flat, moments


def _wanted(file: Any, job: Job) -> dict[str, Tensor]:
    """What of a file belongs to a share."""
    taken: dict[str, Tensor] = {}
    keys = set(file.keys())
    for key in sorted(keys):
        head, _, last = key.rpartition("/")
        if job.index == "dense":
            if key == "dense" or (key.startswith("moment/") and key.count("/") == 1):
                taken[key] = file.get_tensor(key)
        elif head.endswith("ids"):
            ids = file.get_tensor(key)
            mine = job.buckets.shard_of(int(last), ids) == job.index
            if bool(mine.any()):
                values = file.get_tensor(f"{head.removesuffix('ids')}values/{last}")
                whole = bool(mine.all())
                taken[key] = ids if whole else ids[mine]
                taken[f"{head.removesuffix('ids')}values/{last}"] = values if whole else values[mine]
    return taken


def _table_rows(whole: dict[str, Tensor], prefix: str, job: Job) -> tuple[list[Tensor], list[Tensor]]:
    """Sorted ids and their values, table by table."""
    ids, values = [], []
    for t, table in enumerate(job.share.tables):
        rows = whole.get(f"{prefix}ids/{t}", torch.empty(0, dtype=torch.int64))
        kept = whole.get(f"{prefix}values/{t}", torch.empty(0, table.dim, dtype=job.space.dtype))
        if len(rows) > 1 and bool((rows[1:] < rows[:-1]).any()):
            rows, order = torch.sort(rows)
            kept = kept[order]
        ids.append(rows)
        values.append(kept)
    return ids, values
