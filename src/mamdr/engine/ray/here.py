"""Peers in this process: what the cluster does without Ray, in turn, for tests and measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mamdr.engine.ray.peers import Lost, Peer, Pending
from mamdr.errors import MamdrError


class _Answer:
    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self._value, self._error = value, error

    def get(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value


class HerePeer:
    """An object of this process. One that raises `Lost` with its own name is dead from then on."""

    def __init__(self, name: str, life: int, held: Any) -> None:
        self.name, self.life, self.held = name, life, held

    def ask(self, method: str, *args: Any) -> _Answer:
        if self.held is None:
            return _Answer(error=Lost(self.name, self.life, "it was stopped"))
        try:
            return _Answer(getattr(self.held, method)(*args))
        except Lost as lost:
            if lost.name == self.name:
                self.held = None
                lost = Lost(self.name, self.life, lost.why)
            return _Answer(error=lost)
        except MamdrError as error:
            return _Answer(error=error)


class Here:
    """Starts peers in this process."""

    def start(self, name: str, life: int, make: Callable[..., Any], *args: Any) -> HerePeer:
        return HerePeer(name, life, make(*args))

    def ready(self, peers: Sequence[Peer]) -> None:
        """They are."""

    def first(self, answers: Sequence[Pending]) -> int:
        return 0

    def stop(self, peer: Peer) -> None:
        assert isinstance(peer, HerePeer)
        if (close := getattr(peer.held, "close", None)) is not None:
            close()
        peer.held = None
