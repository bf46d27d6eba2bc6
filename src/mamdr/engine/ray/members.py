"""Everyone who takes part: started, loaded from a checkpoint, and started again when one dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mamdr.engine.ray.buckets import Buckets
from mamdr.engine.ray.manifest import Manifest
from mamdr.engine.ray.peers import Launcher, Lost, Peer, Pending
from mamdr.engine.ray.shard import Job, Shard
from mamdr.engine.ray.store import Clock, RoundLost, Shards
from mamdr.engine.ray.worker import Work, Worker
from mamdr.errors import TrainingError
from mamdr.parameters import Space
from mamdr.training.cluster import ClusterOptions

DENSE = "dense"


@dataclass
class Asked:
    """A question to a worker, and its answer as soon as it is there.

    Args:
        worker: whom; of one that anyone can answer, who was to.
        version: how often the shards had committed.
        kept: the worker's own parts depend on it, so it is asked again when the worker has been lost.
    """

    worker: int
    method: str
    args: tuple[Any, ...]
    version: int
    kept: bool
    pending: Pending | None = None


@dataclass
class Kinds:
    """What runs in the processes; tests put others in their place that die when told to."""

    shard: Callable[..., Any] = Shard
    worker: Callable[..., Any] = Worker


@dataclass
class Members:
    """The processes of a cluster.

    Args:
        launcher: starts and stops them.
        options: how many.
        work: what workers have to know.
        owner: for each domain, the worker that owns its specific part.
        kinds: what runs in the processes.
    """

    launcher: Launcher
    options: ClusterOptions
    work: Work
    owner: Sequence[int]
    kinds: Kinds = field(default_factory=Kinds)

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.deaths = 0  # in this round
        self.recovered: list[tuple[str, float]] = []  # in this round: who, and the seconds until it was back
        self.peers: dict[str, Peer] = {}
        self.log: list[list[Asked]] = []
        self.manifest: Manifest | None = None

    @property
    def space(self) -> Space:
        return self.work.space

    @property
    def buckets(self) -> Buckets:
        return self.work.buckets

    @property
    def shards(self) -> list[Peer]:
        """The dense part's, and those of rows in order."""
        return [self.peers[DENSE], *(self.peers[f"shard {index}"] for index in range(self.options.shards))]

    @property
    def workers(self) -> list[Peer]:
        return [self.peers[f"worker {index}"] for index in range(self.options.workers)]

    def begin(self, manifest: Manifest) -> None:
        """Start everyone, at this checkpoint."""
        for name in self._names():
            self._start(name, 0)
        self.launcher.ready(list(self.peers.values()))
        self.at = Shards(self.shards[0], self.shards[1:])
        self.go_back(manifest)

    def go_back(self, manifest: Manifest) -> None:
        """Let everyone forget what came after a checkpoint. Who is lost meanwhile is started again."""
        self.manifest = manifest
        self.clock.begin()
        self.log = [[] for _ in range(self.options.workers)]
        while True:
            try:
                for answer in [self._load(name) for name in self._names()]:
                    answer.get()
                self._connect(self.workers)
                return
            except Lost as lost:
                self._restart(lost)

    def checkpointed(self, manifest: Manifest) -> None:
        """A checkpoint of everyone as they are has been written."""
        self.manifest, self.deaths, self.recovered = manifest, 0, []
        self.clock.begin()
        self.log = [[] for _ in range(self.options.workers)]

    def end(self) -> None:
        """Stop everyone."""
        for peer in self.peers.values():
            self.launcher.stop(peer)
        self.peers = {}

    def ask(self, worker: int, method: str, *args: Any, kept: bool = False) -> Asked:
        """Ask a worker; see `Asked`."""
        asked = Asked(worker, method, args, self.clock.commits, kept)
        if kept:
            self.log[worker].append(asked)
        asked.pending = self.workers[worker].ask(method, *args)
        return asked

    def answer(self, asked: Asked) -> Any:
        """The answer, whoever dies meanwhile.

        Raises:
            RoundLost: what died had been changed in this round in a way that cannot be made again.
            TrainingError: too many deaths.
        """
        while True:
            assert asked.pending is not None
            try:
                return asked.pending.get()
            except Lost as lost:
                self.recover(lost)
                if not (asked.kept and lost.name == f"worker {asked.worker}"):
                    asked.pending = self.workers[asked.worker].ask(asked.method, *asked.args)

    def all(self, peers: Sequence[Peer], method: str, *args: Any) -> list[Any]:
        """Ask several who are not to be asked again: a death among them is a round lost."""
        try:
            return [answer.get() for answer in [peer.ask(method, *args) for peer in peers]]
        except Lost as lost:
            self.recover(lost)
            raise RoundLost(f"{lost.name} died ({lost.why})") from lost

    def recover(self, lost: Lost) -> None:
        """Start again who died, at the last checkpoint, and let it make again what it had changed since.

        Raises:
            RoundLost: it cannot: the shared parameters have moved since.
        """
        begun = time.perf_counter()
        while self.peers[lost.name].life <= lost.life:  # else this was told before
            self._restart(lost)
            try:
                self._bring_up(lost.name)
            except Lost as again:
                lost = again
            finally:
                self.recovered.append((lost.name, round(time.perf_counter() - begun, 3)))

    def _bring_up(self, name: str) -> None:
        self._load(name).get()
        if not name.startswith("worker"):
            if self.clock.commits:
                raise RoundLost(f"{name} died after it had taken in displacements")
            self._connect(self.workers)
            return
        worker = int(name.split()[1])
        self._connect([self.peers[name]])
        if any(asked.version != self.clock.commits for asked in self.log[worker]):
            raise RoundLost(f"{name} died after the shared parameters had moved")
        for asked in self.log[worker]:
            asked.pending = self.peers[name].ask(asked.method, *asked.args)

    def _names(self) -> list[str]:
        rows = [f"shard {index}" for index in range(self.options.shards)]
        return [DENSE, *rows, *(f"worker {index}" for index in range(self.options.workers))]

    def _start(self, name: str, life: int) -> None:
        kind, _, number = name.partition(" ")
        if kind == "worker":
            self.peers[name] = self.launcher.start(name, life, self.kinds.worker, self.work, name)
        else:
            index = int(number) if number else DENSE
            self.peers[name] = self.launcher.start(
                name,
                life,
                self.kinds.shard,
                Job(self.space, self.buckets, index),  # type: ignore[arg-type]
            )

    def _restart(self, lost: Lost) -> None:
        """Start again who died."""
        self.deaths += 1
        if self.deaths > self.options.recoveries:
            raise TrainingError(
                f"{lost.name} died ({lost.why}), the {self.deaths}th death in one round",
                f"at most {self.options.recoveries}",
                "Look for the system's out-of-memory killer and for machines that went away, take more units or fewer"
                " workers to a machine, and go on with --resume: the last finished round is kept",
            )
        self.launcher.stop(self.peers[lost.name])
        self._start(lost.name, self.peers[lost.name].life + 1)
        self.launcher.ready([self.peers[lost.name]])
        self.at.dense, *self.at.rows = self.shards

    def _load(self, name: str) -> Pending:
        assert self.manifest is not None
        kind, _, number = name.partition(" ")
        if kind != "worker":
            return self.peers[name].ask("load", self.manifest.folder, self.manifest.rows)
        mine = frozenset(d for d, worker in enumerate(self.owner) if worker == int(number))
        return self.peers[name].ask("load", self.manifest.folder, self.manifest.parts, mine)

    def _connect(self, workers: Sequence[Peer]) -> None:
        for answer in [worker.ask("connect", self.at) for worker in workers]:
            answer.get()
