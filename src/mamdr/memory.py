"""How much memory may be held, and how much was."""

from __future__ import annotations

import gc
import re
import resource
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Annotated, Generic, TypeVar

from pydantic import Field

from mamdr.errors import ConfigError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_PATTERN = r"^[1-9][0-9]*(KB|MB|GB)$"
Size = Annotated[str, Field(pattern=_PATTERN)]
"""An amount of memory as settings have it, such as "512MB"."""

_UNITS = {"KB": 2**10, "MB": 2**20, "GB": 2**30}


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside, Python looks for no cycles of dead objects: thousands of small tensors made at once set that off again
    and again, for a third of the time that it takes to make them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def bytes_of(size: str) -> int:
    """An amount of memory in bytes.

    Raises: ConfigError for anything but a whole number and KB, MB or GB.

    >>> bytes_of("2KB")
    2048
    """
    if not re.match(_PATTERN, size):
        raise ConfigError(
            f"an amount of memory {size!r}", "a whole number and KB, MB or GB", "Write it like 512MB"
        )
    return int(size[:-2]) * _UNITS[size[-2:]]


def peak_mb() -> float:
    """The most memory that this process, or one of the processes it started and that ended, had resident so far, MB.

    Pages of memory-mapped files that were read count while they stay in memory.
    """
    units = 2**20 if sys.platform == "darwin" else 2**10
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return round(max(resource.getrusage(kind).ru_maxrss for kind in kinds) / units, 1)


class Recent(Generic[K, V]):
    """The values that were used last, as many as fit into so many bytes; what was used longest ago goes first.

    Args:
        limit: bytes, >= 0.
        size: bytes of a value, the same whenever it is asked.

    >>> recent = Recent[str, bytes](5, len)
    >>> recent.put("a", b"123"), recent.put("b", b"45"), recent.get("a"), recent.put("c", b"6")
    (None, None, b'123', None)
    >>> recent.get("b") is None, recent.held
    (True, 4)
    """

    def __init__(self, limit: int, size: Callable[[V], int]) -> None:
        self.limit, self.size, self.held = limit, size, 0
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self.drop(key)
        self._values[key] = value
        self.held += self.size(value)
        while self.held > self.limit:
            self.held -= self.size(self._values.popitem(last=False)[1])

    def drop(self, key: K) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self.held -= self.size(value)
