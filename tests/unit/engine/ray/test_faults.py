"""Who dies, wherever and however often: what is trained stays the same to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.unit.engine.ray.lab import Death, Fate, cluster_trainer, last_state, on_a_cluster

from mamdr.engine import Walker
from mamdr.engine.ray import trainer as cluster
from mamdr.engine.ray.manifest import Manifest
from mamdr.errors import DataError, MamdrError, TrainingError
from mamdr.parameters.outer import Adagrad
from mamdr.strategies import MAMDR, DomainNegotiation, DomainRegularization, Outcome, State, Then, Walk
from mamdr.testing import same_bits
from mamdr.training import folder as run_folder
from mamdr.training import trainer as outer_loop

STRATEGY = MAMDR(num_helpers=2, outer=Adagrad(lr=0.3))
SIZES = {"units": 3, "shards": 2, "workers": 2}
ROUNDS = 2
POINTS = [
    ("dense", "pull", 2),
    ("dense", "stage", 4),
    ("dense", "commit", 2),
    ("dense", "save", 2),
    ("shard 1", "pull", 9),
    ("shard 0", "stage", 5),
    ("shard 1", "units_staged", 2),
    ("shard 0", "commit", 2),
    ("shard 1", "save", 2),
    ("shard 1", "load", 1),
    ("worker 0", "stage", 3),
    ("worker 1", "walker", 1),
    ("worker 1", "walker", 9),
    ("worker 0", "walk", 3),
    ("worker 1", "push", 3),
    ("worker 1", "score", 2),
    ("worker 0", "facts", 2),
    ("worker 0", "save", 1),
    ("worker 0", "connect", 1),
]


@pytest.fixture(scope="module")
def straight() -> State:
    return on_a_cluster(STRATEGY, ROUNDS, **SIZES)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("name", "method", "turn"), POINTS)
def test_a_death_at_any_point(straight: State, name: str, method: str, turn: int, after: bool) -> None:
    fate = Fate([Death(name, method, after, turn)])
    state = on_a_cluster(STRATEGY, ROUNDS, kinds=fate.kinds(), **SIZES)
    assert fate.deaths[0].happened
    assert same_bits(straight, state)


@pytest.mark.parametrize(
    "deaths",
    [
        [Death("worker 0", "stage", True, 1), Death("worker 0", "stage", False, 2)],
        [Death("shard 0", "commit", True, 1), Death("shard 1", "commit", True, 2)],
        [Death("worker 1", "push", True, 1), Death("dense", "save", False, 1)],
        [Death("shard 1", "load", False, 1), Death("shard 1", "load", True, 2)],
        [Death("dense", "stage", True, 2), Death("worker 1", "walker", True, 2)],
        [Death("worker 0", "walk", True, 1), Death("worker 0", "load", True, 2)],
    ],
)
def test_two_deaths_in_one_run(straight: State, deaths: list[Death]) -> None:
    state = on_a_cluster(STRATEGY, ROUNDS, kinds=Fate(deaths).kinds(), **SIZES)
    assert all(death.happened for death in deaths)
    assert same_bits(straight, state)


def test_an_owner_whose_walks_came_before_the_shared_ones() -> None:
    """It cannot make them again: the shared parameters have moved. The round begins anew."""
    strategy = Then(DomainRegularization(num_helpers=1), DomainNegotiation())
    fate = Fate([Death("worker 1", "facts", False, 1)])
    assert same_bits(
        on_a_cluster(strategy, 2, workers=2), on_a_cluster(strategy, 2, workers=2, kinds=fate.kinds())
    )
    assert fate.deaths[0].happened


def test_too_many_deaths_end_training_with_the_last_round_kept(tmp_path: Path) -> None:
    deaths = [Death("worker 0", "stage", False, turn) for turn in range(3, 20)]
    trainer = cluster_trainer(
        STRATEGY, tmp_path / "run", ROUNDS, kinds=Fate(deaths).kinds(), recoveries=3, **SIZES
    )
    with pytest.raises(TrainingError, match=r"worker 0 died .* the 4th death in one round"):
        trainer.fit()
    assert run_folder.read_info(tmp_path / "run")["last_round"] == 1
    assert last_state(trainer, 1).round == 1


def test_a_worker_out_of_memory_ends_training_with_the_last_round_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch raises where the system has no more, in the second round's first walk."""
    real = Walker.__call__

    def greedy(walker: Walker, walk: Walk) -> Outcome:
        if run_folder.read_info(tmp_path / "run")["last_round"]:
            torch.empty(1 << 55)
        return real(walker, walk)

    monkeypatch.setattr(Walker, "__call__", greedy)
    trainer = cluster_trainer(STRATEGY, tmp_path / "run", ROUNDS, **SIZES)
    with pytest.raises(
        TrainingError, match=r"worker \d ran out of memory in a walk over \d+ domains?; .* more units"
    ):
        trainer.fit()
    assert run_folder.read_info(tmp_path / "run")["last_round"] == 1
    assert last_state(trainer, 1).round == 1


class Dead(BaseException):
    """The coordinator is gone."""


def _die(*args: object, **settings: object) -> None:
    raise Dead


COORDINATOR = {
    "within a commit": lambda patch: _patch_turn(patch, "mamdr.engine.ray.shard.Shard.commit", 5),
    "within a walk": lambda patch: _patch_turn(patch, "mamdr.engine.ray.worker.Worker.stage", 4),
    "with half of the files written": lambda patch: _patch_turn(
        patch, "mamdr.engine.ray.worker.Worker.save", 3
    ),
    "before the manifest": lambda patch: _patch_turn(patch, "mamdr.engine.ray.manifest.Manifest.write", 3),
    "before the run points at it": lambda patch: _patch_turn(patch, "mamdr.training.trainer.write_info", 3),
}
"""When it dies: in the second round, in each case."""


def _patch_turn(patch: pytest.MonkeyPatch, where: str, turn: int) -> None:
    """Let call number `turn` be the coordinator's last moment."""
    module, _, name = where.rpartition(".")
    owner: object = outer_loop if module == "mamdr.training.trainer" else _class(module)
    real, count = getattr(owner, name), [0]

    def counted(*args: object, **settings: object) -> object:
        count[0] += 1
        return _die() if count[0] == turn else real(*args, **settings)

    patch.setattr(owner, name, counted)


def _class(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name)


@pytest.mark.parametrize("how", COORDINATOR.values(), ids=COORDINATOR.keys())
@pytest.mark.parametrize("size", [(2, 2), (3, 1)], ids=["as before", "other sizes"])
def test_the_coordinator_dies_and_goes_on(
    straight: State, tmp_path: Path, how: Callable[[pytest.MonkeyPatch], None], size: tuple[int, int]
) -> None:
    doomed = cluster_trainer(STRATEGY, tmp_path / "run", ROUNDS, **SIZES)
    with pytest.MonkeyPatch.context() as patch:
        how(patch)
        with pytest.raises(Dead):
            doomed.fit()
    assert run_folder.read_info(tmp_path / "run")["last_round"] == 1
    sizes = SIZES | {"shards": size[0], "workers": size[1]}
    trainer = cluster_trainer(STRATEGY, tmp_path / "run", ROUNDS, **sizes)
    trainer.fit(resume=True)
    assert same_bits(straight, last_state(trainer, ROUNDS))


@pytest.mark.parametrize("where", ["rows", "parts", "state"])
def test_a_disk_that_fills_at_the_checkpoint(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = cluster_trainer(STRATEGY, tmp_path / "run", ROUNDS, **SIZES)
    called = {
        "rows": "slices.save_file",
        "parts": "worker.checkpoint.save",
        "state": "trainer.checkpoint.save",
    }
    full = DataError("cannot write: No space left on device", "space", "Free some")
    count = [0]

    def fills(*args: object, **settings: object) -> None:
        count[0] += 1
        if trainer._members is not None and trainer.members.manifest.round == 1:
            raise OSError(28, "No space left on device") if where == "rows" else full
        real(*args, **settings)

    module, _, name = f"mamdr.engine.ray.{called[where]}".rpartition(".")
    owner = _class(module) if where != "rows" else __import__(module, fromlist=[name])
    real = getattr(owner, name)
    monkeypatch.setattr(owner, name, fills)
    with pytest.raises(MamdrError, match="No space left"):
        trainer.fit()
    assert run_folder.read_info(tmp_path / "run")["last_round"] == 1
    assert Manifest.read(cluster.round_folder(trainer.place, 1)).round == 1
    assert not list((tmp_path / "run").rglob(".*.part"))
