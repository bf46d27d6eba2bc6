"""Specific parts that are kept somewhere else: what is pushed to one is pushed where it lies."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import MutableMapping

from mamdr.parameters.point import Point
from mamdr.parameters.space import Ids


class Elsewhere(MutableMapping[int, Point]):
    """Parts by domain, as a dictionary would have them, of which none has to travel to be changed.

    An item that is taken out is a copy: changing it changes nothing until it is put back.
    """

    @abstractmethod
    def push(
        self, domain: int, displacement: Point, rate: float, rows: Ids | None, frozen: frozenset[str]
    ) -> None:
        """Do what `Overlay.push` does, where the part lies."""

    @abstractmethod
    def fade(self, domain: int, share: float, frozen: frozenset[str]) -> None:
        """Do what `Overlay.fade` does, where the part lies."""
