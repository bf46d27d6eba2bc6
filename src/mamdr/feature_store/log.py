"""Updates since a snapshot: a log, in order, that every process reads to its end and replays into memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

CHUNK = 5000
"""Rows of one entry at most."""


@dataclass(frozen=True)
class News:
    """What a log says to one who has read a part of it.

    Args:
        epoch: the log's name; another one means that it was lost and began anew.
        base: the snapshot that holds what was dropped from the log; empty when nothing was.
        entries: position -> entry, those after the part.
    """

    epoch: str
    base: str
    entries: list[tuple[str, bytes]]


class Log(Protocol):
    """Entries in an order that all processes agree on; positions are text that sorts as they do."""

    def changed(self) -> bool:
        """Whether it is worth reading: entries may have come since the last read. Cost: about 1 µs."""
        ...

    def read(self, after: str) -> News:
        """Entries behind a position ("": all), and the base, as they are at one moment.

        Raises: ServiceError where the log cannot be reached.
        """
        ...

    def append(self, entries: Sequence[bytes]) -> None:
        """Add entries, all or none; durable when this returns."""
        ...

    def drop(self, until: str, base: str) -> None:
        """Forget entries up to a position, which a snapshot holds now; entries and base change at one moment."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


@dataclass(frozen=True)
class Update:
    """Features of an owner's ids; columns [N] that are left out keep their values."""

    owner: str
    ids: list[str]
    values: dict[str, list[Any]]


@dataclass(frozen=True)
class Observed:
    """N interactions; a user of None means that the item is the domain's, and nobody has seen it."""

    domain: list[str]
    user: list[str | None]
    item: list[str]
    seen: list[bool]


Change = Update | Observed


def updates(owner: str, ids: Sequence[str], values: Mapping[str, pl.Series]) -> Iterator[Update]:
    """Updates of a table's rows, `CHUNK` at a time."""
    for start in range(0, len(ids), CHUNK):
        part = slice(start, start + CHUNK)
        yield Update(owner, list(ids[part]), {name: cells[part].to_list() for name, cells in values.items()})


def observations(
    domain: Sequence[str], user: Sequence[str | None], item: Sequence[str], seen: Sequence[bool]
) -> Iterator[Observed]:
    """Interactions, `CHUNK` at a time."""
    for start in range(0, len(item), CHUNK):
        part = slice(start, start + CHUNK)
        yield Observed(list(domain[part]), list(user[part]), list(item[part]), list(seen[part]))


def to_bytes(change: Change) -> bytes:
    """An entry of a change.

    >>> from_bytes(to_bytes(Update("user", ["u"], {"user:age": [30.0]})))
    Update(owner='user', ids=['u'], values={'user:age': [30.0]})
    """
    return json.dumps(vars(change), allow_nan=False, separators=(",", ":")).encode()


def from_bytes(entry: bytes) -> Change:
    """The change of an entry."""
    said = json.loads(entry)
    return Update(**said) if "owner" in said else Observed(**said)
