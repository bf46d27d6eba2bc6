"""What a version's folder holds of a state, as arrays that can be memory-mapped.

dense.npy                the shared dense values [P]
table-T.npy              a table's shared rows [R, d], by its place in the space
beyond-T.npy             the row [d] of ids that the table does not have
buffer-N.npy             a buffer of the module, by its place in `manifest.buffers`
KIND/domains.npy         int64 [n]; KIND is "specific" (θ_i), "tuned" (δ_i), "chosen" (a round of its own) or, where
                         several rounds serve a domain, "further" (the others, by `seat`)
KIND/flat.npy            all parts' values, KIND/starts.npy int64 [n + 1] where each begins
KIND/ids-T.npy           all parts' row ids in a table, KIND/counts-T.npy int64 [n] how many each has
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mamdr.data.storage import Array
from mamdr.data.vocabulary import UNKNOWN
from mamdr.errors import CheckpointError
from mamdr.parameters import Point, Space
from mamdr.parameters.space import Dense, Table
from mamdr.registry.store import Parts
from mamdr.strategies import State

KINDS = ("specific", "tuned", "chosen", "further")
_WHOLE = ("chosen", "further")


def space_of_kind(kind: str, space: Space) -> Space:
    """The space of a kind's points: those of rounds of a domain's own are of the module's, not of parts."""
    return space if kind in _WHOLE else space.part


def describe(space: Space) -> dict[str, Any]:
    """A space as JSON."""
    return {
        "dense": [[part.name, list(part.shape)] for part in space.dense],
        "tables": [
            [t.name, t.rows, t.dim, list(t.owners), None if t.columns is None else list(t.columns)]
            for t in space.tables
        ],
        "specific": sorted(space.specific),
        "rank": space.rank,
        "dtype": str(space.dtype).removeprefix("torch."),
    }


def space_of(said: Mapping[str, Any]) -> Space:
    """What `describe` told, on the CPU."""
    dense: list[Dense] = []
    for name, shape in said["dense"]:
        dense.append(Dense(name, torch.Size(shape), dense[-1].offset + dense[-1].size if dense else 0))
    tables = tuple(
        Table(name, rows, dim, tuple(owners), None if columns is None else tuple(columns))
        for name, rows, dim, owners, columns in said["tables"]
    )
    dtype: torch.dtype = getattr(torch, said["dtype"])
    return Space(tuple(dense), tables, dtype, torch.device("cpu"), frozenset(said["specific"]), said["rank"])


def rows_alone(space: Space) -> Space:
    """The same tables without the dense part: what is pulled of it is rows and nothing else."""
    return replace(space, dense=())


def by_domain(table: Table) -> bool:
    """Whether a table has a row for each domain."""
    return table.columns == ("domain",)


def write_state(folder: Path, state: State) -> list[str]:
    """Write a state's parameters into a folder; names of its buffers, in the order of their files."""
    _save(folder / "dense.npy", state.shared.dense)
    for t, (table, rows) in enumerate(zip(state.space.tables, state.shared.tables, strict=True)):
        _save(folder / f"table-{t}.npy", rows)
        _save(folder / f"beyond-{t}.npy", _beyond(table, rows))
    for kind in KINDS:
        if kind != "further" or state.further:
            write_parts(folder / kind, getattr(state, kind), space_of_kind(kind, state.space))
    names = sorted(state.buffers)
    for number, name in enumerate(names):
        _save(folder / f"buffer-{number}.npy", state.buffers[name])
    return names


def write_parts(folder: Path, parts: Mapping[int, Point], space: Space) -> None:
    """Write parts by domain. Cost: their bytes; no second copy of them all in memory."""
    folder.mkdir()
    domains = sorted(parts)
    sizes = [parts[domain].flat.numel() for domain in domains]
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
    np.save(folder / "domains.npy", np.array(domains, dtype=np.int64))
    np.save(folder / "starts.npy", starts)
    kind = torch.empty(0, dtype=space.dtype).numpy().dtype
    if starts[-1]:
        flat = np.lib.format.open_memmap(folder / "flat.npy", mode="w+", dtype=kind, shape=(int(starts[-1]),))
        for place, domain in enumerate(domains):
            flat[starts[place] : starts[place + 1]] = parts[domain].flat.detach().cpu().numpy()
        flat.flush()
    else:
        np.save(folder / "flat.npy", np.empty(0, dtype=kind))
    for t in range(len(space.tables)):
        ids = [parts[domain].ids[t].numpy() for domain in domains]
        np.save(folder / f"ids-{t}.npy", np.concatenate([np.empty(0, np.int64), *ids]))
        np.save(folder / f"counts-{t}.npy", np.array([len(i) for i in ids], dtype=np.int64))


def read_parts(folder: Path, space: Space) -> tuple[Parts, Parts]:
    """The parts in a folder, memory-mapped: whole, and of each its rows alone.

    Args:
        folder: may be absent, where there are none.
        space: the parts'.
    """
    if not folder.exists():
        none = Parts(space, {}, torch.empty(0, dtype=space.dtype), [0], [], [])
        return none, replace(none, space=rows_alone(space))
    places = {int(domain): place for place, domain in enumerate(load_array(folder / "domains.npy"))}
    flat = torch.from_numpy(load_array(folder / "flat.npy"))
    starts: list[int] = load_array(folder / "starts.npy").tolist()
    tables = range(len(space.tables))
    ids = [torch.from_numpy(load_array(folder / f"ids-{t}.npy")) for t in tables]
    counts = [load_array(folder / f"counts-{t}.npy") for t in tables]
    id_starts = [np.concatenate([[0], np.cumsum(count)]).tolist() for count in counts]
    whole = Parts(space, places, flat, starts, ids, id_starts)
    return whole, replace(whole, space=rows_alone(space), skip=space.dense_size)


def load_array(path: Path) -> Array:
    """An array, memory-mapped where it has values (writes would stay private)."""
    try:
        size = path.stat().st_size
        array: Array = np.load(path, mmap_mode="c" if size > 256 else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error})", "the file as it was published", "Publish the run again"
        ) from error
    return array


def grown_buffer(saved: Tensor, like: Tensor) -> Tensor:
    """A buffer for one domain more than it was saved for: where it has a row a domain, a new domain has their mean."""
    if saved.shape == like.shape:
        return saved
    mean = saved.double().mean(0, keepdim=True).to(saved.dtype)
    return torch.cat([saved, mean])


def _beyond(table: Table, rows: Tensor) -> Tensor:
    """The row of ids past a table's end: of a new domain the mean of all domains', else that of unknown values."""
    if by_domain(table):
        return rows.double().mean(0).to(rows.dtype)
    return rows[min(UNKNOWN, len(rows) - 1)].clone()


def _save(path: Path, values: Tensor) -> None:
    np.save(path, values.detach().cpu().contiguous().numpy(), allow_pickle=False)
