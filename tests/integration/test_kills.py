"""A training that is killed goes on to what it would have come to, and nothing half-written is ever read."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import faults
from tests.commands import Command, bad, good, run
from tests.unit.training.runs import assert_same_run

import mamdr
from mamdr.seeds import generator
from mamdr.training.checkpoint import read_meta

ROUNDS = 3
RECIPE = f"""
[model]
name = "mlp"
embedding = 4
hidden = [8]
[strategy]
name = "mamdr"
num_helpers = 1
outer = {{ name = "adam" }}
[walk]
batch_size = 64
[train]
rounds = {ROUNDS}
patience = 0
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a recipe, and the run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("kills")
    mamdr.synthetic_market(domains=3, users=60, items=30, samples_per_domain=200).save(folder / "data")
    (folder / "recipe.toml").write_text(RECIPE)
    good(*words("straight"), folder=folder)
    return folder


def words(out: str, *more: str) -> list[str]:
    return ["train", "recipe.toml", "--data", "data", "--out", out, *more]


def resume(place: Path, name: str, jobs: int = 1) -> None:
    good(*words(name, "--resume", "--set", f"train.jobs={jobs}"), folder=place)


def assert_whole(folder: Path) -> None:
    """What can be seen under checkpoints is whole, and `run.json` points at it."""
    rounds = [read_meta(path)["round"] for path in folder.glob("checkpoints/[!.]*")]
    if (folder / "run.json").exists():
        info = mamdr.training.folder.read_info(folder)
        assert {info["last_round"], info["best_round"]} <= {0, *rounds}


# Moments. Each changes mamdr so that it stands still there in round 2, and says so by a file named "reached".


def _stand_still() -> None:
    Path("reached").touch()
    time.sleep(100)


def _at(owner: Any, name: str, number: int, act: Callable[..., object] | None = None) -> None:
    """Stand still at call `number` of a function, after `act` in its place."""
    calls, real = iter(range(1, 1000)), getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == number:
            if act is not None:
                act(real, *args, **kwargs)
            _stand_still()
        return real(*args, **kwargs)

    setattr(owner, name, wrapped)


def in_a_walk() -> None:
    from mamdr.engine import Walker

    _at(Walker, "__call__", 6, lambda real, *args: real(*args))


def while_tensors_are_written() -> None:
    from mamdr.training import checkpoint

    def half(real: Callable[..., object], tensors: Any, path: Path) -> None:
        real(tensors, path)
        os.truncate(path, path.stat().st_size // 2)

    _at(checkpoint, "save_file", 2, half)


def between_tensors_and_their_description() -> None:
    from mamdr.training import checkpoint

    _at(checkpoint, "write_json", 2)


def _at_rename(target: str, number: int, *, after: bool) -> None:
    seen, real = iter(range(1, 1000)), os.replace

    def wrapped(source: Any, to: Any) -> None:
        here = Path(to).name == target and next(seen) == number
        if not here or after:
            real(source, to)
        if here:
            _stand_still()

    os.replace = wrapped  # type: ignore[assignment]


before_the_checkpoint_is_renamed = functools.partial(_at_rename, "round-00002", 1, after=False)
after_the_checkpoint_is_renamed = functools.partial(_at_rename, "round-00002", 1, after=True)
before_run_json_is_renamed = functools.partial(_at_rename, "run.json", 3, after=False)
after_run_json_is_renamed = functools.partial(_at_rename, "run.json", 3, after=True)
between_recipe_and_run_json = functools.partial(_at_rename, "run.json", 1, after=False)


def while_an_event_is_written() -> None:
    from mamdr.training.events import JsonLines

    def half(real: Callable[..., object], self: JsonLines, event: Any) -> None:
        real(self, event)
        os.truncate(self.path, self.path.stat().st_size - 20)

    _at(JsonLines, "hear", 3, half)


def while_an_old_checkpoint_is_removed() -> None:
    def half(real: Callable[..., object], folder: Path, **kwargs: Any) -> None:
        (Path(folder) / "meta.json").unlink()

    seen, real = iter(range(1, 1000)), shutil.rmtree

    def wrapped(folder: Any, **kwargs: Any) -> None:
        if ".round-0000" in str(folder) and Path(folder).exists() and next(seen) == 1:
            half(real, folder)
            _stand_still()
        real(folder, **kwargs)

    shutil.rmtree = wrapped  # type: ignore[assignment]


MOMENTS = [
    in_a_walk,
    while_tensors_are_written,
    between_tensors_and_their_description,
    before_the_checkpoint_is_renamed,
    after_the_checkpoint_is_renamed,
    while_an_event_is_written,
    before_run_json_is_renamed,
    after_run_json_is_renamed,
    while_an_old_checkpoint_is_removed,
    between_recipe_and_run_json,
]


def _name(moment: Any) -> str:
    return next(name for name, value in globals().items() if value is moment)


@pytest.mark.parametrize("moment", MOMENTS, ids=_name)
def test_killed_at(moment: Callable[[], None], place: Path) -> None:
    name = _name(moment)
    (place / "reached").unlink(missing_ok=True)
    command = Command(*words(name), folder=place, prepare=moment)
    while not (place / "reached").exists():
        assert command.process.is_alive(), command.wait()
        time.sleep(0.01)
    command.kill()
    assert command.wait().code == -signal.SIGKILL
    assert_whole(place / name)
    resume(place, name)
    assert_same_run(place / "straight", place / name)


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_random_moments_until_it_is_done(jobs: int, place: Path) -> None:
    name, draw = f"random-{jobs}", generator(jobs, "kills")
    for _ in range(5):
        more = ("--resume", "--set", f"train.jobs={jobs}")
        command = Command(*words(name, *more), folder=place)
        time.sleep(float(draw.uniform(0.05, 0.8)))
        command.kill()
        command.wait()
        assert_whole(place / name)
    resume(place, name, jobs)
    assert_same_run(place / "straight", place / name)


def full_disk() -> None:
    """The second checkpoint finds the disk full, as safetensors says it."""
    from safetensors import SafetensorError

    import mamdr.training.checkpoint

    owner: Any = mamdr.training.checkpoint

    def full(*args: Any, **kwargs: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    calls, real = iter(range(1, 1000)), owner.save_file
    owner.save_file = lambda *args: full() if next(calls) == 2 else real(*args)


def full_disk_at_a_rename() -> None:
    seen, real = iter(range(1, 1000)), os.replace

    def wrapped(source: Any, to: Any) -> None:
        if Path(to).name == "run.json" and next(seen) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, to)

    os.replace = wrapped  # type: ignore[assignment]


@pytest.mark.parametrize("trouble", [full_disk, full_disk_at_a_rename], ids=_name)
def test_a_disk_that_is_full_for_a_moment(trouble: Callable[[], None], place: Path) -> None:
    name = _name(trouble)
    said = bad(*words(name, "--quiet"), folder=place, prepare=trouble)
    assert "No space left on device" in said
    assert "Free some space" in said
    assert_whole(place / name)
    assert not list((place / name).rglob(".*.part"))
    resume(place, name)
    assert_same_run(place / "straight", place / name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    with faults.small_disk(tmp_path / "disk", "256k") as disk:
        yield disk


def test_a_disk_that_is_really_full(place: Path, small_disk: Path) -> None:
    out = str(small_disk / "run")
    good(*words(out, "--set", "train.rounds=1"), folder=place)
    filler, spare, troubles = small_disk / "filler", 0, 0
    while True:  # with a little more room each time, so that it is another write that fails
        filler.unlink(missing_ok=True)
        filler.write_bytes(bytes(max(0, shutil.disk_usage(small_disk).free - spare)))
        result = run(*words(out, "--resume", "--quiet"), folder=place)
        assert_whole(small_disk / "run")
        if not result.code:
            break
        assert result.code == 1, result
        assert result.err.startswith("mamdr: cannot write"), result.err
        assert result.err.count("\n") == 1, result.err
        assert "No space left on device" in result.err
        spare, troubles = spare + 4096, troubles + 1
    assert troubles > 3
    assert_same_run(place / "straight", small_disk / "run")
