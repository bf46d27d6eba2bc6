"""The whole state out of a cluster's checkpoint, in one memory: for evaluation, serving, and a single process."""

from __future__ import annotations

import torch

from mamdr.engine.ray import slices
from mamdr.engine.ray.buckets import Buckets
from mamdr.engine.ray.manifest import Manifest
from mamdr.engine.ray.shard import Job
from mamdr.parameters import LocalStore, Point, Space
from mamdr.strategies import State
from mamdr.training import checkpoint


def assembled(manifest: Manifest, space: Space) -> State:
    """A state as `training.checkpoint` has it.

    Raises:
        CheckpointError: a piece is absent or damaged, or of another module.

    Cost and memory: the whole state.
    """
    state, _ = checkpoint.load(manifest.state, space)
    one = Buckets(1, 1)
    _, dense, dense_moments = slices.load(manifest.folder, manifest.rows, Job(space, one, "dense"))
    ids, flat, moments = slices.load(manifest.folder, manifest.rows, Job(space, one, 0))
    sizes = [len(rows) * table.dim for rows, table in zip(ids, space.tables, strict=True)]
    tables = [
        values.reshape(-1, table.dim).clone()
        for values, table in zip(torch.split(flat, sizes), space.tables, strict=True)
    ]
    state.shared = LocalStore(space, dense.clone(), tables)
    for name, point in moments.points.items():
        whole = torch.cat([dense_moments.points[name].dense, point.flat])
        state.moments["outer"].points[name] = Point(space, point.ids, whole)
    for part in manifest.parts:
        state.specific.update(checkpoint.load(manifest.folder / part, space)[0].specific)
    state.specific = dict(sorted(state.specific.items()))
    return state
