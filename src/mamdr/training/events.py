"""What training tells while it goes on: a stream of events, and who listens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from mamdr.errors import CheckpointError
from mamdr.files import atomic_file, disk_errors

Event = dict[str, Any]
"""Keys: "event" ("start", "round", "stop"), "time" (UTC, ISO 8601), and what belongs to the kind."""


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
    """Writes losses and validation figures for TensorBoard; needs `pip install mamdr[track]`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None

    def hear(self, event: Event) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if event["event"] != "round":
            return
        if self._writer is None:  # not before there is something to write: the run's folder is checked first
            self._writer = SummaryWriter(str(self.folder), purge_step=event["round"])  # a killed round's go
        for name, loss in event["losses"].items():
            self._writer.add_scalar(f"train_loss/{name}", loss, event["round"])
        for name in ("mean_auc", "weighted_auc", "pooled_auc", "log_loss"):
            if event["val"][name] is not None:
                self._writer.add_scalar(f"val/{name}", event["val"][name], event["round"])
        self._writer.flush()

    def walked(self, rows: int) -> None:
        return None

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def tensorboard_installed() -> bool:
    """Whether TensorBoard can be written."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        return False
    return True


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
