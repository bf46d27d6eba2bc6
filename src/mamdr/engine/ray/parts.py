"""The specific parts as a strategy's state has them: each lies with its owner, and is changed there."""

from __future__ import annotations

from collections.abc import Iterator

from mamdr.engine.ray.members import Asked, Members
from mamdr.engine.ray.travel import Push
from mamdr.parameters import Elsewhere, Ids, Point


class OwnedParts(Elsewhere):
    """Parts by domain. Pushes wait here until their owner is next spoken to.

    Args:
        members: knows the owners.
    """

    def __init__(self, members: Members) -> None:
        self.members = members
        self._waiting: dict[int, list[Push]] = {}
        self._sent: list[Asked] = []

    def push(
        self, domain: int, displacement: Point, rate: float, rows: Ids | None, frozen: frozenset[str]
    ) -> None:
        """Note what is to be pushed; the displacement must be one that a walk of this round left with the owner."""
        assert isinstance(displacement, Held), "a displacement that its owner does not hold"
        self._waiting.setdefault(displacement.worker, []).append(
            Push(displacement.number, domain, rate, rows, frozen)
        )

    def fade(self, domain: int, share: float, frozen: frozenset[str]) -> None:
        self._tell(domain, "fade", domain, share, frozen)

    def flush(self, worker: int) -> None:
        """Send an owner what waits for it."""
        if pushes := self._waiting.pop(worker, []):
            self._sent.append(self.members.ask(worker, "push", pushes, kept=True))

    def settle(self) -> None:
        """Send all that waits, and see to it that all that was sent has been done."""
        for worker in list(self._waiting):
            self.flush(worker)
        for asked in self._sent:
            self.members.answer(asked)
        self._sent = []

    def forget(self) -> None:
        """The round begins anew."""
        self._waiting, self._sent = {}, []

    def __getitem__(self, domain: int) -> Point:
        self.settle()
        part = self.members.answer(self.members.ask(self._owner(domain), "part", domain))
        if part is None:
            raise KeyError(domain)
        assert isinstance(part, Point)
        return part

    def __setitem__(self, domain: int, part: Point) -> None:
        self._tell(domain, "put", domain, part)

    def __delitem__(self, domain: int) -> None:
        self[domain]  # which raises KeyError where there is none
        self._tell(domain, "put", domain, None)

    def __iter__(self) -> Iterator[int]:
        self.settle()
        asked = [self.members.ask(worker, "owned") for worker in range(self.members.options.workers)]
        return iter(sorted(domain for each in asked for domain in self.members.answer(each)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _owner(self, domain: int) -> int:
        return self.members.owner[domain]

    def _tell(self, domain: int, method: str, *args: object) -> None:
        self.settle()
        self.members.answer(self.members.ask(self._owner(domain), method, *args, kept=True))


class Held(Point):
    """A displacement that lies with a worker. Its values come here only if they are asked for."""

    __slots__ = ("_held", "members", "number", "worker")

    def __init__(self, members: Members, worker: int, number: int) -> None:
        self.space, self.members, self.worker, self.number = members.space, members, worker, number
        self._held: Point | None = None

    def __getattr__(self, name: str) -> object:
        """Called for slots that are not filled yet."""
        if name not in ("flat", "ids", "_offsets"):
            raise AttributeError(name)
        if self._held is None:
            self._held = self.members.answer(self.members.ask(self.worker, "displacement", self.number))
        return getattr(self._held, name)
