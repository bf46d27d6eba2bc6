"""A worker: walks what it is told to, and owns the specific parts of its domains, which never leave it.

As a runner it keeps nothing: any worker can walk for the shared parameters. As an owner it walks for its own domains.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch, Dataset
from mamdr.engine import Session, Walker, WalkOptions
from mamdr.engine.ray.buckets import Buckets
from mamdr.engine.ray.store import RemoteStore, Shards
from mamdr.engine.ray.traffic import Traffic
from mamdr.engine.ray.travel import Push, Task, Told
from mamdr.engine.ray.wire import Key
from mamdr.errors import TrainingError
from mamdr.parameters import LocalStore, Overlay, Point, Space, Specific
from mamdr.strategies import Outcome, State, Strategy
from mamdr.training import checkpoint
from mamdr.training.scoring import Scores, predict
from mamdr.training.shelf import place_of


@dataclass(frozen=True)
class Work:
    """What a worker has to know.

    Args:
        module: the module, pickled, with tables that take no memory (see `skeleton`).
        space: its parameters.
        data: the data folder, which every machine sees under this path; or the data, for workers of this process.
        walk: how walks are walked.
        strategy: knows which parameters serve a domain.
        specific: how much memory a worker's parts may take; the rest of them is then on its machine's disk.
        buckets: where rows live.
        keep_rows: shared rows that may be kept from walk to walk, as long as the shards do not commit.
        cache: off: pull and push the rows of every mini-batch, to measure what the caches save.
    """

    module: bytes
    space: Space
    data: Path | Dataset
    walk: WalkOptions
    strategy: Strategy
    specific: Specific
    buckets: Buckets
    keep_rows: int
    cache: bool = True


class Worker:
    """Walks with a module of its own.

    Memory: the module without its tables, one walk, the parts of its domains, displacements that wait to be pushed,
    and `keep_rows` rows.
    """

    def __init__(self, work: Work, name: str) -> None:
        torch.set_num_threads(1)
        self.work, self.name = work, name
        self.data = work.data if isinstance(work.data, Dataset) else Dataset.load(work.data)
        module = pickle.loads(work.module)
        if not work.cache:
            module.register_forward_pre_hook(self._move_rows)
        self.session = Session(module, work.space, self.data, work.walk)
        self.session.__enter__()
        self.walker = Walker(self.session)
        self.parts = self._place()
        self.held: dict[int, Point] = {}
        self.version = (-1, 0)

    def close(self) -> None:
        """Let go of the module."""
        self.session.__exit__(None, None, None)

    def load(self, folder: Path, files: Sequence[str], domains: frozenset[int]) -> None:
        """Take the parts of these domains from a checkpoint, and forget all that came after."""
        self.parts, self.held = self._place(), {}
        for name in files:
            saved, _ = checkpoint.load(folder / name, self.work.space)
            for domain in sorted(domains & saved.specific.keys()):
                self.parts[domain] = saved.specific[domain]

    def _place(self) -> MutableMapping[int, Point]:
        return place_of(self.work.specific, self.work.space.part, None)

    def connect(self, at: Shards) -> None:
        """Know these shards from now on."""
        work = self.work
        self.direct = RemoteStore(work.space, work.buckets, at)
        self.shared = RemoteStore(work.space, work.buckets, at, work.keep_rows if work.cache else 0)

    def stage(self, key: Key, unit: int, task: Task) -> Told:
        """Walk for the shared parameters, and leave the displacement with the shards."""
        outcome = self._walk(task, self.direct)
        self.direct.stage(key, unit, outcome.displacement)
        return Told.of(outcome)

    def walk(self, tasks: Sequence[Task], version: tuple[int, int]) -> list[Told]:
        """Walk. Displacements for parts of this worker's own stay here until they are pushed; others come along.

        Args:
            tasks: the walks.
            version: what is kept of the shared parameters counts as long as this stays.
        """
        self._keep_while(version)
        made = []
        for task in tasks:
            own = bool(task.stack.layers) and task.stack.layers[-1].own
            outcome = self._walk(task, self.shared if task.stack.layers else self.direct)
            displacement = outcome.displacement.copy()
            if own:
                self.held[task.number] = displacement
            made.append(Told.of(outcome, None if own else displacement))
        return made

    def push(self, pushes: Sequence[Push]) -> None:
        """Push what walks brought into parts; each displacement once."""
        for push in pushes:
            if (displacement := self.held.pop(push.number, None)) is not None:
                shared = self.shared.freezing(push.frozen)
                Overlay(shared, self.parts, push.domain, push.rows).push(displacement, push.rate)

    def fade(self, domain: int, share: float, frozen: frozenset[str]) -> None:
        """Multiply a part by a share."""
        Overlay(self.shared.freezing(frozen), self.parts, domain).fade(share)

    def put(self, domain: int, part: Point | None) -> None:
        """Set a part, or drop it."""
        if part is None:
            self.parts.pop(domain, None)
        else:
            self.parts[domain] = part

    def part(self, domain: int) -> Point | None:
        return self.parts.get(domain)

    def displacement(self, number: int) -> Point:
        """What a walk brought, which nobody will push here."""
        return self.held.pop(number)

    def owned(self) -> list[int]:
        """The domains that have a part here."""
        return sorted(self.parts)

    def score(
        self,
        split: str,
        domains: Sequence[int],
        buffers: dict[str, Tensor],
        tuned: Mapping[int, Point],
        version: tuple[int, int],
    ) -> list[Scores]:
        """Click probabilities of these domains' rows, by the parameters that serve them."""
        self._keep_while(version)
        state = State(self.shared, self.parts, buffers=buffers, tuned=dict(tuned))  # type: ignore[arg-type]
        return [scores for _, scores in predict(self.session, self.work.strategy, state, split, domains)]

    def save(self, folder: Path, name: str) -> dict[str, Any]:
        """Write the parts as a piece of a checkpoint; what the manifest says of it."""
        checkpoint.save(folder / name, State(empty(self.work.space), self.parts), {})
        return {"name": name, "parts": len(self.parts)}

    def facts(self) -> dict[str, Any]:
        """What moved since this was last asked, and how much is held."""
        moved = Traffic()
        for store in (self.direct, self.shared):
            moved.add(store.traffic)
            store.traffic = Traffic()
        return {"traffic": moved, "parts": len(self.parts), "held": len(self.held)}

    def _keep_while(self, version: tuple[int, int]) -> None:
        """Forget what is kept of the shared parameters once they are others."""
        if version != self.version:
            self.shared.forget()
            self.version = version

    def _move_rows(self, module: nn.Module, args: tuple[Batch, ...]) -> None:
        """Move a training mini-batch's rows from the shards and back, as a walk without caches would have to."""
        if module.training:
            looked_up = (
                [args[0][column].reshape(-1) for column in table.columns or ()]
                for table in self.work.space.tables
            )
            self.direct.touch(tuple(torch.unique(torch.cat(ids)) for ids in looked_up))

    def _walk(self, task: Task, shared: RemoteStore) -> Outcome:
        try:
            return self.walker(task.walk(task.stack.made(shared, self.parts)))
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
                raise
            domains = {domain for leg in task.legs for domain in leg.domains}
            raise TrainingError(
                f"{self.name} ran out of memory in a walk over {len(domains)} domains",
                "memory for four times the rows of a walk",
                "Take more units (each walks fewer rows), a smaller embedding, or machines with more memory",
            ) from error


def empty(space: Space) -> LocalStore:
    """No shared parameters: what stands for them in a state that holds none."""
    none = torch.empty(0, dtype=space.dtype)
    return LocalStore(space, none, [none.view(0, table.dim) for table in space.tables])


def skeleton(module: nn.Module, space: Space) -> bytes:
    """A module, pickled, whose tables are zeros that take no memory: a walk brings the rows that it needs."""
    parameters = dict(module.named_parameters())
    whole = {table.name: parameters[table.name].data for table in space.tables}
    try:
        for table in space.tables:
            weight = parameters[table.name]
            weight.data = weight.data.new_zeros(1, 1).expand(table.rows, table.dim)
        return pickle.dumps(module)
    finally:
        for name, values in whole.items():
            parameters[name].data = values
