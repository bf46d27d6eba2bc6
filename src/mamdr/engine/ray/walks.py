"""Walks on a cluster: a strategy hands them in as it does anywhere, and gets outcomes in order.

A single walk of the shared parameters is shared out over units, whose displacements are staged on the shards. A walk
for a domain's specific part is made by the part's owner, where its displacement stays. Any other walk is made by
anyone, and its displacement comes here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mamdr.engine.ray.members import Asked, Members
from mamdr.engine.ray.parts import Held, OwnedParts
from mamdr.engine.ray.store import RoundLost, SharedStore, Staged
from mamdr.engine.ray.travel import Task, Told
from mamdr.engine.ray.wire import Key
from mamdr.engine.units import deal, merged
from mamdr.engine.walk import Walker
from mamdr.strategies.protocol import Outcome, Walk

TOGETHER = 8
"""Walks that travel in one call: a call costs about a millisecond."""

AHEAD = 2
"""Calls that a worker has at once, so that it need not wait; it holds the displacements of so many, and of one more."""


@dataclass
class _Unit:
    """A unit under way: its key, whom it was asked of, and how often the shards had committed then."""

    key: Key
    asked: Asked
    task: Task
    began: int


class ClusterWalks:
    """A `Run` (see `strategies.protocol`).

    Args:
        members: who walks.
        walker: knows what a walk costs; it walks nothing here.
        shared, parts: what the state's store and parts are.
    """

    def __init__(self, members: Members, walker: Walker, shared: SharedStore, parts: OwnedParts) -> None:
        self.members, self.walker, self.shared, self.parts = members, walker, shared, parts
        self.seconds: dict[str, float] = {}
        self.stale: list[int] = []
        self._number = 0

    def begin(self, round: int) -> None:
        """A round begins (or begins anew)."""
        self.members.clock.round, self._number = round, 0
        self.parts.forget()
        self.seconds, self.stale = {}, []

    def __call__(self, walks: Sequence[Walk]) -> Iterator[Outcome]:
        begun = time.perf_counter()
        alone = len(walks) == 1 and not Task.of(0, walks[0]).stack.layers
        yield from self._shared(walks[0]) if alone else self._each(walks)
        self.parts.settle()
        kind = "shared" if alone else "specific"
        self.seconds[kind] = self.seconds.get(kind, 0.0) + time.perf_counter() - begun

    def _shared(self, walk: Walk) -> Iterator[Outcome]:
        dealt = deal(self.walker, walk, self.members.options.units)
        if self.members.options.staleness is not None and len(dealt) > 1:
            yield from self._as_they_come(dealt, self.members.options.staleness)
            return
        key, units = (self.shared.clock.round, self._next()), range(len(dealt))
        tasks = [Task.of(key[1], each) for each in dealt]
        asked = [self._ask(key, unit, task) for unit, task in zip(units, tasks, strict=True)]
        told: list[Told] = [self.members.answer(each) for each in asked]
        while missing := self._missing(key, units):
            again = {unit: self._ask(key, unit, tasks[unit]) for unit in missing}
            told = [self.members.answer(again[unit]) if unit in again else told[unit] for unit in units]
        staged = Staged(self.shared, key, units)
        yield merged([each.outcome(staged) for each in told], walk.buffers, staged)

    def _ask(self, key: Key, unit: int, task: Task) -> Asked:
        return self.members.ask(unit % self.members.options.workers, "stage", key, unit, task)

    def _missing(self, key: Key, units: Sequence[int]) -> list[int]:
        """The units that some shard has nothing of: it died and was started again since."""
        staged = None
        while staged is None:
            try:
                staged = self.members.all(self.members.shards, "units_staged", key)
            except RoundLost:
                if self.members.clock.commits:
                    raise
        return [unit for unit in units if not all(unit in each for each in staged)]

    def _as_they_come(self, dealt: Sequence[Walk], staleness: int) -> Iterator[Outcome]:
        """Units' outcomes, each to be committed before the next is asked for.

        A unit begins only if, whatever order those under way end in, none of them will have missed more than
        `staleness` commits.
        """
        waiting, under_way, clock = list(enumerate(dealt)), list[_Unit](), self.shared.clock
        while waiting or under_way:
            while waiting and all(
                clock.commits - unit.began + len(under_way) <= staleness for unit in under_way
            ):
                unit, walk = waiting.pop(0)
                task = Task.of(self._next(), walk)
                key = (clock.round, task.number)
                asked = self.members.ask(unit % self.members.options.workers, "stage", key, 0, task)
                under_way.append(_Unit(key, asked, task, clock.commits))
            pending = [unit.asked.pending for unit in under_way]
            done = under_way.pop(self.members.launcher.first([each for each in pending if each is not None]))
            told: Told = self.members.answer(done.asked)
            self.stale.append(clock.commits - done.began)
            yield told.outcome(Staged(self.shared, done.key, [0]))

    def _each(self, walks: Sequence[Walk]) -> Iterator[Outcome]:
        """Walks that do not depend on each other, each by its owner or by who has least to do."""
        workers = self.members.options.workers
        tasks = [Task.of(self._next(), walk) for walk in walks]
        loads, hands = [0] * workers, list[list[int]]([] for _ in range(workers))
        for index, task in enumerate(tasks):
            domain = task.stack.owner_of
            worker = loads.index(min(loads)) if domain is None else self.members.owner[domain]
            loads[worker] += self.walker.cost(walks[index])
            hands[worker].append(index)
        begun = {worker: self._calls(worker, hand, tasks) for worker, hand in enumerate(hands) if hand}
        who = {index: worker for worker, hand in enumerate(hands) for index in hand}
        ready = {worker: [next(calls, None) for _ in range(AHEAD)] for worker, calls in begun.items()}
        told: dict[int, Told] = {}
        for index, task in enumerate(tasks):
            worker = who[index]
            if index not in told:
                call = ready[worker].pop(0)
                assert call is not None
                told |= dict(zip(call[0], self.members.answer(call[1]), strict=True))
                ready[worker].append(next(begun[worker], None))
            yield self._outcome(told.pop(index), task, worker)

    def _calls(
        self, worker: int, hand: Sequence[int], tasks: Sequence[Task]
    ) -> Iterator[tuple[Sequence[int], Asked]]:
        """Calls to a worker, each made when it is asked for: with the pushes that wait for it before."""
        for start in range(0, len(hand), TOGETHER):
            some = hand[start : start + TOGETHER]
            self.parts.flush(worker)
            yield (
                some,
                self.members.ask(
                    worker, "walk", [tasks[index] for index in some], self.shared.clock.now, kept=True
                ),
            )

    def _outcome(self, told: Told, task: Task, worker: int) -> Outcome:
        if told.displacement is not None:
            return told.outcome(told.displacement)
        return told.outcome(Held(self.members, worker, task.number))

    def _next(self) -> int:
        self._number += 1
        return self._number
