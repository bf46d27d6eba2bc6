"""Specific parts of very many domains: on disk, with those that were used last in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from mamdr.memory import Recent, bytes_of
from mamdr.parameters import Point, Space, Specific
from mamdr.training.segments import Scratch, Segment, total

SEGMENT = 64 << 20
"""Bytes after which a file is sealed and the next one begun."""


@dataclass(frozen=True)
class Place:
    """Where a point was written."""

    segment: Segment
    begin: int
    size: int


class Shelf(MutableMapping[int, Point]):
    """A mapping from domains to points that means what a dict means, in bounded memory.

    What is put here waits in memory until it fills half of it, and is then appended to a file; what is read is kept,
    with what was written, in the other half, until others are used more. Files are never changed, only left behind:
    one that nothing points at is removed, and when more than half of what lies on disk is left behind, what still
    counts is written together.

    Differs from a dict in one thing: a point that is changed in place has to be put back to count.

    A forked worker reads what was there when it was forked, and keeps nothing of it. Workers must not write.

    Args:
        space: the points'.
        memory: bytes of points to hold at most, beside the one at hand.
        beside: the run's folder, for files; None is the system's place for temporary files.

    Cost: a point's bytes to disk for each time that it was put and did not stay in memory, and from disk likewise.
    """

    def __init__(self, space: Space, memory: int, beside: Path | None = None) -> None:
        self.space, self.memory, self._beside = space, memory, beside
        self._places: dict[int, Place | None] = {}  # None: in memory alone, in `_waiting`
        self._waiting: dict[int, Point] = {}
        self._waiting_bytes = 0
        self._recent = Recent[int, Point](memory // 2, size_of)
        self._scratch: Scratch | None = None
        self._current: Segment | None = None
        self._owner = os.getpid()

    def __getitem__(self, domain: int) -> Point:
        place = self._places[domain]
        found = self._waiting.get(domain) if place is None else self._recent.get(domain)
        if found is None:
            assert place is not None
            found = place.segment.read(place.begin, place.size, self.space)
            if os.getpid() == self._owner:
                self._recent.put(domain, found)
        return found

    def __setitem__(self, domain: int, point: Point) -> None:
        self._forget(domain)
        self._places[domain] = None
        self._waiting[domain] = point
        self._waiting_bytes += size_of(point)
        if self._waiting_bytes > self.memory // 2:
            self.write()

    def __delitem__(self, domain: int) -> None:
        del self._places[domain]
        self._forget(domain)

    def clear(self) -> None:
        """Forget all points, without reading them."""
        for domain in list(self._places):
            del self[domain]

    def __iter__(self) -> Iterator[int]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, domain: object) -> bool:
        return domain in self._places

    def __deepcopy__(self, memo: object) -> Shelf:
        """A mapping of the same points. Cost: writing those that wait; the files are shared."""
        self.seal()
        other = Shelf(self.space, self.memory, self._beside)
        other._places, other._scratch = dict(self._places), self._scratch
        return other

    def write(self) -> None:
        """Write all points that wait."""
        for domain, point in self._waiting.items():
            self._places[domain] = self._append(point)
            self._recent.put(domain, point)
        self._waiting, self._waiting_bytes = {}, 0
        self._gather()

    def seal(self) -> dict[int, Place]:
        """Write all points that wait, and let no file change any more; where each domain's point lies."""
        self.write()
        if self._current is not None:
            self._current.sealed, self._current = True, None
        return {domain: place for domain, place in self._places.items() if place is not None}

    def place(self, places: dict[int, Place]) -> None:
        """Take in points that lie in sealed files."""
        for domain, place in places.items():
            self._forget(domain)
            self._places[domain] = place

    def _append(self, point: Point) -> Place:
        if self._current is None:
            self._scratch = self._scratch or Scratch(self._beside)
            self._current = Segment.new(self._scratch)
        segment = self._current
        begin, size = segment.append(point)
        if segment.size >= SEGMENT:
            segment.sealed, self._current = True, None
        return Place(segment, begin, size)

    def _gather(self) -> None:
        """Write what still counts together when most bytes of the files that it lies in do not."""
        places = [(domain, place) for domain, place in self._places.items() if place is not None]
        live: dict[Segment, int] = {}
        for _, place in places:
            live[place.segment] = live.get(place.segment, 0) + place.size
        if total(list(live)) <= 2 * sum(live.values()) + SEGMENT:
            return
        sparse = {segment for segment, size in live.items() if 2 * size < segment.size}
        for domain, place in places:
            if place.segment in sparse and place.segment is not self._current:
                self._places[domain] = self._append(place.segment.read(place.begin, place.size, self.space))

    def _forget(self, domain: int) -> None:
        """Let go of what is held in memory of a domain."""
        self._recent.drop(domain)
        waiting = self._waiting.pop(domain, None)
        if waiting is not None:
            self._waiting_bytes -= size_of(waiting)


def size_of(point: Point) -> int:
    """Bytes of a point's values and ids."""
    return point.flat.nbytes + sum(ids.nbytes for ids in point.ids)


def place_of(specific: Specific, space: Space, beside: Path | None = None) -> MutableMapping[int, Point]:
    """An empty mapping for domains' points of this space: a shelf where a setting bounds their memory, else a dict."""
    return {} if specific.memory is None else Shelf(space, bytes_of(specific.memory), beside)
