"""Training on a cluster: the same outer loop, whose rounds are walked elsewhere and begin anew when they are lost."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import torch

from mamdr.engine import Session, Walker
from mamdr.engine.ray import slices
from mamdr.engine.ray.assemble import assembled
from mamdr.engine.ray.buckets import Buckets
from mamdr.engine.ray.limits import check_options, check_strategy
from mamdr.engine.ray.manifest import Manifest, clear, round_folder
from mamdr.engine.ray.members import Kinds, Members
from mamdr.engine.ray.parts import OwnedParts
from mamdr.engine.ray.peers import Launcher, Lost
from mamdr.engine.ray.store import RoundLost, SharedStore
from mamdr.engine.ray.traffic import Traffic
from mamdr.engine.ray.walks import ClusterWalks
from mamdr.engine.ray.worker import Work, empty, skeleton
from mamdr.errors import CheckpointError, ConfigError
from mamdr.evaluation.metrics import Metrics, evaluate
from mamdr.parameters import LocalStore, Moments, Point
from mamdr.strategies import Problem, State
from mamdr.strategies import Run as RunWalks
from mamdr.training import checkpoint
from mamdr.training.cluster import ClusterOptions
from mamdr.training.folder import checkpoint_folder
from mamdr.training.run import Run
from mamdr.training.trainer import Trainer

_FIXED = ("units", "combine", "staleness", "buckets")
"""Settings that say what is trained, or where rows live: they cannot change from one sitting to the next."""

_SCORED = 64
"""Domains that are scored in one call."""


class ClusterTrainer(Trainer):
    """A trainer whose rounds are walked by a cluster.

    Shards and workers keep all that they learn; what comes here is figures. A checkpoint is written by everyone each
    round; the best round's is put together at the end, as `mamdr evaluate` and all other commands take it.

    Args:
        args, settings: as `Trainer`; it needs a folder, which every machine sees under the same path, and so must the
            data, unless the launcher starts everyone in this process.
        cluster: what is trained and on how much.
        launcher: starts processes.
        kinds: what runs in them.

    Memory: the module and one copy of its tables, here; and all of the best round's state at the end.

    Raises:
        ConfigError: no folder, a device other than the processor, or data that are in no folder.
    """

    def __init__(
        self,
        *args: Any,
        cluster: ClusterOptions,
        launcher: Launcher,
        kinds: Kinds | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self.cluster, self.launcher, self.kinds = cluster, launcher, kinds or Kinds()
        if self.folder is None:
            raise ConfigError("a cluster without a folder", "a folder that every machine sees", "Give one")
        check_options(self.options)
        check_strategy(self.strategy)
        self.buckets = Buckets(cluster.buckets, cluster.shards)
        self.place = self.folder.resolve() / "cluster"
        self._module = skeleton(self.module, self.space)
        self._members: Members | None = None
        self._resized: ClusterOptions | None = None
        self._metrics: Metrics | None = None
        self._manifest: Manifest | None = None

    def fit(self, *, resume: bool = False) -> Run:
        try:
            return super().fit(resume=resume)
        finally:
            if self._members is not None:
                self._members.end()

    def resize(self, shards: int, workers: int) -> None:
        """Go on with other numbers of processes from the next round on; what is trained stays the same to the bit."""
        Buckets(self.cluster.buckets, shards)
        self._resized = dataclasses.replace(self.cluster, shards=shards, workers=workers)

    @property
    def members(self) -> Members:
        assert self._members is not None, "a cluster is there while it trains"
        return self._members

    def _walks(self, session: Session, state: State) -> RunWalks:
        """Start everyone at the state's checkpoint; from here on the state's parameters are theirs."""
        if state.round == 0:
            self._write_first(state)
        self._session = session
        self._start(Manifest.read(round_folder(self.place, state.round)))
        self._attach(state)
        return lambda walks: self._run(walks)

    def _start(self, manifest: Manifest) -> None:
        data, sizes = self.data, [self.data.train.size(d) for d in range(len(self.data.schema.domains))]
        work = Work(
            self._module,
            self.space,
            data.folder or data,
            self.walk,
            self.strategy,
            self.specific,
            self.buckets,
            self.cluster.keep_rows,
            self.cluster.cache,
        )
        owner = owners(sizes, self.cluster.workers)
        self._members = Members(self.launcher, self.cluster, work, owner, kinds=self.kinds)
        self._members.begin(manifest)

    def _attach(self, state: State) -> None:
        members = self.members
        shared = SharedStore(self.space, self.buckets, members.at, self.cluster.combine, members.clock)
        parts = OwnedParts(members)
        self._run = ClusterWalks(members, Walker(self._session), shared, parts)
        state.shared, state.specific = cast(LocalStore, shared), cast(dict[int, Point], parts)

    def _round(self, state: State, problem: Problem, run: RunWalks) -> State:
        if self._resized is not None:
            assert self.members.manifest is not None
            last = self.members.manifest
            self.members.end()
            self.cluster, self._resized = self._resized, None
            self.buckets = Buckets(self.cluster.buckets, self.cluster.shards)
            self._start(last)
            self._attach(state)
        before = copy.deepcopy((state.moments, state.memory, state.losses, state.samples)), state.buffers
        while True:
            try:
                self._run.begin(state.round)
                made = self.strategy.round(state, problem, run)
                self._metrics = self._scored(made)
                self._figures = self._facts()
                self._manifest = self._written(state.round + 1)
                return made
            except (Lost, RoundLost) as lost:
                self._go_back(lost)
                (state.moments, state.memory, state.losses, state.samples), state.buffers = (
                    copy.deepcopy(before[0]),
                    before[1],
                )

    def _go_back(self, lost: Lost | RoundLost) -> None:
        """Let everyone forget this round."""
        members = self.members
        assert members.manifest is not None
        if isinstance(lost, Lost):
            with contextlib.suppress(RoundLost):
                members.recover(lost)
        members.go_back(members.manifest)

    def _scored(self, state: State) -> Metrics:
        """The state's figures on validation rows, each domain scored by its owner."""
        begun, members = time.perf_counter(), self.members
        rows, count = self.data.val, len(self.data.schema.domains)
        hands = [[d for d in range(count) if members.owner[d] == w] for w in range(self.cluster.workers)]
        asked = []
        for worker, hand in enumerate(hands):
            for start in range(0, len(hand), _SCORED):
                some = hand[start : start + _SCORED]
                tuned = {domain: state.tuned[domain] for domain in some if domain in state.tuned}
                asked.append(
                    (some, members.ask(worker, "score", "val", some, state.buffers, tuned, members.clock.now))
                )
        scores: dict[int, Any] = {}
        for some, each in asked:
            scores |= dict(zip(some, members.answer(each), strict=True))
        self._run.seconds["scoring"] = time.perf_counter() - begun
        names = self.data.schema.domains
        flat = np.concatenate([scores[domain] for domain in range(count)])
        return evaluate(names, rows.offsets.numpy(), rows.labels.numpy(), flat)

    def _measure(self, session: Session, state: State) -> Metrics:
        assert self._metrics is not None
        return self._metrics

    def _written(self, round: int) -> Manifest:
        """Everyone's files of a round's checkpoint; it counts once `_save` has written the manifest."""
        begun, members, folder = time.perf_counter(), self.members, round_folder(self.place, round)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        rows = ["dense.safetensors", *(f"rows-{index}.safetensors" for index in range(self.cluster.shards))]
        parts = [f"parts-{index}" for index in range(self.cluster.workers)]
        try:
            answers = [
                *(peer.ask("save", folder, name) for peer, name in zip(members.shards, rows, strict=True)),
                *(peer.ask("save", folder, name) for peer, name in zip(members.workers, parts, strict=True)),
            ]
            facts = [answer.get() for answer in answers]
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._run.seconds["checkpoint"] = time.perf_counter() - begun
        return Manifest(folder, round, tuple(rows), tuple(parts), tuple(facts))

    def _write_first(self, state: State) -> None:
        """A checkpoint of the state before the first round, from which everyone takes their share."""
        folder = round_folder(self.place, 0)
        shutil.rmtree(self.place, ignore_errors=True)
        folder.mkdir(parents=True)
        shared, none = state.shared, torch.empty(0, dtype=self.space.dtype)
        facts = [
            slices.save(folder, "dense.safetensors", [], shared.dense, [], Moments()),
            slices.save(folder, "rows-0.safetensors", self.space.all_ids(), none, shared.tables, Moments()),
        ]
        checkpoint.save(folder / "parts-0", State(empty(self.space), state.specific), {})
        facts.append({"name": "parts-0", "parts": len(state.specific)})
        names = tuple(fact["name"] for fact in facts)
        self._finish(Manifest(folder, 0, names[:2], names[2:], tuple(facts)), state)

    def _finish(self, manifest: Manifest, state: State) -> None:
        rest = dataclasses.replace(state, shared=empty(self.space), specific={})
        checkpoint.save(manifest.state, rest, {"stopping": asdict(self.stopping)})
        manifest.write()

    def _save(self, state: State) -> None:
        assert self._manifest is not None
        self._finish(self._manifest, state)
        self._deaths, self._recovered = self.members.deaths, self.members.recovered
        self.members.checkpointed(self._manifest)

    def _prune(self, rounds: Sequence[int]) -> None:
        clear(self.place, [*rounds, max(rounds[0] - 1, 0)])

    def _last(self, round: int) -> tuple[State, dict[str, Any]]:
        return checkpoint.load(Manifest.read(round_folder(self.place, round)).state, self.space)

    def _info(self) -> dict[str, Any]:
        return super()._info() | {"cluster": {key: getattr(self.cluster, key) for key in _FIXED}}

    def _resume(self, fresh: State) -> tuple[State, dict[str, Any]]:
        state, info = super()._resume(fresh)
        for key, value in self._info()["cluster"].items():
            before = info.get("cluster", {}).get(key)
            if before != value:
                raise CheckpointError(
                    f"{self.folder} was trained with {key} = {before!r}, now it is {value!r}",
                    f"the run's own {', '.join(_FIXED)} (shards and workers may change)",
                    "Give the same, or train into a new folder",
                )
        return state, info

    def _told(self) -> dict[str, Any]:
        """What an event tells of the cluster: seconds by phase, and what moved in the round."""
        seconds = {phase: round(each, 3) for phase, each in self._run.seconds.items()}
        return {
            "cluster": self._figures
            | {"seconds": seconds, "deaths": self._deaths, "recovered": self._recovered}
        }

    def _facts(self) -> dict[str, Any]:
        """What moved in the round, and how many parts each worker holds."""
        moved, parts = Traffic(), []
        for facts in self.members.all(self.members.workers, "facts"):
            moved.add(facts["traffic"])
            parts.append(facts["parts"])
        about = {"units": self.cluster.units, "shards": self.cluster.shards, "workers": self.cluster.workers}
        return about | {"traffic": moved.to_json(), "parts": parts, "stale": list(self._run.stale)}

    def _conflict(self, session: Session, state: State) -> dict[str, Any]:
        while True:
            try:
                return super()._conflict(session, state)
            except Lost as lost:
                self._go_back(lost)

    def _best_state(self, state: State) -> State:
        assert self.folder is not None
        path = checkpoint_folder(self.folder, self.stopping.best_round)
        if not path.is_dir():
            best = assembled(Manifest.read(round_folder(self.place, self.stopping.best_round)), self.space)
            checkpoint.save(path, best, {"stopping": asdict(self.stopping)})
        return checkpoint.load(path, self.space, self._place)[0]


def owners(sizes: Sequence[int], workers: int) -> list[int]:
    """For each domain a worker, the largest dealt first, each to the one with the fewest rows."""
    loads, owner = [0] * workers, [0] * len(sizes)
    for domain in sorted(range(len(sizes)), key=lambda d: (-sizes[d], d)):
        owner[domain] = loads.index(min(loads))
        loads[owner[domain]] += sizes[domain] + 1
    return owner
