"""`mamdr cluster train`: to its end, interrupted and resumed, and told what is wrong; nothing is left behind."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from tests import commands

from mamdr.testing import tiny_market
from mamdr.training import Run

pytest.importorskip("ray")

RECIPE = {
    "model": {"name": "mlp", "embedding": 4, "hidden": [8]},
    "strategy": {"name": "mamdr", "num_helpers": 1, "outer": {"name": "adagrad"}},
    "inner": {"name": "sgd"},
    "walk": {"batch_size": 8},
    "train": {"rounds": 3, "patience": 0},
    "cluster": {"units": 2},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    tiny_market((40, 26, 9)).save(folder / "data")
    (folder / "recipe.toml").write_text(tomli_w.dumps(RECIPE))
    return folder


def _words(out: str, *more: str) -> list[str]:
    return ["cluster", "train", "recipe.toml", "--data", "data", "--out", out, *more]


def _left() -> set[str]:
    """Processes and temporary folders of clusters of ours."""
    running = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if "/mamdr-ray-" in words and "session_" in words:
            running.add(process.name)
    return running | {path.name for path in Path(tempfile.gettempdir()).glob("mamdr-ray-*")}


def _gone(before: set[str]) -> bool:
    """Whether nothing is left that was not there; a process that was told to end may take a moment."""
    for _ in range(100):
        if not _left() - before:
            return True
        time.sleep(0.1)
    return False


def _until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to that in a minute")


def _last(folder: Path) -> int:
    try:
        return int(json.loads((folder / "run.json").read_text())["last_round"])
    except (OSError, ValueError):
        return 0


def test_trains_to_the_end_and_leaves_a_run_and_nothing_else(place: Path) -> None:
    before = _left()
    told = commands.run(*_words("whole", "--workers", "2"), folder=place)
    assert told.code == 0, told.err
    assert "pulled" in told.err
    assert _gone(before)
    run = Run.open(place / "whole")
    assert run.state.round == run.info["best_round"]
    figures = [event["cluster"] for event in run.events if event["event"] == "round"]
    assert [figure["deaths"] for figure in figures] == [0, 0, 0]
    assert all(figure["traffic"]["bytes_pulled"] > 0 for figure in figures)
    assert set(figures[0]["seconds"]) == {"shared", "specific", "scoring", "checkpoint"}


def test_interrupted_and_resumed_with_other_processes_it_ends_the_same(place: Path) -> None:
    before = _left()
    command = commands.Command(*_words("stopped", "--set", "train.rounds=400"), folder=place)
    _until(lambda: _last(place / "stopped") >= 1)
    command.interrupt()
    told = command.wait()
    assert told.code == 130, told.err
    assert "mamdr: interrupted; go on with: mamdr cluster train" in told.err
    assert _gone(before)
    last = _last(place / "stopped")
    longer = ["--set", f"train.rounds={last + 1}"]
    commands.good(*_words("stopped", "--resume", "--shards", "2", "--quiet", *longer), folder=place)
    events = Run.open(place / "stopped").events
    assert [event["round"] for event in events if event["event"] == "round"] == list(range(1, last + 2))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--address", "127.0.0.1:1"], "no Ray cluster answers at 127.0.0.1:1"),
        (["--address", "nowhere"], "no Ray cluster answers at nowhere"),
        (["--shards", "7"], "7 shards for 960 buckets"),
        (["--set", "cluster.unit=3"], "unknown key cluster.unit"),
        (["--set", "train.jobs=2"], "train.jobs = 2"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(place: Path, more: list[str], says: str) -> None:
    assert says in commands.bad(*_words("wrong", *more), folder=place, code=2)
    assert not (place / "wrong").exists()


def test_one_machine_does_not_train_what_is_for_several_units(place: Path) -> None:
    words = ["train", "recipe.toml", "--data", "data", "--out", "plain"]
    assert "2 units" in commands.bad(*words, folder=place, code=2)


def _without_ray() -> None:
    import sys

    sys.modules["ray"] = None  # type: ignore[assignment]


def test_without_ray_the_extra_is_named(place: Path) -> None:
    told = commands.bad(*_words("none"), folder=place, code=2, prepare=_without_ray)
    assert "pip install 'mamdr[ray]'" in told


def _other_versions() -> None:
    from mamdr.engine.ray import actors

    mine = actors.versions() | {"mamdr": f"of {os.getpid()}"}
    actors.versions = lambda: mine


def test_other_versions_on_a_machine_are_told(place: Path) -> None:
    """A worker's process imports what is installed there: here the command's own claims to be another."""
    before = _left()
    told = commands.run(*_words("versions", "--quiet"), folder=place, prepare=_other_versions)
    assert told.code == 2
    assert "runs on a machine with mamdr" in told.err
    assert _gone(before)
