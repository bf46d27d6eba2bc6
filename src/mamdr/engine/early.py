"""A walk begun before it is asked for.

Domain Regularization reads the shared parameters and never changes them, so once a round's shared walk is over the next
round's can begin: a worker walks it beside the specific parts' walks, and its outcome waits until somebody asks for
that walk. What it began from must not have changed until then, or it is walked again: the bits are those of walks in
turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from torch import Tensor

from mamdr.errors import MamdrError
from mamdr.parameters import Ahead, LocalStore, Moments, Store
from mamdr.strategies.protocol import Outcome, Walk

Stamp = list[tuple[Tensor, int]]
"""Tensors, each with the number of times that it has been changed in place."""


@dataclass
class Early:
    """A walk that will be asked for, and how far it is.

    Args:
        walk: as it will be asked for.
        stamp: what it begins from, now.
        worker: who walks it, and the pipe on which the outcome comes; None before it is begun.
        come: the outcome, or what went wrong; None before it comes.
    """

    walk: Walk
    stamp: Stamp
    worker: tuple[Connection, Any] | None = None
    come: Outcome | MamdrError | None = field(default=None, repr=False)

    @classmethod
    def of(cls, walk: Walk) -> Early | None:
        """None for a walk that begins from more than is watched: another kind of store, or combiners' memory."""
        stamp = stamp_of(walk)
        return None if stamp is None else cls(walk, stamp)

    @property
    def begun(self) -> bool:
        return self.worker is not None

    @property
    def under_way(self) -> bool:
        return self.begun and self.come is None

    def is_named(self, walk: Walk) -> bool:
        """Whether this is the walk, by its seed and legs."""
        return (walk.seed, walk.legs) == (self.walk.seed, self.walk.legs)

    def holds(self, walk: Walk) -> bool:
        """Whether that walk begins from what this one began from, with the same frozen and as much of the penalty."""
        now = stamp_of(walk)
        same = (
            walk.store.space.frozen == self.walk.store.space.frozen
            and walk.hold == self.walk.hold
            and now is not None
            and [version for _, version in now] == [v for _, v in self.stamp]
        )
        return same and all(a is b for (a, _), (b, _) in zip(now or [], self.stamp, strict=True))

    def end(self) -> None:
        """Let nobody walk it any more."""
        if self.worker is not None:
            pipe, worker = self.worker
            pipe.close()
            worker.terminate()
            worker.join()
            self.worker = None


def stamp_of(walk: Walk) -> Stamp | None:
    """What the walk begins from, by what would tell a change; None where something would not.

    Cost: nothing by the size of the parameters.
    """
    tensors = _values(walk.store)
    if tensors is None or walk.memory:
        return None
    tensors = [*tensors, *_moments(walk.moments), *(walk.buffers[name] for name in sorted(walk.buffers))]
    return [(tensor, tensor._version) for tensor in tensors]


def _values(store: Store) -> list[Tensor] | None:
    if isinstance(store, LocalStore):
        return [store.dense, *store.tables]
    if isinstance(store, Ahead):
        below = _values(store.store)
        return None if below is None else [*below, store.lead.flat]
    return None


def _moments(moments: Moments | None) -> list[Tensor]:
    """Without the count of steps: it does not change alone."""
    return [] if moments is None else [moments.points[name].flat for name in sorted(moments.points)]
