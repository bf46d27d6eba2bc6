"""What training tells while it goes on: a stream of events, and who listens."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from mamdr.errors import CheckpointError
from mamdr.files import atomic_file, disk_errors

Event = dict[str, Any]
"""Keys: "event" ("start", "round", "shares" or "own_rounds" where such are chosen, "stop"), "time" (UTC, ISO 8601), and
what belongs to the kind; of a round also "peak_mb", the most memory that was resident so far (see
`mamdr.memory.peak_mb`)."""

_DRAWN = ("mean_auc", "weighted_auc", "pooled_auc", "log_loss")


class Listener(Protocol):
    """Hears of events. `walked` comes often and is not an event: rows trained since the last call."""

    def hear(self, event: Event) -> None: ...

    def walked(self, rows: int) -> None: ...

    def close(self) -> None: ...


class Listeners:
    """Passes everything on to each of several listeners, stamping events with the time."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)

    def hear(self, kind: str, **values: Any) -> None:
        event = {"event": kind, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **values}
        for listener in self._listeners:
            listener.hear(event)

    def walked(self, rows: int) -> None:
        for listener in self._listeners:
            listener.walked(rows)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()


class JsonLines:
    """Appends each event as one line of JSON.

    Args:
        path: the file.
        rounds: when resuming, the rounds whose events stay; those of a round that was not checkpointed go.
    """

    def __init__(self, path: Path, rounds: int = 0) -> None:
        self.path = path
        kept = [
            event
            for event in read_events(path)
            if event.get("round", 0) <= rounds and event["event"] != "stop"
        ]
        with atomic_file(path) as part:
            part.write_text("".join(_line(event) for event in kept if rounds), encoding="utf-8")

    def hear(self, event: Event) -> None:
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(_line(event))
            file.flush()
            os.fsync(file.fileno())  # before the checkpoint that follows counts

    def walked(self, rows: int) -> None:
        return None

    def close(self) -> None:
        return None


class TensorBoard:
    """Writes losses and validation figures for TensorBoard; needs `pip install mamdr[track]`.

    It writes at once and in this thread, where a full disk can be told of, and leaves no thread for workers to inherit.

    Args:
        folder: of its files; made when there is something to write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: BinaryIO | None = None

    def hear(self, event: Event) -> None:
        if event["event"] != "round":
            return
        values = {f"train_loss/{name}": loss for name, loss in event["losses"].items()}
        values |= {f"val/{name}": event["val"][name] for name in _DRAWN}
        with disk_errors(self.folder):
            if self._file is None:
                self._file = self._open(event["round"])
            self._write(event["round"], {name: value for name, value in values.items() if value is not None})

    def _open(self, round: int) -> BinaryIO:
        """A new file, which replaces what a killed run told of this round and later ones."""
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).timestamp()
        file = (self.folder / f"events.out.tfevents.{now:.6f}.mamdr").open("xb")
        self._records = RecordWriter(file)
        self._record(file_version="brain.Event:2")
        self._record(step=round, session_log=SessionLog(status=SessionLog.START))
        return file

    def _write(self, round: int, values: dict[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        shown = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._record(step=round, summary=Summary(value=shown))
        self._records.flush()

    def _record(self, **what: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event as Record

        record = Record(wall_time=datetime.now(UTC).timestamp(), **what)
        self._records.write(record.SerializeToString())

    def walked(self, rows: int) -> None:
        return None

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be written was told when it could not
                self._file.close()


def tensorboard_installed() -> bool:
    """Whether TensorBoard can be written."""
    return importlib.util.find_spec("tensorboard") is not None


def read_events(path: Path) -> list[Event]:
    """The events of a file, oldest first; a last line that was cut short by a kill is left out.

    Raises:
        CheckpointError: another line is not an event.
    """
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    return [_event(path, number, line) for number, line in enumerate(lines, start=1)]


def _event(path: Path, number: int, line: bytes) -> Event:
    try:
        event: Event = json.loads(line)
        if not isinstance(event["event"], str):
            raise TypeError
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"line {number} of {path} is no event", "one JSON object a line", "Restore the file or train anew"
        ) from error
    return event


def _line(event: Event) -> str:
    return json.dumps(event, sort_keys=True, allow_nan=False) + "\n"
