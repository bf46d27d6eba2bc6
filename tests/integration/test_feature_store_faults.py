"""Feature stores when processes are killed, disks are full, files are damaged, and Redis is away."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from tests.faults import Worker, small_disk
from tests.unit.feature_store.redis_server import RedisServer

from mamdr.errors import DataError, ServiceError
from mamdr.feature_store import compact, create, open_store
from mamdr.feature_store.folder import current, open_updatable, verify
from mamdr.seeds import generator
from mamdr.testing.feature_stores import market

pytest.importorskip("lmdb")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("store")
    market().save(place / "data")
    create(place / "data", place / "store")
    return place / "store"


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "store")
    return tmp_path / "store"


def update(told: Connection, folder: Path, start: int) -> None:
    """Set prices without end, and tell of each that was acknowledged."""
    store = open_updatable(folder)
    told.send(-1)
    while True:
        store.update("item", pl.DataFrame({"item_id": [f"new {start}"], "item:price": [float(start)]}))
        store.observe(pl.DataFrame({"user_id": ["u1"], "item_id": [f"new {start}"], "domain": ["fresh"]}))
        told.send(start)
        start += 1


def compact_on(told: Connection, folder: Path) -> None:
    told.send("")
    while True:
        told.send(compact(folder))
        time.sleep(0.002)


def test_kills_of_updates_and_compactions_at_any_moment(folder: Path) -> None:
    draw, done, compactions = generator(1, "kills"), 0, 0
    for _ in range(7):
        writer, compactor = Worker(update, folder, done), Worker(compact_on, folder)
        writer.first(), compactor.first()
        time.sleep(float(draw.uniform(0.1, 0.5)))
        compactions += len(set(compactor.kill()))
        done = max([done - 1, *writer.kill()]) + 1
        verify(folder)
        store = open_updatable(folder)
        names = [f"new {number}" for number in range(done)]
        prices = store.lookup("item", names).columns["item:price"]
        assert torch.equal(prices, store.encode("item:price", [float(number) for number in range(done)]))
        assert set(names) <= store.seen("fresh", "u1") <= {*names, f"new {done}"}
        assert sorted(set(names)) == sorted(name for name in store.candidates("fresh").ids if name in names)
    assert done > 10
    assert compactions > 3
    assert len(list((folder / "snapshots").glob("[0-9]*"))) <= 3


@pytest.mark.parametrize("step", ["save", "write_json", "drop", "_retire"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_at_each_step_of_a_compaction(step: str, moment: str, folder: Path) -> None:
    store = open_updatable(folder)
    store.update("item", pl.DataFrame({"item_id": ["new"], "item:price": [3.0]}))
    worker = Worker(dying, folder, step, moment)
    worker.rest()
    assert worker.process.exitcode == 9
    again = open_updatable(folder)
    for found in (store, again):
        assert torch.equal(
            found.lookup("item", ["new"]).columns["item:price"], found.encode("item:price", [3.0])
        )
    compact(folder)
    verify(folder)
    assert not list(folder.rglob(".*.part"))
    assert torch.equal(again.lookup("item", ["new"]).columns["item:price"], again.encode("item:price", [3.0]))
    assert again.version == current(folder)


def dying(told: Connection, folder: Path, step: str, moment: str) -> None:
    """Compact, and end as by kill -9 at a step."""
    import mamdr.feature_store.folder as module
    from mamdr.feature_store import files
    from mamdr.feature_store.lmdb_log import LmdbLog

    owner: Any = {"save": files, "drop": LmdbLog}.get(step, module)
    real = getattr(owner, step)

    def wrapped(*given: Any) -> None:
        if moment == "after":
            real(*given)
        os._exit(9)

    setattr(owner, step, wrapped)
    compact(folder)


def test_a_full_disk_refuses_updates_and_compactions_and_loses_nothing(
    original: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        shutil.copytree(original, disk / "store")
        store, number = open_updatable(disk / "store"), 0
        with pytest.raises(DataError, match="cannot be used"):  # noqa: PT012 until the disk is full
            while True:
                names = [f"{number} {place}" for place in range(100)]
                store.update("item", pl.DataFrame({"item_id": names, "item:price": [1.0] * 100}))
                number += 1
        assert number > 1
        with pytest.raises(DataError, match="No space left on device"):
            compact(disk / "store")
        assert current(disk / "store") == "000001"
        known = {f"{batch} {place}" for batch in range(number) for place in (0, 99)}
        assert (store.lookup("item", sorted(known)).columns["item:price"] != 0).all()
        assert store.lookup("item", [f"{number} 0"]).columns["item:price"] == 0
        del store


def test_a_damaged_snapshot_is_refused(folder: Path) -> None:
    column = folder / "snapshots" / "000001" / "item" / "item%3Aprice.npy"
    whole = column.read_bytes()
    column.write_bytes(whole[:-4])
    with pytest.raises(DataError, match=r"has .* bytes where the manifest says"):
        open_store(folder)
    column.write_bytes(whole[:-4] + b"\0\1\2\3")
    with pytest.raises(DataError, match="its checksum is not the manifest's"):
        verify(folder)
    (folder / "current").write_text("{}")
    with pytest.raises(DataError, match="no file `current` that names a snapshot"):
        verify(folder)


def test_two_compactions_at_once_are_refused(folder: Path) -> None:
    from mamdr.files import locked

    with locked(folder / "lock"), pytest.raises(DataError, match="is being compacted by another process"):
        compact(folder)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as place:
        server = RedisServer(Path(place))
        yield server
        server.kill()


def test_redis_that_goes_away_and_comes_back(folder: Path, redis: RedisServer) -> None:
    clock = [0.0]
    store = open_updatable(folder, redis=redis.url)
    store._clock = lambda: clock[0]
    assert store.health().state == "ok"
    store.update("item", pl.DataFrame({"item_id": ["ï/1"], "item:price": [3.0]}))
    told = store.lookup("item", ["ï/1"]).columns["item:price"]
    redis.kill()
    assert torch.equal(store.lookup("item", ["ï/1"]).columns["item:price"], told), "what was read stays"
    assert store.candidates(store.domains()[0])
    health = store.health()
    assert health.state == "degraded"
    assert "does not answer" in health.reason
    with pytest.raises(ServiceError, match="does not answer"):
        store.update("item", pl.DataFrame({"item_id": ["ï/1"], "item:price": [4.0]}))
    alone = open_updatable(folder, redis=redis.url)
    assert alone.health().state == "degraded"
    assert alone.lookup("item", ["ï/1"]).known.all(), "the snapshot answers"
    redis.start()
    clock[0] = 2.0
    assert store.health().state == "ok"
    assert torch.equal(store.lookup("item", ["ï/1"]).columns["item:price"], told)
    other = open_updatable(folder, redis=redis.url)
    assert torch.equal(other.lookup("item", ["ï/1"]).columns["item:price"], told), "Redis kept it on disk"


def test_redis_that_lost_everything_is_noticed(folder: Path, redis: RedisServer) -> None:
    from redis import Redis

    store = open_updatable(folder, redis=redis.url)
    before = store.lookup("item", ["ï/1"]).columns["item:price"]
    store.update("item", pl.DataFrame({"item_id": ["ï/1"], "item:price": [3.0]}))
    Redis.from_url(redis.url).flushall()
    assert torch.equal(store.lookup("item", ["ï/1"]).columns["item:price"], before)
    store.update("item", pl.DataFrame({"item_id": ["ï/1"], "item:price": [5.0]}))
    assert torch.equal(store.lookup("item", ["ï/1"]).columns["item:price"], store.encode("item:price", [5.0]))


def test_a_machine_without_the_newest_snapshot_is_degraded(
    folder: Path, redis: RedisServer, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "other")
    here, there = (open_updatable(place, redis=redis.url) for place in (folder, tmp_path / "other"))
    here.update("item", pl.DataFrame({"item_id": ["ï/1"], "item:price": [3.0]}))
    assert there.health().state == "ok"
    compact(folder, redis=redis.url, forget=False)
    assert there.health().state == "ok"
    compact(folder, redis=redis.url)
    assert here.health().state == "ok"
    assert "has snapshot 000001 where the updates stand on" in there.health().reason
    assert torch.equal(
        there.lookup("item", ["ï/1"]).columns["item:price"],
        here.lookup("item", ["ï/1"]).columns["item:price"],
    )
