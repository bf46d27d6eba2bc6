"""Walks that listeners hear of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mamdr.strategies import Outcome, Run, Walk
from mamdr.strategies.chains import Chain, Together, begin_early, end_early, outcomes_of
from mamdr.training.events import Listeners


@dataclass
class Heard:
    """Walks as before, with listeners told of each outcome's rows.

    Args:
        last: whether no round comes after this one, so that nothing is begun for it.
    """

    walks: Run
    listeners: Listeners
    last: bool = False

    def __call__(self, batch: Sequence[Walk]) -> Iterator[Outcome]:
        for outcome in self.walks(batch):
            self.listeners.walked(outcome.samples)
            yield outcome

    def chained(self, chains: Sequence[Chain], ordered: bool = False) -> Iterator[Together]:
        for come in outcomes_of(self.walks, chains, ordered):
            for _, outcome in come:
                self.listeners.walked(outcome.samples)
            yield come

    def early(self, walk: Walk) -> None:
        """The next round's shared walk, if there is a next round."""
        if not self.last:
            begin_early(self.walks, walk)

    def close(self) -> None:
        """End what was begun for a round that does not come."""
        end_early(self.walks)
