"""Walks one after another in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mamdr.engine.walk import Walker
from mamdr.strategies.protocol import Outcome, Walk


class Sequential:
    """Walks when an outcome is asked for: a strategy that pushes as it goes holds one displacement at a time."""

    def __init__(self, walker: Walker) -> None:
        self.walker = walker

    def __call__(self, walks: Sequence[Walk]) -> Iterator[Outcome]:
        return (self.walker(walk) for walk in walks)
