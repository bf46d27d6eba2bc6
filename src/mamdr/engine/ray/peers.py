"""Who can be asked, wherever it lives: in this process, or in an actor of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Lost(Exception):  # noqa: N818 (a signal between the parts of a cluster, not an error that a user sees)
    """A process that was asked is no more.

    Args:
        name: its name.
        life: which of its lives it was.
        why: what is known of its end.
    """

    def __init__(self, name: str, life: int, why: str) -> None:
        super().__init__(name, life, why)
        self.name, self.life, self.why = name, life, why


class Pending(Protocol):
    """An answer that may still be on its way."""

    def get(self) -> Any:
        """The answer.

        Raises:
            Lost: who was asked (or someone that it asked in turn) is no more.
            MamdrError: what the work itself raised.
        """
        ...


class Peer(Protocol):
    """Someone to ask. Questions of one asker are answered in order."""

    name: str
    life: int

    def ask(self, method: str, *args: Any) -> Pending:
        """Call a method; returns at once."""
        ...


class Launcher(Protocol):
    """Starts peers and ends them."""

    def start(self, name: str, life: int, make: Callable[..., Any], *args: Any) -> Peer:
        """A peer around `make(*args)`, which is called where it lives."""
        ...

    def ready(self, peers: Sequence[Peer]) -> None:
        """Wait until these have begun.

        Raises:
            TrainingError: there is no place for one.
            ConfigError: one has other versions of the software.
        """
        ...

    def first(self, answers: Sequence[Pending]) -> int:
        """Which of these answers is there first."""
        ...

    def stop(self, peer: Peer) -> None:
        """End a peer, whatever it is doing."""
        ...
