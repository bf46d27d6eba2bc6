"""The shared parameters as a store, wherever their shards are."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from mamdr.engine.ray.buckets import Buckets
from mamdr.engine.ray.peers import Peer, Pending
from mamdr.engine.ray.traffic import Traffic
from mamdr.engine.ray.wire import Key, Rows, Values, tensor
from mamdr.engine.units import Combine
from mamdr.parameters import Ids, Moments, Point, Space
from mamdr.parameters.outer import Outer
from mamdr.parameters.point import Allocate, positions

CHUNK = 8 << 20
"""Bytes of values that one call moves, about: many small calls are slow, large ones need room in shared memory."""


@dataclass
class Shards:
    """Where the shards are now: one that was started again takes the other's place, for everyone who knows this."""

    dense: Peer
    rows: list[Peer]

    @property
    def all(self) -> list[Peer]:
        return [self.dense, *self.rows]


@dataclass
class Clock:
    """Which round is under way, how often the shards have committed since the last checkpoint, and how often they began
    from a checkpoint."""

    round: int = 0
    commits: int = 0
    begun: int = 0

    @property
    def now(self) -> tuple[int, int]:
        """The shared parameters are the same as long as this is."""
        return self.begun, self.commits

    def begin(self) -> None:
        """All that counts is in a checkpoint."""
        self.commits, self.begun = 0, self.begun + 1


class RemoteStore:
    """Pulls from shards, and pushes to them. Passes `StoreConformance`.

    Args:
        space: of the whole module.
        buckets: where rows live.
        at: the shards.
        keep_rows: how many rows may be kept between pulls; 0 keeps none, and the dense part neither. Who keeps
            them must `forget` them when the shards commit.

    Cost of a pull: the rows that are not kept, in calls of about 8 MB, all shards at once.
    """

    def __init__(self, space: Space, buckets: Buckets, at: Shards, keep_rows: int = 0) -> None:
        self.space, self.buckets, self.at = space, buckets, at
        self.keep_rows, self.traffic = keep_rows, Traffic()
        self._kept: Point | None = None
        self._pushes = 0

    def pull(self, ids: Ids, allocate: Allocate | None = None) -> Point:
        size = sum(map(len, ids))
        if size > self.keep_rows or not self.keep_rows:
            return self._fetch(ids, allocate, dense=True)
        kept = self._kept
        if kept is None or sum(map(len, kept.ids)) + size > self.keep_rows:
            kept = self._kept = self._fetch(self.space.no_ids(), dense=True) if kept is None else _bare(kept)
        held = [positions(own, wanted)[1] for own, wanted in zip(kept.ids, ids, strict=True)]
        missed = tuple(_others(wanted, there) for wanted, there in zip(ids, held, strict=True))
        self.traffic.hits += sum(map(len, held))
        if not any(map(len, missed)):
            return kept.at(ids, allocate)
        self._kept = kept.take_rows(self._fetch(missed, dense=False))
        return self._kept.at(ids, allocate)

    def forget(self) -> None:
        """Empty the cache: the shards hold other values now."""
        self._kept = None

    def stage(self, key: Key, unit: int, displacement: Point) -> None:
        """Send a displacement to the shards, to be committed later. Cost: its values, in calls of about 8 MB."""
        answers = [self.at.dense.ask("stage", key, unit, [], displacement.dense.numpy())]
        self._count_push([], displacement.dense)
        for shard, (ids, places) in zip(self.at.rows, self.buckets.split(displacement.ids), strict=True):
            for rows, values in _pieces(displacement, ids, places):
                answers.append(shard.ask("stage", key, unit, rows, values))
                self._count_push(rows, torch.from_numpy(values))
        _all(answers)

    def touch(self, ids: Ids) -> None:
        """Pull rows and send as many back: what a walk without caches does for every mini-batch."""
        point = self._fetch(ids, dense=False)
        for shard, (rows, places) in zip(self.at.rows, self.buckets.split(ids), strict=True):
            for sent, values in _pieces(point, rows, places):
                shard.ask("touch", sent, values).get()
                self._count_push(sent, torch.from_numpy(values))

    def commit(
        self, key: Key, units: Sequence[int], combine: Combine, rule: Outer | float, frozen: frozenset[str]
    ) -> set[int]:
        """Commit what is staged, on every shard.

        Returns: units that are missing on some shard; then some shards may have committed and others not.
        """
        answers = [peer.ask("commit", key, units, combine, rule, frozen) for peer in self.at.all]
        self.forget()
        return {unit for missing in _all(answers) for unit in missing}

    def fetch_staged(self, key: Key, units: Sequence[int], combine: Combine) -> Point:
        """What a commit would take in."""
        answers = _all([peer.ask("fetch", key, units, combine) for peer in self.at.all])
        parts = [([tensor(r) for r in rows], values) for rows, values in answers]
        ids = tuple(
            torch.sort(torch.cat(each)).values for each in zip(*(r for r, _ in parts[1:]), strict=True)
        )
        whole = Point.zeros(self.space, ids)
        whole.dense.copy_(tensor(parts[0][1]))
        for rows, values in parts[1:]:
            self._put(
                whole, tuple(rows), values, [positions(i, r)[0] for i, r in zip(ids, rows, strict=True)]
            )
        return whole

    def freezing(self, names: frozenset[str]) -> Self:
        """The same parameters, of which nothing moves those of these names."""
        still = copy.copy(self)
        still.space = replace(self.space, frozen=self.space.frozen | names)
        return still

    def push(self, displacement: Point, rate: float) -> None:
        """Add `rate * displacement`, at once and on its own."""
        self._pushes += 1
        key = (-1, self._pushes)
        self.stage(key, 0, displacement.without(self.space.frozen))
        self.commit(key, [0], "sum", float(rate), frozenset())

    def _fetch(self, ids: Ids, allocate: Allocate | None = None, *, dense: bool) -> Point:
        size = self.space.size(ids)
        flat = allocate(size) if allocate else torch.empty(size, dtype=self.space.dtype)
        point = Point(self.space, ids, flat)
        asked: list[tuple[Ids, list[Tensor], Pending]] = []
        for shard, (rows, places) in zip(self.at.rows, self.buckets.split(ids), strict=True):
            for some, at in _runs(self.space, rows, places):
                asked.append((some, at, shard.ask("pull", [i.numpy() for i in some])))
        if dense:
            values = self.at.dense.ask("pull", []).get()
            point.dense.copy_(tensor(values))
            self.traffic.bytes_pulled += values.nbytes
            self.traffic.pulls += 1
        else:
            point.dense.zero_()
        for some, at, answer in asked:
            values = answer.get()
            self._put(point, some, values, at)
            rows_now = sum(map(len, some))
            self.traffic.pulls += 1
            self.traffic.rows_pulled += rows_now
            self.traffic.misses += rows_now
            self.traffic.bytes_pulled += values.nbytes + 8 * rows_now
        return point

    def _put(self, point: Point, ids: Ids, values: Values, places: Sequence[Tensor]) -> None:
        flat, start = tensor(values), 0
        for t, (rows, at, table) in enumerate(zip(ids, places, self.space.tables, strict=True)):
            part = flat[start : start + len(rows) * table.dim].view(-1, table.dim)
            start += part.numel()
            if len(at) == len(point.ids[t]):
                point.rows(t).copy_(part)
            elif len(at):
                point.rows(t).index_copy_(0, at, part)

    def _count_push(self, rows: Rows, values: Tensor) -> None:
        count = sum(map(len, rows))
        self.traffic.pushes += 1
        self.traffic.rows_pushed += count
        self.traffic.bytes_pushed += values.numel() * values.element_size() + 8 * count


class SharedStore(RemoteStore):
    """The shared parameters as a strategy's state has them: a store that an outer optimizer can push to.

    Args:
        combine: what becomes of several units' displacements.
        clock: moves on with each commit.
    """

    def __init__(self, space: Space, buckets: Buckets, at: Shards, combine: Combine, clock: Clock) -> None:
        super().__init__(space, buckets, at)
        self.combine, self.clock = combine, clock

    def push_by(self, outer: Outer, displacement: Point, state: Moments) -> None:
        """Let every shard take a displacement in by an outer optimizer, whose memory lies there."""
        staged = displacement if isinstance(displacement, Staged) else None
        key = staged.key if staged else (self.clock.round, -1 - self.clock.commits)
        units = staged.units if staged else [0]
        if staged is None:
            self.stage(key, 0, displacement)
        self.clock.commits += 1  # before anything can go wrong: a shard may have committed
        if missing := self.commit(key, units, self.combine, outer, self.space.frozen):
            raise RoundLost(f"what units {sorted(missing)} staged is gone")
        state.step += 1


class RoundLost(Exception):  # noqa: N818 (a signal: the round begins anew from its checkpoint)
    """Something that this round had changed is gone."""


class Staged(Point):
    """A displacement that lies on the shards. Its values come here only if they are asked for.

    Args:
        store: knows the shards.
        key, units: under which it was staged.
    """

    __slots__ = ("_held", "key", "store", "units")

    def __init__(self, store: SharedStore, key: Key, units: Sequence[int]) -> None:
        self.space, self.store, self.key, self.units = store.space, store, key, list(units)
        self._held: Point | None = None

    def _come(self) -> Point:
        if self._held is None:
            self._held = self.store.fetch_staged(self.key, self.units, self.store.combine)
        return self._held

    def __getattr__(self, name: str) -> object:
        """Called for slots that are not filled yet."""
        if name in ("flat", "ids", "_offsets"):
            return getattr(self._come(), name)
        raise AttributeError(name)


def _bare(point: Point) -> Point:
    return point.at(point.space.no_ids())


def _others(ids: Tensor, places: Tensor) -> Tensor:
    """The ids that are not at these places."""
    left = torch.ones(len(ids), dtype=torch.bool)
    left[places] = False
    return ids[left]


def _runs(space: Space, ids: Ids, places: Ids) -> Iterator[tuple[Ids, list[Tensor]]]:
    """Rows in calls of about `CHUNK` bytes; none when there are no rows."""
    if not any(map(len, ids)):
        return
    size = space.size(ids) - space.dense_size
    calls = max(1, -(-size * space.dtype.itemsize // CHUNK))
    for number in range(calls):
        spans = [(len(rows) * number // calls, len(rows) * (number + 1) // calls) for rows in ids]
        yield (
            tuple(rows[a:b] for rows, (a, b) in zip(ids, spans, strict=True)),
            [at[a:b] for at, (a, b) in zip(places, spans, strict=True)],
        )


def _pieces(point: Point, ids: Ids, places: Ids) -> Iterator[tuple[Rows, Values]]:
    """A displacement's rows for one shard, call by call; one call without rows when there are none."""
    space = point.space
    runs = list(_runs(space, ids, places)) or [(space.no_ids(), list(space.no_ids()))]
    for some, at in runs:
        values = [point.rows(t)[where].reshape(-1) for t, where in enumerate(at)]
        flat = torch.cat(values) if values else point.flat.new_empty(0)
        yield [rows.numpy() for rows in some], flat.numpy()


def _all(answers: Sequence[Pending]) -> list[Any]:
    return [answer.get() for answer in answers]
