"""Outcomes of walks on their way from a worker process to its parent."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from mamdr.errors import MamdrError
from mamdr.parameters import Ids, Moments, Point, Space
from mamdr.strategies.protocol import Memory, Outcome

_PIPE = 1 << 20
"""Bytes that a worker's pipe holds: what Linux grants to everyone."""


def widen(pipe: Connection) -> None:
    """Room for an outcome, where the system can give it: a worker goes on before the parent has read."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):  # beyond what a user may have
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)


@dataclass
class _Header:
    """What travels before an outcome's values: those of its displacement, then of each of its moments."""

    index: int
    ids: Ids
    loss: float
    samples: int
    steps: int
    step: int
    moments: dict[str, Ids] | None
    buffers: dict[str, torch.Tensor]
    memory: Memory


def send(pipe: Connection, index: int, outcome: Outcome) -> None:
    """The outcome of the walk or chain of this number. Cost: no copy of its values."""
    moments = outcome.moments
    head = _Header(
        index,
        outcome.displacement.ids,
        outcome.loss,
        outcome.samples,
        outcome.steps,
        moments.step if moments else 0,
        {name: point.ids for name, point in moments.points.items()} if moments else None,
        outcome.buffers,
        outcome.memory,
    )
    pipe.send_bytes(pickle.dumps(head))
    for point in (outcome.displacement, *(moments.points.values() if moments else ())):
        values = point.flat.numpy().data.cast("B")
        while values:
            values = values[os.write(pipe.fileno(), values) :]


def tell(pipe: Connection, index: int | None, error: MamdrError) -> None:
    """What went wrong with the walk or chain of this number; None for whatever the worker was at."""
    pipe.send_bytes(pickle.dumps((index, error)))


def receive(pipe: Connection, spaces: Mapping[int, Space]) -> tuple[int | None, Outcome | MamdrError]:
    """The number of a walk or chain, and its outcome or what went wrong.

    Args:
        spaces: by number, of the store that is walked from.

    Raises:
        EOFError: nothing comes any more.
    """
    head = pickle.loads(pipe.recv_bytes())
    if not isinstance(head, _Header):
        index, error = head
        return index, error
    space = spaces[head.index]
    displacement, moments = _point(pipe, space, head.ids), None
    if head.moments is not None:
        moments = Moments(head.step, {name: _point(pipe, space, ids) for name, ids in head.moments.items()})
    told = (head.loss, head.samples, head.steps, moments, head.buffers, head.memory)
    return head.index, Outcome(displacement, *told)


def _point(pipe: Connection, space: Space, ids: Ids) -> Point:
    flat = torch.empty(space.size(ids), dtype=space.dtype)
    values = flat.numpy().data.cast("B")
    while values:  # straight into the tensor: a connection's own way has two copies more
        count = os.readv(pipe.fileno(), [values])
        if not count:
            raise EOFError
        values = values[count:]
    return Point(space, ids, flat)
