"""Events are kept once, in order, and become files that the next training reads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mamdr.data.building import build
from mamdr.data.readers import table
from mamdr.errors import ConfigError, DataError
from mamdr.serving.events import EventLog, EventSettings
from mamdr.serving.training_log import training_log

pytest.importorskip("lmdb")


def event(name: str, **more: Any) -> dict[str, Any]:
    base = {"id": name, "type": "exposure", "domain": "books", "user": "u", "item": "i", "version": "v1"}
    return base | more


def ids(log: EventLog) -> list[str]:
    return [name for path in log.files() for name in pl.read_parquet(path)["event"]]


def test_a_file_holds_the_events_in_order(tmp_path: Path) -> None:
    log = EventLog(tmp_path, now=lambda: 1700.9)
    assert log.append([event("a"), event("b", type="click", timestamp=5)]) == 2
    assert log.append([event("c", user="ünï/../\0", item=17)]) == 1
    assert log.pending() == 3
    written = log.rotate()
    assert written is not None
    rows = pl.read_parquet(written)
    assert rows["event"].to_list() == ["a", "b", "c"]
    assert rows["label"].to_list() == [0, 1, 0]
    assert rows["timestamp"].to_list() == [1700, 5, 1700]
    assert rows.row(2)[:3] == ("ünï/../\0", "17", "books")
    assert log.pending() == 0
    assert log.rotate() is None


def test_an_event_that_is_posted_again_counts_once(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    assert log.append([event("a"), event("a")]) == 1
    assert log.append([event("a"), event("b")]) == 1
    log.rotate()
    assert log.append([event("a"), event("c")]) == 1
    log.rotate()
    assert EventLog(tmp_path).append([event("b")]) == 0
    assert ids(log) == ["a", "b", "c"]


def test_ids_are_forgotten_when_enough_others_came(tmp_path: Path) -> None:
    log = EventLog(tmp_path, EventSettings(remember=2))
    for name in "abcd":
        log.append([event(name)])
    log.rotate()
    assert [log.append([event(name)]) for name in "cdab"] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"type": "look"}, "event.type = 'look'"),
        ({"user": ""}, "event.user"),
        ({"item": True}, "event.item"),
        ({"id": "x" * 201}, "event.id"),
        ({"timestamp": 1.5}, "event.timestamp"),
        ({"more": 1}, "unknown key event.more"),
        ({"item": "\ud800"}, "unicode"),
    ],
)
def test_a_wrong_event_is_refused_with_all_that_came_with_it(
    wrong: dict[str, Any], said: str, tmp_path: Path
) -> None:
    log = EventLog(tmp_path)
    with pytest.raises((ConfigError, DataError), match=said):
        log.append([event("good"), event("bad", **wrong)])
    assert log.pending() == 0
    assert log.append([event("good")]) == 1


def test_the_clock_may_jump(tmp_path: Path) -> None:
    """Order, names and the time of a file come from counters and from a clock that never goes back."""
    now, clock = iter([2e9, 5.0, 4e9, 1e9]), [0.0]
    log = EventLog(tmp_path, EventSettings(seconds=60), now=lambda: next(now), clock=lambda: clock[0])
    log.append([event("a")])
    log.append([event("b")])
    assert not log.due()
    log.rotate()
    log.append([event("c")])
    log.append([event("d")])
    assert not log.due()
    clock[0] = 61.0
    assert log.due()
    log.rotate()
    assert ids(log) == ["a", "b", "c", "d"]
    assert [path.name for path in log.files()] == ["events-00000001.parquet", "events-00000002.parquet"]


def test_files_are_written_when_there_is_enough(tmp_path: Path) -> None:
    log = EventLog(tmp_path, EventSettings(rows=10))
    for number in range(35):
        log.append([event(str(number))])
        if log._work is not None:
            log._work.join()
    assert len(log.files()) == 3
    log.rotate()
    assert ids(log) == [str(number) for number in range(35)]


def test_threads_may_share_it(tmp_path: Path) -> None:
    log = EventLog(tmp_path, EventSettings(rows=30))

    def work(name: str) -> None:
        for number in range(40):
            log.append([event(f"{name}{number}")])

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while log._work is not None and log._work.is_alive():
        log._work.join()
    log.rotate()
    assert sorted(ids(log)) == sorted(f"{name}{number}" for name in "abcd" for number in range(40))


def test_the_training_log_joins_clicks_to_what_was_shown(tmp_path: Path) -> None:
    log = EventLog(tmp_path, now=lambda: 7.0)
    log.append([event("1"), event("2", item="j"), event("3", item="k", type="click")])
    log.rotate()  # the click lies in a later file than what was shown
    log.append([event("4", type="click"), event("5", type="click"), event("6", timestamp=9, version="v2")])
    log.rotate()
    rows = training_log(log.files())
    assert rows.rows() == [
        ("u", "i", "books", 1, 7, "v1"),
        ("u", "j", "books", 0, 7, "v1"),
        ("u", "k", "books", 1, 7, "v1"),
        ("u", "i", "books", 0, 9, "v2"),
    ]


def test_both_are_read_as_the_next_training_log(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events")
    shown = [event(f"e{n}", user=f"u{n % 7}", item=f"i{n % 5}", domain=f"d{n % 2}") for n in range(60)]
    log.append(shown)
    log.append([one | {"id": f"c{one['id']}", "type": "click"} for one in shown[::3]])
    log.rotate()
    raw = table.read(log.files())
    assert raw.columns == ["user_id", "item_id", "domain", "label", "timestamp"]
    assert len(raw) == 80
    training_log(log.files()).write_parquet(tmp_path / "log.parquet")
    data = build(table.read([tmp_path / "log.parquet"]), name="next")
    assert sum(len(data.split(part)) for part in ("train", "val", "test")) == 60
    assert sum(float(data.split(part).labels.sum()) for part in ("train", "val", "test")) == 20


def test_no_files_and_damaged_ones_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no events are in files"):
        training_log([])
    (tmp_path / "events-00000001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        training_log([tmp_path / "events-00000001.parquet"])
