"""Seconds until a process that was killed is back, and memory of an idle cluster of one machine.

    python -m benchmarks.ray_recovery [--json]

Trains MAMDR on made-up data with one shard and two workers, and kills a process in each round after the first: a worker
while it walks for a unit and for a specific part, a shard while it commits (the round begins anew), the dense shard
while it writes a checkpoint. A process is back when it has loaded its share and has made again what was lost. Memory is
the proportional share (PSS) of Ray's processes and of one shard, the dense shard and one worker, before training.
Keys: recovery_seconds (the longest), idle_mb.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import torch

from benchmarks import harness
from mamdr import synthetic_market
from mamdr.data.domains import Dataset
from mamdr.engine import WalkOptions
from mamdr.engine.ray.actors import ActorPeer, Actors, cluster
from mamdr.engine.ray.trainer import ClusterTrainer
from mamdr.models import build
from mamdr.strategies import MAMDR
from mamdr.training import TrainOptions
from mamdr.training.cluster import ClusterOptions

PLAN = (("worker 0", "stage", 2), ("worker 1", "walk", 3), ("shard 0", "commit", 4), ("dense", "save", 5))
"""Who is killed, when it is asked what, in which round."""


class Killing(Actors):
    """Starts actors, and kills those of the plan right after they are asked something."""

    def __init__(self, actors: Actors) -> None:
        super().__init__(actors.start_seconds)
        self.plan, self.trainer = list(PLAN), None

    def start(self, name: str, life: int, make: Callable[..., Any], *args: Any) -> ActorPeer:
        peer = super().start(name, life, make, *args)
        ask = peer.ask

        def watched(method: str, *args: Any) -> Any:
            now = (name, method, self.trainer.members.clock.round + 1) if self.trainer else None
            doomed = now in self.plan
            pid = ray.get(peer.actor.__ray_call__.remote(lambda host: os.getpid())) if doomed else 0
            answer = ask(method, *args)
            if doomed:
                self.plan.remove(now)
                os.kill(pid, signal.SIGKILL)
            return answer

        peer.ask = watched  # type: ignore[method-assign]
        return peer


class Hears:
    """Keeps what each round's event tells of the cluster, and the cluster's memory at the start."""

    def __init__(self) -> None:
        self.rounds: list[dict[str, Any]] = []
        self.idle_mb = 0.0

    def hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "start":
            self.idle_mb = _memory(os.getpid()) - _pss(os.getpid())
        elif event["event"] == "round":
            self.rounds.append(event["cluster"] | {"round_seconds": event["seconds"]})

    def walked(self, rows: int) -> None: ...

    def close(self) -> None: ...


def _pss(process: int) -> float:
    """MB that a process has to itself, and its part of what it shares."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _memory(process: int) -> float:
    """MB of a process and of all that it started."""
    total = _pss(process)
    for thread in Path(f"/proc/{process}/task").iterdir():
        total += sum(_memory(int(child)) for child in (thread / "children").read_text().split())
    return total


def _train(launcher: Actors, data: Dataset, folder: Path, rounds: int, workers: int) -> Hears:
    hears = Hears()
    trainer = ClusterTrainer(
        build("mlp", data.schema, {"embedding": 16, "hidden": [32]}, seed=1),
        data,
        MAMDR(num_helpers=1),
        TrainOptions(rounds=rounds, patience=0),
        WalkOptions(),
        folder=folder,
        cluster=ClusterOptions(units=2, workers=workers),
        launcher=launcher,
        listeners=[hears],
    )
    if isinstance(launcher, Killing):
        launcher.trainer = trainer
    trainer.fit()
    return hears


def measure(rounds: int) -> dict[str, Any]:
    """Seconds by who died, and memory."""
    with tempfile.TemporaryDirectory() as place:
        synthetic_market(domains=6, samples_per_domain=5_000).save(Path(place) / "data")
        data = Dataset.load(Path(place) / "data")
        with cluster(None, 3, 120.0) as launcher:
            idle = _train(launcher, data, Path(place) / "idle", 1, 1).idle_mb
        with cluster(None, 4, 120.0) as launcher:
            made = _train(Killing(launcher), data, Path(place) / "run", rounds, 2)
    recovered = {who: seconds for told in made.rounds for who, seconds in told["recovered"]}
    return {
        "recovery_seconds": max(recovered.values(), default=0.0),
        "idle_mb": round(idle, 1),
        "recovered": recovered,
        "round_seconds": [told["round_seconds"] for told in made.rounds],
    }


def main() -> None:
    torch.set_num_threads(1)
    options = harness.parser(__doc__ or "", repeats=1).parse_args()
    figures = measure(1 if options.smoke else 5)
    table: list[list[object]] = [["who was killed", "seconds until it was back"]]
    table += [[who, seconds] for who, seconds in figures["recovered"].items()]
    harness.report("ray_recovery", figures, table, options.json)


if __name__ == "__main__":
    main()
