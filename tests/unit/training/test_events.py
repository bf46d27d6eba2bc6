"""What training tells: lines that survive a kill, and TensorBoard's files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mamdr.errors import CheckpointError, DataError
from mamdr.training.events import Event, JsonLines, Listeners, TensorBoard, read_events, tensorboard_installed

VAL = {"mean_auc": 0.75, "weighted_auc": 0.5, "pooled_auc": None, "log_loss": 0.25}


def round_event(round: int, **values: Any) -> Event:
    return {"event": "round", "round": round, "losses": {"shared": 0.5 / round}, "val": VAL, **values}


def write(path: Path, *rounds: int) -> None:
    lines = JsonLines(path)
    lines.hear({"event": "start", "round": 0})
    for round in rounds:
        lines.hear(round_event(round))
    lines.hear({"event": "stop", "round": rounds[-1]})
    lines.close()


def told(path: Path) -> list[tuple[str, int]]:
    return [(event["event"], event["round"]) for event in read_events(path)]


def test_an_event_is_a_line_at_once(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "events.jsonl")
    for round in (1, 2, 3):
        lines.hear(round_event(round))
        assert len((tmp_path / "events.jsonl").read_text().splitlines()) == round
    lines.walked(3)
    assert read_events(tmp_path / "events.jsonl") == [round_event(round) for round in (1, 2, 3)]


def test_absent_is_empty(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none") == []


def test_a_last_line_cut_short_anywhere_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, 1, 2)
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rindex(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        assert told(path) == [("start", 0), ("round", 1), ("round", 2)]


@pytest.mark.parametrize("line", ["{", "3", "[]", "{}", '{"event": 3}', "", "\xff\xfe"])
def test_another_line_that_is_no_event(line: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event": "start"}\n' + line.encode("latin-1") + b'\n{"event": "stop"}\n')
    with pytest.raises(
        CheckpointError, match=r"line 2 of .*events.jsonl is no event; expected one JSON object"
    ):
        read_events(path)


def test_resuming_drops_rounds_after_the_checkpoint_and_the_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, 1, 2, 3)
    with path.open("a") as file:
        file.write('{"event": "round", "rou')
    lines = JsonLines(path, rounds=2)
    assert told(path) == [("start", 0), ("round", 1), ("round", 2)]
    lines.hear({"event": "start", "round": 2})
    assert told(path)[-1] == ("start", 2)


def test_starting_anew_drops_everything(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", 1)
    JsonLines(tmp_path / "events.jsonl")
    assert told(tmp_path / "events.jsonl") == []


def test_a_line_that_cannot_be_written(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "events.jsonl")
    lines.path = Path("/dev/full")
    with pytest.raises(DataError, match="cannot write /dev/full: No space left on device"):
        lines.hear({"event": "start"})


class _Ear:
    def __init__(self, heard: list[object]) -> None:
        self.heard = heard

    def hear(self, event: Event) -> None:
        self.heard.append(event)

    def walked(self, rows: int) -> None:
        self.heard.append(rows)

    def close(self) -> None:
        self.heard.append("closed")


def test_everyone_hears_the_same_with_the_time() -> None:
    one: list[Any] = []
    other: list[Any] = []
    listeners = Listeners([_Ear(one), _Ear(other)])
    listeners.hear("round", round=3)
    listeners.walked(7)
    listeners.close()
    assert one == other
    assert one[0]["event"] == "round"
    assert datetime.fromisoformat(one[0]["time"]).utcoffset() is not None
    assert one[1:] == [7, "closed"]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = accumulator.EventAccumulator(str(folder), purge_orphaned_data=True)
    read.Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_reads_figures(tmp_path: Path) -> None:
    if not tensorboard_installed():
        pytest.skip("tensorboard is not installed")
    board = TensorBoard(tmp_path / "board")
    board.hear({"event": "start"})
    assert not (tmp_path / "board").exists()  # the run's folder is checked first
    for round in (1, 2):
        board.hear(round_event(round))
        board.walked(3)
    assert scalars(tmp_path / "board") == {  # before it is closed
        "train_loss/shared": [(1, 0.5), (2, 0.25)],
        "val/mean_auc": [(1, 0.75), (2, 0.75)],
        "val/weighted_auc": [(1, 0.5), (2, 0.5)],
        "val/log_loss": [(1, 0.25), (2, 0.25)],
    }
    board.close()


def test_tensorboard_forgets_a_round_that_was_killed(tmp_path: Path) -> None:
    if not tensorboard_installed():
        pytest.skip("tensorboard is not installed")
    for rounds in ((1, 2, 3), (2, 3)):
        board = TensorBoard(tmp_path)
        for round in rounds:
            board.hear(round_event(round, losses={"shared": 1.0 * len(rounds)}))
        board.close()
    assert scalars(tmp_path)["train_loss/shared"] == [(1, 3.0), (2, 2.0), (3, 2.0)]


def test_tensorboard_that_cannot_be_written(tmp_path: Path) -> None:
    if not tensorboard_installed():
        pytest.skip("tensorboard is not installed")
    (tmp_path / "file").touch()
    board = TensorBoard(tmp_path / "file")
    with pytest.raises(DataError, match="cannot write"):
        board.hear(round_event(1))
    board.close()


def test_a_run_has_tensorboard_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not tensorboard_installed()
