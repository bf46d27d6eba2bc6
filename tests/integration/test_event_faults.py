"""No acknowledged event is lost and none is doubled: killed processes, full disks, posts that come again."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.faults import Worker, small_disk

from mamdr.errors import DataError
from mamdr.seeds import generator
from mamdr.serving.events import EventLog, EventSettings

pytest.importorskip("lmdb")

SETTINGS = EventSettings(rows=40)


def event(name: str) -> dict[str, Any]:
    return {"id": name, "type": "click", "domain": "d", "user": "u", "item": "i" * 50, "version": "v"}


def post(told: Connection, folder: Path, name: str, start: int) -> None:
    """Post batches of 7 without end, and tell of each that was acknowledged; files are written all the while."""
    log = EventLog(folder, SETTINGS)
    told.send(-1)
    while True:
        log.append([event(f"{name}-{start}-{place}") for place in range(7)])
        told.send(start)
        start += 1


def rotate(told: Connection, folder: Path) -> None:
    log = EventLog(folder, SETTINGS)
    told.send(-1)
    while True:
        log.rotate()
        time.sleep(0.002)


def kept(folder: Path) -> list[str]:
    """All events, in files or still pending, after whatever happened."""
    log = EventLog(folder, SETTINGS)
    log.rotate()
    assert not list(folder.glob(".*.part"))
    return [name for path in log.files() for name in pl.read_parquet(path)["event"]]


def wanted(name: str, batches: int) -> set[str]:
    return {f"{name}-{batch}-{place}" for batch in range(batches) for place in range(7)}


def test_kills_at_any_moment(tmp_path: Path) -> None:
    """Two workers and one who writes files, killed again and again; what was not acknowledged is posted again."""
    draw = generator(1, "kills")
    done = {"a": 0, "b": 0}
    for _ in range(8):
        workers = {name: Worker(post, tmp_path, name, start) for name, start in done.items()}
        writer = Worker(rotate, tmp_path)
        for worker in (*workers.values(), writer):
            assert worker.first() == -1
        time.sleep(float(draw.uniform(0.0, 0.25)))
        writer.kill()
        for name, worker in workers.items():
            done[name] = max([done[name] - 1, *worker.kill()]) + 1
    found = kept(tmp_path)
    assert len(found) == len(set(found)), "an event was doubled"
    missing = (wanted("a", done["a"]) | wanted("b", done["b"])) - set(found)
    assert not missing, "an acknowledged event was lost"
    assert min(done.values()) > 8
    assert set(found) <= wanted("a", done["a"] + 1) | wanted("b", done["b"] + 1), "no more than was posted"


@pytest.mark.parametrize("moment", ["chosen", "written", "settled"])
def test_a_kill_at_each_step_of_a_file(moment: str, tmp_path: Path) -> None:
    worker = Worker(rotate_until, tmp_path, moment)
    assert worker.rest() == ["begun"]
    assert worker.process.exitcode == 9
    log = EventLog(tmp_path, SETTINGS)
    assert log.append([event("e0"), event("late")]) == 1
    assert sorted(kept(tmp_path)) == sorted([*(f"e{number}" for number in range(5)), "late"])


def rotate_until(told: Connection, folder: Path, moment: str) -> None:
    """Die as a kill -9 would have it, behind one step of writing a file."""
    import os

    import mamdr.serving.events as module

    def dying(name: str) -> None:
        real = getattr(module, name)

        def wrapped(*given: Any) -> Any:
            found = real(*given)
            os._exit(9)
            return found

        setattr(module, name, wrapped)

    log = EventLog(folder, SETTINGS)
    log.append([event(f"e{number}") for number in range(5)])
    told.send("begun")
    if moment == "chosen":  # the stretch is put down, the file is not begun
        dying("_until")
    elif moment == "written":  # the file is there, its events are still pending
        module._settle = lambda *given: os._exit(9)  # type: ignore[assignment]
    else:  # all but the commit of the last step
        dying("_settle")
    log.rotate()


def test_a_full_disk_refuses_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "512k") as disk:
        log = EventLog(disk / "events", EventSettings(rows=10**6))
        filler, number, troubles = disk / "filler", 0, 0
        filler.write_bytes(bytes(100_000))
        while troubles < 3:
            try:
                log.append([event(f"{number}-{place}") for place in range(20)])
                number += 1
            except DataError:
                troubles += 1
        assert number > 3
        with pytest.raises(DataError, match="No space left on device"):
            log.rotate()
        assert log.pending() == number * 20
        filler.unlink()
        assert log.append([event("after")]) == 1
        names = [f"{batch}-{place}" for batch in range(number) for place in range(20)]
        assert kept(disk / "events") == [*names, "after"]
        del log


def test_a_new_worker_goes_on_where_another_is_at_work(tmp_path: Path) -> None:
    """Opening the log removes nothing that another process is writing."""
    writer = Worker(rotate, tmp_path)
    assert writer.first() == -1
    for number in range(60):
        EventLog(tmp_path, SETTINGS).append([event(str(number))])
    writer.kill()
    assert sorted(kept(tmp_path), key=int) == [str(number) for number in range(60)]
