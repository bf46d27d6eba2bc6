"""Trainings on a cluster in this process, beside the same on one machine; and processes that die when told to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from mamdr.data.domains import Dataset
from mamdr.engine.ray.assemble import assembled
from mamdr.engine.ray.here import Here
from mamdr.engine.ray.manifest import Manifest, round_folder
from mamdr.engine.ray.members import Kinds
from mamdr.engine.ray.peers import Launcher, Lost
from mamdr.engine.ray.shard import Job, Shard
from mamdr.engine.ray.trainer import ClusterTrainer
from mamdr.engine.ray.worker import Work, Worker
from mamdr.strategies import State, Strategy
from mamdr.testing import TwoTables, tiny_market
from mamdr.testing.lab import OPTIONS
from mamdr.training import TrainOptions, checkpoint
from mamdr.training.cluster import ClusterOptions
from mamdr.training.folder import checkpoint_folder
from mamdr.training.trainer import Trainer

DATA = tiny_market((40, 26, 9, 1, 0, 17))


def dropping() -> nn.Module:
    return TwoTables(dropout=0.3)


def on_one_machine(
    strategy: Strategy, rounds: int = 3, module: Callable[[], nn.Module] = dropping, data: Dataset = DATA
) -> State:
    """The last round's state."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(module(), data, strategy, _options(rounds), OPTIONS, folder=Path(folder) / "run")
        trainer.fit()
        return checkpoint.load(checkpoint_folder(Path(folder) / "run", rounds), trainer.space)[0]


def on_a_cluster(
    strategy: Strategy,
    rounds: int = 3,
    module: Callable[[], nn.Module] = dropping,
    data: Dataset = DATA,
    *,
    launcher: Launcher | None = None,
    kinds: Kinds | None = None,
    **cluster: Any,
) -> State:
    """The last round's state."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        trainer = cluster_trainer(
            strategy, run, rounds, module, data, launcher=launcher, kinds=kinds, **cluster
        )
        trainer.fit()
        return last_state(trainer, rounds)


def cluster_trainer(
    strategy: Strategy,
    folder: Path,
    rounds: int = 3,
    module: Callable[[], nn.Module] = dropping,
    data: Dataset = DATA,
    *,
    launcher: Launcher | None = None,
    kinds: Kinds | None = None,
    listeners: Sequence[Any] = (),
    **cluster: Any,
) -> ClusterTrainer:
    return ClusterTrainer(
        module(),
        data,
        strategy,
        _options(rounds),
        OPTIONS,
        folder=folder,
        cluster=ClusterOptions(**cluster),
        launcher=launcher or Here(),
        kinds=kinds,
        listeners=listeners,
    )


def last_state(trainer: ClusterTrainer, rounds: int) -> State:
    return assembled(Manifest.read(round_folder(trainer.place, rounds)), trainer.space)


def _options(rounds: int) -> TrainOptions:
    return TrainOptions(rounds=rounds, patience=0)


@dataclass
class Death:
    """When a process dies: at its call number `turn` of a method, before the work or after it (its answer is lost)."""

    name: str
    method: str
    after: bool = False
    turn: int = 1
    happened: bool = False


@dataclass
class Fate:
    """Which deaths are to come; counts calls over all lives."""

    deaths: list[Death]
    calls: dict[tuple[str, str], int] = field(default_factory=dict)

    def kinds(self) -> Kinds:
        return Kinds(
            lambda job: _Mortal(Shard(job), _name(job), self),
            lambda work, name: _MortalWorker(work, name, self),
        )

    def call(self, name: str, method: str, work: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        turn = self.calls[name, method] = self.calls.get((name, method), 0) + 1
        due = [
            d for d in self.deaths if (d.name, d.method, d.turn) == (name, method, turn) and not d.happened
        ]
        if due and not due[0].after:
            self._die(due[0])
        answer = work(*args)
        if due:
            self._die(due[0])
        return answer

    @staticmethod
    def _die(death: Death) -> None:
        death.happened = True
        raise Lost(death.name, 0, "the test said so")


class _Mortal:
    def __init__(self, held: Any, name: str, fate: Fate) -> None:
        self._held, self._name, self._fate = held, name, fate

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._held, method)
        return lambda *args: self._fate.call(self._name, method, found, args)


class _MortalWorker(_Mortal):
    """Dies within a walk, too."""

    def __init__(self, work: Work, name: str, fate: Fate) -> None:
        super().__init__(Worker(work, name), name, fate)
        walker = self._held.walker
        self._held.walker = lambda walk: fate.call(name, "walker", walker, (walk,))


def _name(job: Job) -> str:
    return "dense" if job.index == "dense" else f"shard {job.index}"
