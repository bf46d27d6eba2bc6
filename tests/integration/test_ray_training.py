"""Training in real processes: the same bits as in one, when they are killed too, and nothing left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.engine.ray.lab import cluster_trainer, dropping, on_a_cluster

from mamdr.data.domains import Dataset
from mamdr.errors import TrainingError
from mamdr.parameters.outer import Adagrad
from mamdr.strategies import MAMDR
from mamdr.testing import same_bits, tiny_market

ray = pytest.importorskip("ray")

from mamdr.engine.ray.actors import ActorPeer, Actors, cluster  # noqa: E402 (it imports Ray)

STRATEGY = MAMDR(num_helpers=2, outer=Adagrad(lr=0.3))
ROUNDS = 2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "tiny"
    tiny_market((40, 26, 9, 1, 0, 17)).save(folder)
    return Dataset.load(folder)


@pytest.fixture(scope="module")
def actors() -> Iterator[Actors]:
    with cluster(None, 8, 120.0) as launcher:
        yield launcher
    assert not ray.is_initialized()


class Killing(Actors):
    """Starts actors, some of which the system kills right after they are asked something for the first time.

    Args:
        actors: starts them.
        plan: (name, method) of the deaths to come.
    """

    def __init__(self, actors: Actors, plan: Sequence[tuple[str, str]]) -> None:
        super().__init__(actors.start_seconds)
        self.plan = list(plan)

    def start(self, name: str, life: int, make: Callable[..., Any], *args: Any) -> ActorPeer:
        peer = super().start(name, life, make, *args)
        ask = peer.ask

        def watched(method: str, *args: Any) -> Any:
            doomed = (name, method) in self.plan
            pid = ray.get(peer.actor.__ray_call__.remote(lambda host: os.getpid())) if doomed else 0
            answer = ask(method, *args)
            if doomed:
                self.plan.remove((name, method))
                os.kill(pid, signal.SIGKILL)
            return answer

        peer.ask = watched  # type: ignore[method-assign]
        return peer


def test_real_processes_that_the_system_kills_give_the_bits_of_one(actors: Actors, data: Dataset) -> None:
    plan = [("worker 0", "stage"), ("shard 0", "commit"), ("worker 1", "walk"), ("dense", "save")]
    here = on_a_cluster(STRATEGY, ROUNDS, data=data, units=3)
    killing = Killing(actors, plan)
    there = on_a_cluster(STRATEGY, ROUNDS, data=data, launcher=killing, units=3, workers=2)
    assert not killing.plan
    assert same_bits(here, there)


def test_a_worker_that_dies_each_time_ends_training(actors: Actors, data: Dataset, tmp_path: Path) -> None:
    killing = Killing(actors, [("worker 0", "stage")] * 3)
    trainer = cluster_trainer(
        STRATEGY, tmp_path / "run", ROUNDS, dropping, data, launcher=killing, recoveries=2, units=1
    )
    with pytest.raises(TrainingError, match="the 3th death in one round"):
        trainer.fit()


def test_no_room_for_a_process(actors: Actors, data: Dataset, tmp_path: Path) -> None:
    few = Actors(start_seconds=4.0)
    trainer = cluster_trainer(
        STRATEGY, tmp_path / "run", ROUNDS, dropping, data, launcher=few, workers=8, shards=2
    )
    with pytest.raises(TrainingError, match="has not begun after 4 seconds"):
        trainer.fit()
