"""Walks on their way to a worker: a store is told as what it is made of, and made again from what the worker has."""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from dataclasses import dataclass, field

from torch import Tensor

from mamdr.engine.ray.store import RemoteStore
from mamdr.errors import ConfigError
from mamdr.parameters import Elsewhere, Ids, Moments, Overlay, Point, Store
from mamdr.strategies.protocol import Leg, Memory, Outcome, Walk


@dataclass(frozen=True)
class Layer:
    """A domain's part laid over what lies below: the worker's own part of it, or one that travels along (or none)."""

    domain: int
    share: float
    own: bool
    part: Point | None = None


@dataclass(frozen=True)
class Stack:
    """A store: the shared parameters and layers over them, from the bottom up."""

    frozen: frozenset[str]
    layers: tuple[Layer, ...] = ()

    @property
    def owner_of(self) -> int | None:
        """The domain whose owner has to walk; None where anyone can."""
        own = [layer.domain for layer in self.layers if layer.own]
        return own[0] if own else None

    @classmethod
    def of(cls, store: Store) -> Stack:
        """What a store is made of.

        Raises:
            ConfigError: a kind of store that cannot travel.
        """
        if isinstance(store, RemoteStore):
            return cls(store.space.frozen)
        if not isinstance(store, Overlay):
            raise ConfigError(
                f"a walk from a {type(store).__name__}",
                "shared or specific parameters",
                "Train on one machine",
            )
        below = cls.of(store.shared)
        own = isinstance(store.specific, Elsewhere)
        part = None if own else store.specific.get(store.domain)
        return cls(below.frozen, (*below.layers, Layer(store.domain, store.share, own, part)))

    def made(self, shared: RemoteStore, parts: MutableMapping[int, Point]) -> Store:
        """The store, from a worker's shared store and its parts."""
        store: Store = shared.freezing(self.frozen) if self.frozen else shared
        for layer in self.layers:
            over = parts if layer.own else ({} if layer.part is None else {layer.domain: layer.part})
            store = Overlay(store, over, layer.domain, share=layer.share)
        return store


@dataclass(frozen=True)
class Task:
    """A walk as it travels; `number` names it within its round."""

    number: int
    stack: Stack
    legs: tuple[Leg, ...]
    seed: int
    moments: Moments | None
    buffers: dict[str, Tensor]
    memory: Memory
    hold: float

    @classmethod
    def of(cls, number: int, walk: Walk) -> Task:
        told = (walk.legs, walk.seed, walk.moments, walk.buffers, walk.memory, walk.hold)
        return cls(number, Stack.of(walk.store), *told)

    def walk(self, store: Store) -> Walk:
        return Walk(store, self.legs, self.seed, self.moments, self.buffers, self.memory, self.hold)


@dataclass
class Told:
    """What a worker says of a walk, beside where its displacement is."""

    loss: float = math.nan
    samples: int = 0
    steps: int = 0
    moments: Moments | None = None
    buffers: dict[str, Tensor] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)
    displacement: Point | None = None

    @classmethod
    def of(cls, outcome: Outcome, displacement: Point | None = None) -> Told:
        moments = outcome.moments
        if moments is not None:  # they lie in buffers that the next walk uses again
            moments = Moments(moments.step, {name: point.copy() for name, point in moments.points.items()})
        told = (outcome.loss, outcome.samples, outcome.steps, moments, outcome.buffers, outcome.memory)
        return cls(*told, displacement)

    def outcome(self, displacement: Point) -> Outcome:
        told = (self.loss, self.samples, self.steps, self.moments, self.buffers, self.memory)
        return Outcome(displacement, *told)


@dataclass(frozen=True)
class Push:
    """What becomes of a displacement that lies with an owner: see `Overlay.push`."""

    number: int
    domain: int
    rate: float
    rows: Ids | None
    frozen: frozenset[str]
