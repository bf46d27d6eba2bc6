"""Publish, promote and joining, killed at every moment that matters: a registry is before the change or after it."""

from __future__ import annotations

import functools
import importlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.commands import Command, Prepare, good
from tests.faults import Worker, small_disk
from tests.unit.registry.shop import Shop, newcomer_rows, open_shop

from mamdr.errors import DataError
from mamdr.feature_store import open_store
from mamdr.registry import Registry, load, publish
from mamdr.registry.newcomers import Newcomers, Status
from mamdr.serving.onboarding import Trainer
from mamdr.training.joining import JoinOptions

pytest.importorskip("lmdb")

GARDEN = newcomer_rows().with_columns(domain=pl.lit("garden"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return open_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def mine(shop: Shop, tmp_path: Path) -> Shop:
    return shop.copy(tmp_path / "shop")


def assert_consistent(shop: Shop, versions: list[str]) -> None:
    """Every version that can be seen is whole, the pointer names one, and the next publish works and sweeps."""
    registry = Registry(shop.folder / "registry")
    assert registry.names() == versions
    for name in versions:
        registry.verify(name)
    assert registry.pointer().placement.serving in versions
    schema = open_store(shop.features).schema
    load(registry, str(registry.pointer().placement.serving), schema)
    publish(shop.run, registry)
    assert not list(registry.folder.rglob("*.part"))


# Moments: each changes mamdr so that it stands still there, and says so by a file named "reached".


def _stand_still() -> None:
    Path("reached").touch()
    time.sleep(100)


def at_rename(target: str, *, after: bool) -> None:
    real = os.replace

    def wrapped(source: Any, to: Any) -> None:
        here = Path(to).name == target
        if not here or after:
            real(source, to)
        if here:
            _stand_still()

    os.replace = wrapped  # type: ignore[assignment]


def while_parameters_are_written() -> None:
    module: Any = importlib.import_module("mamdr.registry.publish")  # the package has a function of the name

    def half(folder: Path, state: Any) -> None:
        (folder / "dense.npy").write_bytes(b"half")
        _stand_still()

    module.write_state = half


def before_the_manifest() -> None:
    module: Any = importlib.import_module("mamdr.registry.publish")  # the package has a function of the name

    module.write_manifest = lambda *args: _stand_still()


def while_an_old_version_is_removed() -> None:
    from mamdr.registry import registry as module

    def hidden(folder: Path) -> None:
        os.replace(folder, folder.with_name(f".{folder.name}.0.part"))
        _stand_still()

    module.discard = hidden


PUBLISH: dict[str, tuple[Prepare, int]] = {
    "while parameters are written": (while_parameters_are_written, 1),
    "before the manifest": (before_the_manifest, 1),
    "before the rename": (functools.partial(at_rename, "v00002", after=False), 1),
    "after the rename": (functools.partial(at_rename, "v00002", after=True), 2),
}


def kill_at(mine: Shop, prepare: Callable[[], None], *words: object) -> None:
    command = Command(*words, folder=mine.folder, prepare=prepare)
    end = time.monotonic() + 100
    while not (mine.folder / "reached").exists():
        assert command.process.is_alive(), (mine.folder / "stderr").read_text()
        assert time.monotonic() < end
        time.sleep(0.02)
    command.kill()
    command.process.join()


@pytest.mark.parametrize("moment", PUBLISH)
def test_a_publish_that_is_killed(mine: Shop, moment: str) -> None:
    prepare, count = PUBLISH[moment]
    kill_at(mine, prepare, "publish", "run", "registry")
    assert_consistent(mine, [f"v{number:05d}" for number in range(1, count + 1)])


@pytest.mark.parametrize(("after", "serving"), [(False, "v00001"), (True, "v00002")])
def test_a_promote_that_is_killed(mine: Shop, after: bool, serving: str) -> None:
    publish(mine.run, mine.registry)
    kill_at(mine, functools.partial(at_rename, "current.json", after=after), "promote", "registry", "v00002")
    assert mine.registry.pointer().placement.serving == serving
    assert_consistent(mine, ["v00001", "v00002"])


def test_a_retention_that_is_killed(mine: Shop) -> None:
    for _ in range(2):
        publish(mine.run, mine.registry)
    kill_at(mine, while_an_old_version_is_removed, "publish", "run", "registry", "--keep", "1")
    assert_consistent(mine, ["v00001", "v00003", "v00004"])


def joining(told: Any, folder: Path, prepare: Callable[[], None]) -> None:
    """What the service's process of joining does, in a folder of its own."""
    os.chdir(folder)
    prepare()
    told.send(trainer(folder).run())


def trainer(folder: Path) -> Trainer:
    return Trainer(Registry(folder / "registry"), [open_store(folder / "features")], JoinOptions(rounds=3))


def in_a_walk() -> None:
    from mamdr.engine import Walker

    Walker.__call__ = lambda *args: _stand_still()  # type: ignore[assignment, method-assign]


JOIN: dict[str, Callable[[], None]] = {
    "in a walk": in_a_walk,
    "before its version is renamed": functools.partial(at_rename, "v00002", after=False),
    "between version and promote": functools.partial(at_rename, "v00002", after=True),
    "after it is promoted": functools.partial(at_rename, "current.json", after=True),
}


@pytest.mark.parametrize("moment", JOIN)
def test_a_joining_that_is_killed_is_made_good(mine: Shop, moment: str) -> None:
    newcomer = Newcomers(mine.registry).put("garden")
    newcomer.add(GARDEN)
    worker = Worker(joining, mine.folder, JOIN[moment])
    end = time.monotonic() + 100
    while not (mine.folder / "reached").exists():
        assert worker.process.is_alive()
        assert time.monotonic() < end
        time.sleep(0.02)
    worker.kill()
    assert newcomer.status().phase == "training"
    assert trainer(mine.folder).run() == 1
    status = newcomer.status()
    assert status.phase == "live", status
    assert mine.registry.pointer().placement.of("garden") == status.version
    names = mine.registry.names()
    assert_consistent(mine, names)


def test_a_joining_that_is_cut_off_again_and_again_is_given_up(mine: Shop) -> None:
    newcomer = Newcomers(mine.registry).put("garden")
    newcomer.add(GARDEN)
    newcomer.tell(Status("training", 1, attempts=3))  # as three trainings left it that were killed
    assert trainer(mine.folder).run() == 1
    assert (newcomer.status().phase, "3 times" in newcomer.status().reason) == ("failed", True)
    newcomer.add(GARDEN)
    assert trainer(mine.folder).run() == 1
    assert newcomer.status().phase == "live"


def test_a_full_disk_at_publish_and_promote_leaves_what_was(shop: Shop, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "1m") as disk:
        mine = shop.copy(disk / "shop")
        (disk / "fill").write_bytes(b"x" * (_free(disk) - 4096))
        with pytest.raises(DataError, match="No space left"):
            publish(shop.run, mine.registry)
        (disk / "fill").unlink()
        assert mine.registry.names() == ["v00001"]
        mine.registry.verify("v00001")
        assert not list(mine.registry.folder.rglob("*.part"))


def test_the_clock_decides_nothing(mine: Shop) -> None:
    """A version published in the past, by its clock, is the newest all the same."""
    good("publish", "run", "registry", folder=mine.folder)
    manifest = json.loads((mine.registry.path("v00002") / "manifest.json").read_text())
    Command("publish", "run", "registry", folder=mine.folder, prepare=long_ago).wait()
    earlier = mine.registry.manifest("v00003")["created"]
    assert earlier < manifest["content"]["created"]
    assert mine.registry.names()[-1] == "v00003"
    assert mine.registry.retain(1) == ["v00002"]


def long_ago() -> None:
    from mamdr.registry import manifest

    manifest.now = lambda: "1999-12-31T23:59:59+00:00"


def _free(disk: Path) -> int:
    held = os.statvfs(disk)
    return held.f_bavail * held.f_frsize
