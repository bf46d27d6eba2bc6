"""Domains that came after training: what they are called, their interactions, and how far their joining is.

    joining/KEY/domain.json         the domain's id and title; KEY is a hash of the id, so that no id names a path
    joining/KEY/rows/N.parquet      interactions, one file a delivery, in the order they came
    joining/KEY/status.json         how far it is
    joining/KEY/.lock               held by the process that trains it

A delivery is acknowledged once its file is renamed into place and on disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from mamdr.errors import CheckpointError, DataError
from mamdr.files import atomic_file, locked, write_json
from mamdr.registry.registry import Registry

Phase = Literal["collecting", "queued", "training", "live", "rejected", "failed"]
LONGEST = 200
"""Bytes of UTF-8 that a domain's id, and an id in an interaction, may have."""


@dataclass(frozen=True)
class Status:
    """How far a domain's joining is.

    Args:
        phase: "collecting" (too few interactions so far), "queued", "training", "live" (its own part serves),
            "rejected" (its own part was not better on validation; shared serves), "failed".
        deliveries: files of interactions that the last training took in, or takes in.
        round, rounds: walks made so far and to make at most.
        figures: what the gate compared, AUCs of validation and test by "own" and "shared".
        version: the domain's version, when there is one.
        reason: why it is not live, in a sentence.
        attempts: trainings that were begun on these deliveries and cut off.
    """

    phase: Phase = "collecting"
    deliveries: int = 0
    round: int = 0
    rounds: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    version: str | None = None
    reason: str = ""
    attempts: int = 0


@dataclass(frozen=True)
class Newcomer:
    """A domain that came after training, or a trained one that was given a title.

    Args:
        domain: its id.
        title: for people.
        folder: where it is kept.
    """

    domain: str
    title: str
    folder: Path

    def deliveries(self) -> list[Path]:
        """Its files of interactions, oldest first."""
        place = self.folder / "rows"
        return sorted(place.glob("[0-9]*.parquet")) if place.is_dir() else []

    def rows(self) -> pl.DataFrame:
        """All its interactions: user_id, item_id (text), domain, and label and timestamp where they were given.

        Raises: DataError where there are none.
        """
        files = self.deliveries()
        if not files:
            raise DataError(
                f"{self.domain!r} has no interactions", "at least one delivery", "Post some first"
            )
        return pl.concat([pl.read_parquet(file, memory_map=False) for file in files], how="diagonal")

    def add(self, table: pl.DataFrame) -> int:
        """Keep interactions; the number of the delivery. Once this returns they are on disk."""
        place = self.folder / "rows"
        with locked(self.folder / ".delivery"):
            files = self.deliveries()
            number = int(files[-1].stem) + 1 if files else 1
            with atomic_file(place / f"{number:08d}.parquet") as part:
                table.write_parquet(part)
        return number

    def status(self) -> Status:
        """How far it is; a status that cannot be read counts as none."""
        try:
            said = json.loads((self.folder / "status.json").read_text(encoding="utf-8"))
            return Status(**said)
        except (OSError, ValueError, TypeError):
            return Status()

    def tell(self, status: Status) -> None:
        """Write how far it is."""
        write_json(self.folder / "status.json", vars(status))

    @contextmanager
    def training(self) -> Iterator[bool]:
        """Yield whether this process may train it: no other does. The lock goes with the process."""
        with unless_locked(self.folder / ".lock") as free:
            yield free


@contextmanager
def unless_locked(path: Path) -> Iterator[bool]:
    """Hold a file's lock and yield True, or yield False when another process holds it."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(path, wait=False))
        except BlockingIOError:
            yield False
            return
        yield True


class Newcomers:
    """A registry's newcomers.

    Args:
        registry: whose folder keeps them.
    """

    def __init__(self, registry: Registry) -> None:
        self.folder = registry.folder / "joining"

    def find(self, domain: str) -> Newcomer | None:
        """A newcomer by its id."""
        return self._read(self.folder / _key(domain))

    def all(self) -> list[Newcomer]:
        """All of them, by id."""
        if not self.folder.is_dir():
            return []
        found = [self._read(path) for path in self.folder.iterdir() if not path.name.startswith(".")]
        return sorted((n for n in found if n is not None), key=lambda newcomer: newcomer.domain)

    def put(self, domain: str, title: str | None = None) -> Newcomer:
        """Keep a domain, or give it another title; then the folder's time changes.

        Raises: DataError for an id that is empty, too long or holds control characters.
        """
        check_id(domain, "domain")
        known = self.find(domain)
        if known is None or title not in (None, known.title):
            folder = self.folder / _key(domain)
            write_json(folder / "domain.json", {"domain": domain, "title": title or domain})
            known = Newcomer(domain, title or domain, folder)
        _stamp(self.folder)
        return known

    def pending(self) -> list[Newcomer]:
        """Those whose interactions no training has taken in yet, or whose training was cut off."""
        return [n for n in self.all() if waiting(n)]

    def _read(self, folder: Path) -> Newcomer | None:
        try:
            said = json.loads((folder / "domain.json").read_text(encoding="utf-8"))
            return Newcomer(said["domain"], said["title"], folder)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{folder / 'domain.json'} is damaged ({error})", "the file as it was written", "Remove its folder"
            ) from error  # fmt: skip


def _stamp(folder: Path) -> None:
    """Change a folder's time, for who watches it: it may have been looked at when a domain's own folder was there and
    still empty, and what is then put into that leaves the time as it was."""
    now = time.time_ns()
    try:  # to the nanosecond: the kernel's own clock, which is taken below, ticks in milliseconds
        os.utime(folder, ns=(now, now))
    except PermissionError:  # another user's folder, which this one may write to
        os.utime(folder)


def waiting(newcomer: Newcomer) -> bool:
    """Whether there is something to train a domain on that it was not trained on so far."""
    status, deliveries = newcomer.status(), len(newcomer.deliveries())
    return deliveries > 0 and (status.phase in ("queued", "training") or status.deliveries < deliveries)


def advanced(status: Status, **changes: Any) -> Status:
    """A status with some of its values changed."""
    return replace(status, **changes)


def check_id(text: str, what: str) -> None:
    """Raise DataError for an id that cannot be kept."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= LONGEST or any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise DataError(
            f"the {what} {text[:40]!a}", f"1 to {LONGEST} bytes of text without control characters",
            "Give another id",
        )  # fmt: skip


def _key(domain: str) -> str:
    return hashlib.blake2b(domain.encode(errors="replace"), digest_size=16).hexdigest()
