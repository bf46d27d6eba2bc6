"""A run whose specific parts are on disk is the run whose specific parts are in memory, stopped, killed or not."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Command, good
from tests.unit.training.runs import RECIPE as TABLES
from tests.unit.training.runs import WALK, Normed
from torch import nn

import mamdr
from mamdr.errors import CheckpointError
from mamdr.parameters import Specific
from mamdr.strategies import MAMDR, Finetune, Separate, Strategy
from mamdr.testing import TwoTables, same_bits, tiny_market
from mamdr.training import Run, Trainer, TrainOptions, checkpoint
from mamdr.training.shelf import Shelf

ROUNDS = 3
RECIPE = f"""
[model]
name = "mlp"
embedding = 4
hidden = [8]
[strategy]
name = "mamdr"
num_helpers = 1
rows = "own"
[specific]
memory = "1KB"
[walk]
batch_size = 64
[train]
rounds = {ROUNDS}
patience = 0
"""


def train(
    folder: Path | None,
    memory: str | None,
    strategy: Strategy,
    *,
    resume: bool = False,
    module: Callable[[], nn.Module] = Normed,
    **options: Any,
) -> Run:
    settings = TrainOptions(**{"rounds": ROUNDS, "patience": 0, **options})
    specific = Specific(rank=1, memory=memory)
    trainer = Trainer(
        module(), tiny_market(), strategy, settings, WALK, specific=specific, folder=folder, recipe=TABLES
    )
    return trainer.fit(resume=resume)


@pytest.mark.parametrize(
    "strategy",
    [MAMDR(num_helpers=2, keep=0.5), Finetune(MAMDR(num_helpers=1)), Separate()],
    ids=["mamdr", "fine-tuned", "separate"],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_on_disk_is_in_memory_and_stopping_changes_nothing(
    strategy: Strategy, jobs: int, tmp_path: Path
) -> None:
    straight = train(tmp_path / "memory", None, strategy)
    for rounds in range(1, ROUNDS + 1):
        memory = ("1KB", "1MB", None)[rounds % 3]
        stopped = train(tmp_path / "disk", memory, strategy, rounds=rounds, jobs=jobs, resume=True)
    assert same_bits(straight.state, stopped.state)
    assert same_bits(straight.state, train(None, "1KB", strategy).state)
    assert straight.evaluate() == stopped.evaluate()
    del stopped
    gc.collect()
    assert not list((tmp_path / "disk").glob(".*.part"))


@pytest.mark.parametrize("snapshots", [1, 2])
def test_rounds_of_their_own_are_on_disk_too(snapshots: int, tmp_path: Path) -> None:
    """What serves each domain by its own round, or by several, is as bounded as its specific part."""
    how: dict[str, Any] = {
        "module": TwoTables,
        "choose": "domain",
        "shares": (0.0, 1.0),
        "snapshots": snapshots,
    }
    straight = train(tmp_path / "memory", None, MAMDR(num_helpers=1), **how)
    for rounds in range(1, ROUNDS + 1):
        memory = ("1KB", "1MB", None)[rounds % 3]
        stopped = train(tmp_path / "disk", memory, MAMDR(num_helpers=1), rounds=rounds, resume=True, **how)
    assert straight.state.chosen
    assert bool(straight.state.further) == (snapshots > 1)
    assert same_bits(straight.state, stopped.state)
    on_disk = train(tmp_path / "small", "1KB", MAMDR(num_helpers=1), **how)
    assert isinstance(on_disk.state.chosen, Shelf)
    assert isinstance(on_disk.state.further, Shelf)
    assert same_bits(straight.state, on_disk.state)
    assert straight.evaluate() == on_disk.evaluate()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    mamdr.synthetic_market(domains=6, users=60, items=30, samples_per_domain=100).save(folder / "data")
    (folder / "recipe.toml").write_text(RECIPE)
    good("train", "recipe.toml", "--data", "data", "--out", "straight", folder=folder)
    return folder


def _stand_still() -> None:
    Path("reached").touch()
    time.sleep(100)


def while_a_part_is_written() -> None:
    from mamdr.training.segments import Segment

    calls, real = iter(range(1, 1000)), Segment.append

    def half(self: Segment, point: Any) -> Any:
        if next(calls) == 10:
            os.pwrite(self._file.fileno(), b"half", self.size)
            _stand_still()
        return real(self, point)

    Segment.append = half  # type: ignore[method-assign]


def while_files_are_shared() -> None:
    calls, real = iter(range(1, 1000)), os.link

    def wrapped(source: Any, target: Any) -> None:
        real(source, target)
        if next(calls) == 2:
            _stand_still()

    os.link = wrapped  # type: ignore[assignment]


def while_an_old_checkpoint_is_removed() -> None:
    real = shutil.rmtree

    def wrapped(folder: Any, **kwargs: Any) -> None:
        if ".round-0000" in str(folder) and Path(folder).exists():
            for file in (Path(folder) / "specific").iterdir():
                file.unlink()
            _stand_still()
        real(folder, **kwargs)

    shutil.rmtree = wrapped  # type: ignore[assignment]


@pytest.mark.parametrize(
    "moment", [while_a_part_is_written, while_files_are_shared, while_an_old_checkpoint_is_removed]
)
def test_killed_at(moment: Callable[[], None], place: Path) -> None:
    (place / "reached").unlink(missing_ok=True)
    words = ("train", "recipe.toml", "--data", "data", "--out", moment.__name__)
    command = Command(*words, folder=place, prepare=moment)
    while not (place / "reached").exists():
        assert command.process.is_alive(), command.wait()
        time.sleep(0.01)
    command.kill()
    assert command.wait().code == -signal.SIGKILL
    good(*words, "--resume", folder=place)
    runs = [Run.open(place / name) for name in ("straight", moment.__name__)]
    assert same_bits(runs[0].state, runs[1].state)
    assert not list((place / moment.__name__).rglob(".*.part"))


def test_every_file_is_checked(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "straight", tmp_path / "run")
    file = next((tmp_path / "run").glob("checkpoints/*/specific/*"))
    whole = file.read_bytes()
    for damaged in (whole[:-1], bytes([whole[0] ^ 1]) + whole[1:], None):
        file.unlink()
        if damaged is not None:
            file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"is damaged \("):
            checkpoint.load(file.parents[1], Run.open(place / "straight").space)
